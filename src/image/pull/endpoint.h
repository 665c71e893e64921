// One endpoint (a mirror, or the registry itself) for one repository: requests with its TLS
// settings, headers, token and redirects. Thread-safe: each thread brings its own Http, the token
// is shared.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "src/image/digest.h"
#include "src/image/pull/http.h"
#include "src/image/reference.h"
#include "src/image/registry_endpoint.h"

namespace berth {

class Endpoint {
 public:
  // `config.url` is valid and `config.auth` meant for it. `system_ca` is PEM.
  Endpoint(const RegistryEndpoint& config, Url url, const Reference& reference,
           const std::string& system_ca);

  // GET of `path` ("/manifests/..." or "/blobs/..."): sends what authorization there is, gets a
  // token if the endpoint asks for one, follows redirects. A final answer that is no success is its
  // AnswerStatus; Unavailable for an endpoint that is not reached.
  absl::StatusOr<HttpAnswer> Get(Http& http, const std::string& path,
                                 const std::vector<std::string>& headers, const Http::Sink* sink);

  const RegistryEndpoint& config() const { return config_; }
  std::string Printable(const std::string& path) const;  // the URL of `path`, without query
  // What of a blob came from here turned out to be wrong, or may yet.
  void Served(const Digest& blob);
  bool DistrustIfServed(const Digest& blob);  // true if it was
  bool Distrusts(const Digest& blob) const;
  // Not reached the last time: to be asked after the others.
  bool down() const { return down_.load(std::memory_order_relaxed); }

 private:
  absl::StatusOr<HttpAnswer> FollowRedirects(Http& http, Url url, std::vector<std::string> headers,
                                             const std::string& authorization,
                                             const Http::Sink* sink);
  std::vector<std::string> OwnHeaders(const std::string& authorization) const;
  std::string Authorization() const;
  // Replaces the authorization that was just refused; `refused` tells if another thread did so
  // already.
  absl::Status Authorize(Http& http, const HttpAnswer& answer, const std::string& refused);

  const RegistryEndpoint config_;
  const Url url_;
  const std::string path_;   // of the repository
  const std::string query_;  // "?ns=..." for a mirror
  const HttpTls tls_;        // with its own host
  const HttpTls foreign_tls_;
  std::atomic<bool> down_ = false;
  mutable absl::Mutex mu_;
  std::map<std::string, bool> served_ ABSL_GUARDED_BY(mu_);  // digest -> distrusted
  std::string authorization_ ABSL_GUARDED_BY(mu_);           // "Bearer ...", "Basic ...", or ""
};

}  // namespace berth
