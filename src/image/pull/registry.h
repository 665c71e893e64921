// The client's side of the OCI distribution protocol for one repository: manifests and blobs from
// its mirrors and itself, in turn, with pauses and resumption. Thread-safe: each thread brings its
// own Http.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/image/manifest.h"
#include "src/image/pull/buffer_pool.h"
#include "src/image/pull/endpoint.h"
#include "src/image/pull/http.h"
#include "src/image/reference.h"

namespace berth {

class Registry {
 public:
  struct Options {
    std::string ca_bundle;  // PEM; "" for the library's default
    // Rounds through all endpoints that brought nearly nothing, before the registry is given up
    // while it might still recover.
    int attempts = 4;
    absl::Duration retry_delay = absl::Milliseconds(500);
    absl::Duration longest_pause = absl::Seconds(30);  // a registry that asks for more is given up
    // Of the connections that fetch large blobs ahead of their readers; its `cancelled` also ends a
    // pause.
    Http::Options http;
    int connections_ahead = 3;      // of one blob
    int buffers_ahead = 6;          // of all blobs together
    size_t buffer_bytes = 2 << 20;  // of one
  };
  // InvalidArgument for an endpoint's URL, or without any endpoint.
  static absl::StatusOr<std::unique_ptr<Registry>> Open(
      const Reference& reference, const std::vector<RegistryEndpoint>& endpoints, Options options);

  struct Document {
    std::string bytes, content_type;
    Digest digest;  // computed from the bytes
  };
  // `selector` is a tag or a digest. DataLoss if the bytes have another digest than asked for, or
  // than the answer's Docker-Content-Digest says. Where several endpoints fail, the message lists
  // the cause of each, and the code is that of the last.
  absl::StatusOr<Document> FetchManifest(Http& http, const std::string& selector);

  // A small blob, whole; size and digest are verified.
  absl::StatusOr<std::string> FetchBlob(Http& http, const Descriptor& blob);

  // Streams a blob; a broken connection is resumed by Range from where it broke, on the next
  // endpoint if there is one. The digest is the sink's concern; DataLoss if the blob ends early.
  using BlobSink = absl::FunctionRef<absl::Status(absl::string_view)>;
  absl::Status StreamBlob(Http& http, const Descriptor& blob, BlobSink sink);

  // The blob was streamed and has another digest: the endpoints that it came from are not asked for
  // it again. False if there is none left.
  bool DistrustServers(const Digest& blob);

 private:
  // What came of asking one endpoint.
  struct Outcome {
    absl::Status status;
    bool final = false;     // no other endpoint would do better
    bool fruitful = false;  // bytes came: the next round is the first again
  };
  enum class Purpose { kResolve, kPull };

  Registry(std::vector<std::unique_ptr<Endpoint>> endpoints, Options options)
      : endpoints_(std::move(endpoints)),
        options_(std::move(options)),
        pool_(options_.buffers_ahead, options_.buffer_bytes) {}

  absl::Status Ask(Purpose purpose, absl::FunctionRef<Outcome(Endpoint&)> ask);
  absl::StatusOr<std::vector<Endpoint*>> Candidates(Purpose purpose) const;
  absl::Status Pause(absl::Duration duration) const;
  absl::StatusOr<Document> FetchManifestFrom(Endpoint& endpoint, Http& http,
                                             const std::string& selector);

  const std::vector<std::unique_ptr<Endpoint>> endpoints_;
  const Options options_;
  BufferPool pool_;
};

}  // namespace berth
