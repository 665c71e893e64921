// A registry in this process: serves images from memory over plain HTTP on 127.0.0.1 and misbehaves
// on request. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "src/base/unique_fd.h"
#include "test/e2e/image.h"

namespace berth::e2e {

class StubRegistry {
 public:
  static absl::StatusOr<std::unique_ptr<StubRegistry>> Start();
  ~StubRegistry();
  StubRegistry(const StubRegistry&) = delete;
  StubRegistry& operator=(const StubRegistry&) = delete;

  // "127.0.0.1:<port>".
  const std::string& host() const { return host_; }

  // Serves `image` as <host>/<name>:<tag> and <host>/<name>@<digest>; returns the first.
  std::string Add(const std::string& name, const std::string& tag, const BuiltImage& image);

  // What requests whose path contains `part` get instead of their answer.
  enum class Fault {
    kNone,
    kHang,         // headers and half of the body, then silence
    kSilence,      // nothing at all
    kCorrupt,      // one byte of the body changed
    kTruncate,     // half of the body, then the connection closes
    kServerError,  // 500
    kDenied,       // 401 without a challenge that could be met
    kNeedsToken,   // 401 with a bearer challenge; the token service here wants user:password
  };
  void SetFault(const std::string& part, Fault fault);

  // Request lines received so far ("GET /v2/..."), the Authorization headers that came with them
  // ("" for none), and the number of connections open at this moment.
  std::vector<std::string> Requests() const;
  std::vector<std::string> Authorizations() const;
  int OpenConnections() const;

 private:
  struct Answer {
    int status = 200;
    std::string media_type, body, digest, extra_headers;
  };

  explicit StubRegistry(UniqueFd listener, std::string host);
  void Accept();
  void Serve(UniqueFd connection);
  // False: close the connection.
  bool Respond(int connection, const std::string& method, const std::string& path,
               const std::string& headers);
  Answer Find(const std::string& path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Fault FaultOf(const std::string& path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const UniqueFd listener_;
  const std::string host_;
  UniqueFd stop_;  // an eventfd; readable once the registry is to stop
  mutable absl::Mutex mu_;
  std::map<std::string, Answer> answers_ ABSL_GUARDED_BY(mu_);  // by path
  std::map<std::string, Fault> faults_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> requests_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> authorizations_ ABSL_GUARDED_BY(mu_);
  int open_connections_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mu_);
  std::thread acceptor_;
};

}  // namespace berth::e2e
