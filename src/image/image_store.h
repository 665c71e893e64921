// The images of this node: pull, look up, list, lease, remove. Turns a reference into layer
// directories; knows nothing of pods. Thread-safe. Images live in the database (schema.h: images,
// image_names, layers), their layers as directories DATA/layers/<number>.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/base/log.h"
#include "src/image/pull_cgroup.h"
#include "src/store/database.h"

namespace berth {

// The parts of an OCI image config that a container start uses (image-spec config.md).
struct ImageConfig {
  std::vector<std::string> env, entrypoint, cmd;
  std::string user, working_dir, stop_signal;
  std::vector<std::string> volumes;
  std::map<std::string, std::string> labels;
};

struct Image {
  std::string id;                                    // "sha256:<hex>", digest of the config
  std::vector<std::string> repo_tags, repo_digests;  // full names, sorted
  int64_t size_bytes = 0;
  bool pinned = false;  // by configuration: the kubelet's garbage collection leaves it
  std::map<std::string, std::string> annotations;  // of the manifest
  ImageConfig config;
  std::vector<std::string> layers;  // lowest first, relative to the data directory: "layers/12"
};

struct RegistryAuth {
  std::string username, password;  // basic, or exchanged for a bearer token
  std::string identity_token;      // OAuth2 refresh token
  std::string registry_token;      // bearer token, used as it is
  std::string server_address;      // if set: only for this host
};

struct PullProgress {
  std::string layer;  // digest, "" for the manifest
  std::string state;  // "resolving", "waiting", "downloading", "unpacking", "done", "exists"
  int64_t bytes = 0, total_bytes = 0;
};

struct PullRequest {
  std::string reference;
  RegistryAuth auth;
  std::function<void(const PullProgress&)> progress;  // may be empty; called on the pulling thread
  std::function<bool()> cancelled;                    // polled at least every 100 ms; may be empty
};

// Keeps an image's layers from removal while it lives. Move-only.
class ImageLease;

// image_details.h
struct GarbageItem;
struct ImageDetails;
struct LayerState;
struct RunningPull;
// user.h
struct UserFiles;

class ImageStore {
 public:
  struct Options {
    std::string
        data_dir;  // layers/, trees/, blobs/, pull/ (work in progress), trash/ are made below it
    std::string pull_helper;  // path of berth-pull
    const Log* log = nullptr;
    PullCgroups* pull_cgroups = nullptr;  // borrowed; null: berth-pull runs where the daemon does
    std::vector<std::string> pull_env;    // of berth-pull: "HTTPS_PROXY=...", "NO_PROXY=..."
    std::vector<std::string> certs_dirs;  // hosts.toml of registries (registry_hosts.h)
    std::vector<std::string> auth_files, helper_dirs;  // registry_credentials.h
    std::vector<std::string> pinned;  // patterns of names (fnmatch(3)): Image::pinned
    int64_t bytes_per_second = 0;     // that all pulls together may receive; 0: no limit
    bool plain_http = false;          // also for registries that are not on loopback
    int stall_seconds = 30;           // a download without a byte for so long is given up
    // The layers that a failed pull has fetched whole wait so long for the next try; zero: none do.
    absl::Duration keep_partial = absl::Minutes(10);
    int parallel_layers = 4;  // of one pull, downloaded and unpacked at the same time
    bool keep_blobs = false;  // compressed layers stay too, blobs/<hex>: a repair needs no registry
    std::string verifier_dir;  // image_verifiers.h; "" for none
    std::vector<std::string> verifier_env;
  };
  static absl::StatusOr<std::unique_ptr<ImageStore>> Open(Options options, Database& database);
  virtual ~ImageStore() = default;

  // Pulls and returns the image id. One berth-pull process does the work. Codes: InvalidArgument
  // (reference), NotFound, Unauthenticated, DataLoss (digest), ResourceExhausted (limits, disk),
  // Cancelled, PermissionDenied (a verifier: message begins "SignatureValidationFailed"),
  // Unavailable (registry not reached; message begins "RegistryUnavailable").
  virtual absl::StatusOr<std::string> Pull(const PullRequest& request) = 0;

  // Finds by id (with or without "sha256:", or an unambiguous prefix of >= 4 characters), tag,
  // digest or short name. NotFound names the reference.
  virtual absl::StatusOr<Image> Find(absl::string_view reference) const = 0;
  virtual std::vector<Image> List() const = 0;

  // Find, and keep it from Remove's deletion of its layers while the lease lives.
  virtual absl::StatusOr<std::pair<Image, ImageLease>> Lease(absl::string_view reference) = 0;

  // The passwd and group files of an image, from memory where they were asked for before. Errors as
  // ReadImageFile (user.h).
  virtual absl::StatusOr<UserFiles> UserFilesOf(const Image& image) = 0;

  // Removes the image with all its names; unknown is OK. FailedPrecondition while `in_use(id)`.
  virtual absl::Status Remove(absl::string_view reference,
                              absl::FunctionRef<bool(absl::string_view id)> in_use) = 0;

  // All that is known of an image (image_details.h). NotFound as Find.
  virtual absl::StatusOr<ImageDetails> Inspect(absl::string_view reference) const = 0;
  // Gives an image a further name, which another image loses. InvalidArgument for a digest.
  virtual absl::Status Tag(absl::string_view reference, absl::string_view name) = 0;
  // Takes a name away; the image stays. NotFound if no image has it.
  virtual absl::Status Untag(absl::string_view name) = 0;
  virtual std::vector<RunningPull> Pulls() const = 0;

  // Compares the layers of an image, or all ("") with their trees and reports each. One that is
  // damaged is not used by later pulls; with `repair` its images are pulled anew. Cancelled when
  // `cancelled` says so.
  virtual absl::Status Verify(absl::string_view reference, bool repair,
                              absl::FunctionRef<void(const LayerState&)> report,
                              const std::function<bool()>& cancelled) = 0;
  // Removes what nothing needs; tells of all images and layers why they are kept or removed.
  virtual absl::StatusOr<std::vector<GarbageItem>> CollectGarbage(bool dry_run) = 0;

  struct PullCounts {
    int64_t running = 0;
    int64_t succeeded = 0, failed = 0, cancelled = 0;
    int64_t received_bytes = 0;                      // of layers, compressed
    int64_t layers_fetched = 0, layers_present = 0;  // present: for this pull, not fetched by it
  };
  // Since the store was opened.
  virtual PullCounts Counts() const = 0;

  struct Usage {
    int64_t used_bytes = 0, inodes = 0;  // sums kept by the store, no tree walk
  };
  virtual Usage DiskUsage() const = 0;
};

class ImageLease {
 public:
  ImageLease() = default;
  explicit ImageLease(std::function<void()> release) : release_(std::move(release)) {}
  ImageLease(ImageLease&& other) noexcept : release_(std::exchange(other.release_, nullptr)) {}
  ImageLease& operator=(ImageLease&& other) noexcept {
    std::swap(release_, other.release_);
    return *this;
  }
  ~ImageLease() {
    if (release_) release_();
  }

 private:
  std::function<void()> release_;
};

}  // namespace berth
