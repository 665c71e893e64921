// The client's side of the OCI distribution protocol for one repository: manifests and blobs, with
// tokens, redirects and resumption. Thread-safe: each thread brings its own Http, the token is
// shared.
#pragma once

#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/image/image_store.h"
#include "src/image/manifest.h"
#include "src/image/pull/challenge.h"
#include "src/image/pull/http.h"
#include "src/image/reference.h"

namespace berth {

// Status of an HTTP answer that is no success: NotFound, Unauthenticated, PermissionDenied,
// ResourceExhausted (429), Unavailable (5xx), FailedPrecondition (else); "GET <url>: 404 Not Found:
// <the registry's own words>".
absl::Status AnswerStatus(absl::string_view method, const Url& url, const HttpAnswer& answer);

class Registry {
 public:
  struct Options {
    bool plain_http = false;  // also for hosts that are not loopback
    int blob_attempts = 4;  // connections in a row that brought no byte, before a blob is given up
    absl::Duration retry_delay = absl::Milliseconds(500);
  };
  // Credentials are sent only if auth.server_address is empty or names this registry.
  Registry(const Reference& reference, const RegistryAuth& auth, const Options& options);

  struct Document {
    std::string bytes, content_type;
    Digest digest;  // computed from the bytes
  };
  // `selector` is a tag or a digest. DataLoss if the bytes have another digest than asked for, or
  // than the answer's Docker-Content-Digest says.
  absl::StatusOr<Document> FetchManifest(Http& http, const std::string& selector);

  // A small blob, whole; size and digest are verified.
  absl::StatusOr<std::string> FetchBlob(Http& http, const Descriptor& blob);

  // Streams a blob; a broken connection is resumed by Range from where it broke. Size and digest
  // are the sink's concern.
  using BlobSink = absl::FunctionRef<absl::Status(absl::string_view)>;
  absl::Status StreamBlob(Http& http, const Descriptor& blob, BlobSink sink);

 private:
  // Sends with the shared token, gets one if the registry asks, follows redirects. A final answer
  // that is no success becomes its AnswerStatus.
  absl::StatusOr<HttpAnswer> Get(Http& http, const std::string& path,
                                 const std::vector<std::string>& headers, const Http::Sink* sink);
  absl::StatusOr<HttpAnswer> FollowRedirects(Http& http, HttpRequest request,
                                             const Http::Sink* sink);

  std::string Authorization() const;
  // Replaces the authorization that the registry just refused; `refused` tells if another thread
  // did so already.
  absl::Status Authorize(Http& http, const HttpAnswer& answer, const std::string& refused);
  absl::StatusOr<std::string> FetchToken(Http& http, const Challenge& challenge);
  HttpRequest TokenRequest(Http& http, const Url& realm, const Challenge& challenge) const;

  const std::string path_;  // of the repository
  const std::string base_;  // https://host/v2/
  const Options options_;
  RegistryAuth auth_;
  mutable absl::Mutex mu_;
  std::string authorization_ ABSL_GUARDED_BY(mu_);  // "Bearer ...", "Basic ...", or ""
};

}  // namespace berth
