// A registry for tests: an HTTP server on 127.0.0.1 with scripted answers, which remembers what it
// was asked. It can break off, hang, redirect and ask for tokens. One request per connection.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "src/base/unique_fd.h"

namespace berth::testing_image {

struct StubRequest {
  std::string method, target, path;            // target: with the query
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;

  std::string Header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

struct StubAnswer {
  int status = 200;
  std::vector<std::string> headers;
  std::string body;
  // After so many bytes of the body: close the connection, or fall silent until the client goes
  // away.
  size_t cut_after = std::string::npos, hang_after = std::string::npos;
  bool trickle = false;  // the body comes as ten bytes a second
  bool hang = false;     // do not even send a status line
};

// One image, complete and consistent.
struct StubImage {
  std::string config, manifest;
  std::string manifest_type = "application/vnd.oci.image.manifest.v1+json";
  std::map<std::string, std::string> blobs;  // digest -> bytes, the config included
  std::vector<std::string> diff_ids;
  std::string id() const;  // digest of the config
  std::string manifest_digest() const;
};

struct StubLayer {
  std::string tar;
  std::string compressed;  // "" for gzip of `tar`
};
StubImage MakeImage(const std::vector<StubLayer>& layers, const std::string& config_part = "{}",
                    const std::string& architecture = "");

class RegistryStub {
 public:
  // May be called until the registry ends: owns what it reads.
  using Handler = std::function<StubAnswer(const StubRequest&)>;

  RegistryStub();
  ~RegistryStub();

  std::string host() const;  // "127.0.0.1:12345"
  std::string url() const { return "http://" + host(); }

  // Answers for one path, replacing earlier ones. What nobody answers is 404.
  void Handle(const std::string& path, Handler handler);
  void Serve(const std::string& path, const StubAnswer& answer);
  // Manifest (by tag and digest) and blobs, with Range.
  void Publish(const std::string& repository, const std::string& tag, const StubImage& image);
  // Asked before every path's own handler; an answer of status 0 lets the request through.
  void Guard(Handler guard);

  std::vector<StubRequest> requests() const;
  int CountRequests(const std::string& path) const;
  // Blocks until a request for `path` has come.
  void AwaitRequest(const std::string& path) const;

 private:
  void Accept();
  void Converse(UniqueFd connection);
  StubAnswer Answer(const StubRequest& request);

  UniqueFd listener_;
  UniqueFd stop_;  // an eventfd: written when all threads must end
  int port_ = 0;
  mutable absl::Mutex mu_;
  std::map<std::string, Handler> handlers_ ABSL_GUARDED_BY(mu_);
  Handler guard_ ABSL_GUARDED_BY(mu_);
  std::vector<StubRequest> requests_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> connections_ ABSL_GUARDED_BY(mu_);
  std::thread acceptor_;
};

}  // namespace berth::testing_image
