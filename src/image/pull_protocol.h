// What the daemon and berth-pull say to each other: one JSON object per line, described in
// docs/formats/pull-protocol.md. The daemon sends one PullJob or VerifyJob; berth-pull sends
// PullProgress lines, if asked to a PullPlan and each PulledLayer, and ends with one PulledImage,
// one LayerVerification or one error. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/image/image_store.h"
#include "src/image/platform.h"
#include "src/image/registry_endpoint.h"

namespace berth {

inline constexpr int kPullProtocolVersion = 3;
inline constexpr size_t kMaxPullLine = 32 << 20;
inline constexpr size_t kLayerDirLength = 16;  // lower-case hex characters

// A layer's identity in the store. Most layers mean the same wherever they lie: their key is the
// diff_id. One whose archive left out parent directories takes these from the layers below, so it
// belongs to them: "<diff_id>@<chain id of the layers below>".
std::string BoundLayerKey(absl::string_view diff_id, absl::string_view chain_below);
// OCI's chain id of a stack of diff_ids, lowest first; "" for none.
std::string ChainId(absl::string_view chain_below, absl::string_view diff_id);

struct ExistingLayer {
  std::string key;
  std::string dir;  // in the directory of layers, fd 4
  bool opaque_root = false;
};

struct PullJob {
  std::string reference;
  RegistryAuth auth;  // for the registry itself, where no endpoints are given
  // In the order in which they are asked; empty for the registry itself.
  std::vector<RegistryEndpoint> endpoints;
  Platform platform;
  std::vector<ExistingLayer> existing;  // layers that need not be fetched
  bool plain_http = false;              // also for hosts that are not loopback
  int parallel_layers = 4;
  int64_t bytes_per_second = 0;  // received, of all connections; 0: no limit
  int stall_seconds =
      30;  // no byte for so long, or less than the floor over twice as long, ends a connection
  // Tell a PullPlan before the first layer is fetched, and fetch only what a PullOrder says.
  bool ask = false;
  bool keep_blobs = false;  // each layer's compressed blob stays as <dir>.blob beside it
  // Blobs that lie in the work directory under the hex part of their digest.
  std::vector<std::string> blobs;
  // To mend an image that is known: what `reference`, a digest, was resolved to, and its config.
  std::string manifest, manifest_type, config;
};

// What a pull is about to do. Each layer that does not exist is in it once.
struct PullPlan {
  struct Layer {
    std::string diff_id;
    std::string bound_key;  // that it has if it turns out to belong to the layers below it
  };
  std::string target_digest, target_type;  // of what the reference names
  int64_t target_bytes = 0;
  std::vector<Layer> layers;
};

// A line of the daemon while a pull runs. Of the layers of the plan each is named once.
struct PullOrder {
  std::optional<int64_t> bytes_per_second;  // that it may receive from now on; 0: no limit
  std::vector<std::string> fetch;           // diff_ids
  std::vector<ExistingLayer> present;       // need not be fetched any more

  bool empty() const { return !bytes_per_second.has_value() && fetch.empty() && present.empty(); }
};

std::string EncodePullOrder(const PullOrder& order);
absl::StatusOr<PullOrder> DecodePullOrder(absl::string_view line);

struct PulledLayer {
  std::string diff_id, digest;
  std::string key;         // the diff_id, or bound to the layers below
  std::string dir;         // in the work directory; "" if it existed, or comes twice in the image
  int64_t blob_bytes = 0;  // compressed
  int64_t size_bytes = 0, inodes = 0;
  bool opaque_root = false;  // nothing of the layers below it is to be seen: it is stacked lowest
};

struct PulledImage {
  std::string id;                   // digest of `config`
  std::string target_digest;        // of the manifest or index that the reference names
  std::string config, manifest;     // exact bytes
  std::string manifest_type;        // media type
  int64_t size_bytes = 0;           // compressed layers, config and manifests
  std::vector<PulledLayer> layers;  // lowest first
};

// Asks for the comparison of one layer with its tree (docs/formats/layer-tree.md). fd 3 is then the
// directory of trees, read only.
struct VerifyJob {
  std::string dir;  // of the layer, and the name of its tree
};

struct LayerDifference {
  std::string path;  // "" is the root
  std::string what;  // "is missing", "has mode 0644 instead of 0755", "read: Input/output error"
};

struct LayerVerification {
  int64_t entries = 0;      // of the tree
  int64_t bytes = 0;        // of files, as read
  int64_t differences = 0;  // of which the first are told
  std::vector<LayerDifference> first;

  bool ok() const { return differences == 0; }
};

using HelperJob = std::variant<PullJob, VerifyJob>;
// A PulledLayer outside of an image is complete, hashes and tree included, and needs nothing of the
// layers below it.
using PullMessage =
    std::variant<PullProgress, PullPlan, PulledLayer, PulledImage, LayerVerification, absl::Status>;

std::string EncodePullJob(const PullJob& job);
std::string EncodeVerifyJob(const VerifyJob& job);
absl::StatusOr<HelperJob> DecodeHelperJob(absl::string_view line);

std::string EncodePullMessage(const PullMessage& message);
// InvalidArgument for anything malformed; a status in the message is never OK. Digests and
// directory names of a PulledImage are well-formed, its config has the digest `id` and lists the
// layers' diff_ids.
absl::StatusOr<PullMessage> DecodePullMessage(absl::string_view line);

}  // namespace berth
