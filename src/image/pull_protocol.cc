#include "src/image/pull_protocol.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/json_fields.h"
#include "src/base/status_macros.h"
#include "src/base/strict_json.h"
#include "src/image/digest.h"
#include "src/image/endpoint_json.h"
#include "src/image/manifest.h"

namespace berth {
namespace {

using Json = nlohmann::json;

constexpr JsonLimits kLineLimits = {.bytes = kMaxPullLine, .depth = 8, .values = 1'000'000};

std::string Line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::Status Malformed(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("pull message: ", why));
}

bool IsTrue(const Json& json, const char* name) {
  const Json* member = FindMember(json, name);
  return member != nullptr && member->is_boolean() && member->get<bool>();
}

Json ToJson(const PullProgress& progress) {
  return {{"progress",
           {{"layer", progress.layer},
            {"state", progress.state},
            {"bytes", progress.bytes},
            {"total_bytes", progress.total_bytes}}}};
}

Json ToJson(const PullPlan& plan) {
  Json layers = Json::array();
  for (const PullPlan::Layer& layer : plan.layers)
    layers.push_back({{"diff_id", layer.diff_id}, {"bound_key", layer.bound_key}});
  return {{"plan",
           {{"target_digest", plan.target_digest},
            {"target_type", plan.target_type},
            {"target_bytes", plan.target_bytes},
            {"layers", std::move(layers)}}}};
}

Json LayerJson(const PulledLayer& layer) {
  return {{"diff_id", layer.diff_id},
          {"digest", layer.digest},
          {"key", layer.key},
          {"dir", layer.dir},
          {"blob_bytes", layer.blob_bytes},
          {"size_bytes", layer.size_bytes},
          {"inodes", layer.inodes},
          {"opaque_root", layer.opaque_root}};
}

Json ToJson(const PulledLayer& layer) { return {{"layer", LayerJson(layer)}}; }

Json ToJson(const PulledImage& image) {
  Json layers = Json::array();
  for (const PulledLayer& layer : image.layers) layers.push_back(LayerJson(layer));
  return {{"result",
           {{"id", image.id},
            {"target_digest", image.target_digest},
            {"config", image.config},
            {"manifest", image.manifest},
            {"manifest_type", image.manifest_type},
            {"size_bytes", image.size_bytes},
            {"layers", std::move(layers)}}}};
}

Json ToJson(const LayerVerification& layer) {
  Json first = Json::array();
  for (const LayerDifference& one : layer.first)
    first.push_back({{"path", one.path}, {"what", one.what}});
  return {{"verified",
           {{"entries", layer.entries},
            {"bytes", layer.bytes},
            {"differences", layer.differences},
            {"first", std::move(first)}}}};
}

Json ToJson(const absl::Status& status) {
  return {
      {"error",
       {{"code", static_cast<int>(status.code())}, {"message", std::string(status.message())}}}};
}

absl::StatusOr<PullProgress> ProgressOf(const Json& json) {
  PullProgress progress;
  ASSIGN_OR_RETURN(progress.layer, StringMember(json, "layer"));
  ASSIGN_OR_RETURN(progress.state, StringMember(json, "state"));
  ASSIGN_OR_RETURN(progress.bytes, SizeMember(json, "bytes"));
  ASSIGN_OR_RETURN(progress.total_bytes, SizeMember(json, "total_bytes"));
  return progress;
}

absl::StatusOr<PulledLayer> LayerOf(const Json& json) {
  PulledLayer layer;
  ASSIGN_OR_RETURN(layer.diff_id, StringMember(json, "diff_id"));
  RETURN_IF_ERROR(Digest::Parse(layer.diff_id).status());
  ASSIGN_OR_RETURN(layer.digest, StringMember(json, "digest"));
  RETURN_IF_ERROR(Digest::Parse(layer.digest).status());
  ASSIGN_OR_RETURN(layer.key, StringMember(json, "key"));
  ASSIGN_OR_RETURN(layer.dir, StringMember(json, "dir"));
  const bool well_formed =
      layer.dir.empty() || (layer.dir.size() == kLayerDirLength && IsLowerHex(layer.dir));
  if (!well_formed) return Malformed("a layer's dir is no name that berth-pull gives");
  ASSIGN_OR_RETURN(layer.blob_bytes, SizeMember(json, "blob_bytes"));
  ASSIGN_OR_RETURN(layer.size_bytes, SizeMember(json, "size_bytes"));
  ASSIGN_OR_RETURN(layer.inodes, SizeMember(json, "inodes"));
  layer.opaque_root = IsTrue(json, "opaque_root");
  return layer;
}

bool IsBoundKey(absl::string_view key, absl::string_view diff_id) {
  if (!absl::ConsumePrefix(&key, absl::StrCat(diff_id, "@"))) return false;
  return key.empty() || Digest::Parse(key).ok();  // empty: nothing is below it
}

absl::StatusOr<PullPlan> PlanOf(const Json& json) {
  PullPlan plan;
  ASSIGN_OR_RETURN(plan.target_digest, StringMember(json, "target_digest"));
  RETURN_IF_ERROR(Digest::Parse(plan.target_digest).status());
  ASSIGN_OR_RETURN(plan.target_type, StringMember(json, "target_type"));
  ASSIGN_OR_RETURN(plan.target_bytes, SizeMember(json, "target_bytes"));
  const Json* layers = FindMember(json, "layers");
  if (layers == nullptr || !layers->is_array()) return Malformed("no layers");
  for (const Json& item : *layers) {
    PullPlan::Layer layer;
    ASSIGN_OR_RETURN(layer.diff_id, StringMember(item, "diff_id"));
    RETURN_IF_ERROR(Digest::Parse(layer.diff_id).status());
    ASSIGN_OR_RETURN(layer.bound_key, StringMember(item, "bound_key"));
    plan.layers.push_back(std::move(layer));
  }
  return plan;
}

// One that can be stored by itself.
absl::StatusOr<PulledLayer> CompleteLayerOf(const Json& json) {
  ASSIGN_OR_RETURN(PulledLayer layer, LayerOf(json));
  if (layer.dir.empty() || layer.key != layer.diff_id)
    return Malformed("a layer is not complete by itself");
  return layer;
}

absl::Status CheckAgainstConfig(const PulledImage& image) {
  if (Digest::Sha256(image.config).text() != image.id)
    return Malformed("the id is not the config's digest");
  ASSIGN_OR_RETURN(const ConfigDocument config, ParseImageConfig(image.config));
  for (const PulledLayer& layer : image.layers) {
    if (layer.key != layer.diff_id && !IsBoundKey(layer.key, layer.diff_id))
      return Malformed("a layer's key is not its own");
  }
  const bool same =
      std::equal(config.diff_ids.begin(), config.diff_ids.end(), image.layers.begin(),
                 image.layers.end(), [](const Digest& diff_id, const PulledLayer& layer) {
                   return diff_id.text() == layer.diff_id;
                 });
  return same ? absl::OkStatus() : Malformed("the layers are not those of the config");
}

absl::StatusOr<PulledImage> ImageOf(const Json& json) {
  PulledImage image;
  ASSIGN_OR_RETURN(image.id, StringMember(json, "id"));
  ASSIGN_OR_RETURN(image.target_digest, StringMember(json, "target_digest"));
  RETURN_IF_ERROR(Digest::Parse(image.target_digest).status());
  ASSIGN_OR_RETURN(image.config, StringMember(json, "config"));
  ASSIGN_OR_RETURN(image.manifest, StringMember(json, "manifest"));
  ASSIGN_OR_RETURN(image.manifest_type, StringMember(json, "manifest_type"));
  ASSIGN_OR_RETURN(image.size_bytes, SizeMember(json, "size_bytes"));
  const Json* layers = FindMember(json, "layers");
  if (layers == nullptr || !layers->is_array()) return Malformed("no layers");
  for (const Json& item : *layers) {
    ASSIGN_OR_RETURN(PulledLayer layer, LayerOf(item));
    image.layers.push_back(std::move(layer));
  }
  RETURN_IF_ERROR(CheckAgainstConfig(image));
  return image;
}

absl::StatusOr<LayerVerification> VerificationOf(const Json& json) {
  LayerVerification layer;
  ASSIGN_OR_RETURN(layer.entries, SizeMember(json, "entries"));
  ASSIGN_OR_RETURN(layer.bytes, SizeMember(json, "bytes"));
  ASSIGN_OR_RETURN(layer.differences, SizeMember(json, "differences"));
  const Json* first = FindMember(json, "first");
  if (first == nullptr || !first->is_array()) return Malformed("no differences");
  for (const Json& item : *first) {
    LayerDifference one;
    ASSIGN_OR_RETURN(one.path, StringMember(item, "path"));
    ASSIGN_OR_RETURN(one.what, StringMember(item, "what"));
    layer.first.push_back(std::move(one));
  }
  return layer;
}

absl::StatusOr<PullMessage> ErrorOf(const Json& json) {
  ASSIGN_OR_RETURN(const int64_t code, SizeMember(json, "code"));
  ASSIGN_OR_RETURN(const std::string message, StringMember(json, "message"));
  if (code < 1 || code > static_cast<int64_t>(absl::StatusCode::kUnauthenticated))
    return Malformed("bad error code");
  return PullMessage(absl::Status(static_cast<absl::StatusCode>(code), message));
}

Json ExistingJson(const std::vector<ExistingLayer>& layers) {
  Json existing = Json::array();
  for (const ExistingLayer& layer : layers)
    existing.push_back(
        {{"key", layer.key}, {"dir", layer.dir}, {"opaque_root", layer.opaque_root}});
  return existing;
}

absl::StatusOr<std::vector<ExistingLayer>> ExistingOf(const Json* json) {
  std::vector<ExistingLayer> layers;
  if (json == nullptr) return layers;
  for (const Json& item : *json) {
    ExistingLayer layer;
    ASSIGN_OR_RETURN(layer.key, StringMember(item, "key"));
    ASSIGN_OR_RETURN(layer.dir, StringMember(item, "dir"));
    layer.opaque_root = IsTrue(item, "opaque_root");
    layers.push_back(std::move(layer));
  }
  return layers;
}

absl::StatusOr<PullJob> PullJobOf(const Json& json) {
  PullJob job;
  ASSIGN_OR_RETURN(job.reference, StringMember(json, "reference"));
  const Json none = Json::object();
  const Json* member = FindMember(json, "auth");
  if (member != nullptr) {
    ASSIGN_OR_RETURN(job.auth, DecodeAuth(*member));
  }
  member = FindMember(json, "endpoints");
  if (member != nullptr) {
    ASSIGN_OR_RETURN(job.endpoints, DecodeEndpoints(*member));
  }
  member = FindMember(json, "platform");
  const Json& platform = member == nullptr ? none : *member;
  ASSIGN_OR_RETURN(job.platform.os, StringMember(platform, "os"));
  ASSIGN_OR_RETURN(job.platform.architecture, StringMember(platform, "architecture"));
  ASSIGN_OR_RETURN(job.platform.variant, StringMember(platform, "variant"));
  ASSIGN_OR_RETURN(job.existing, ExistingOf(FindMember(json, "existing")));
  job.plain_http = IsTrue(json, "plain_http");
  ASSIGN_OR_RETURN(const int64_t parallel, SizeMember(json, "parallel_layers"));
  job.parallel_layers = static_cast<int>(std::clamp<int64_t>(parallel, 1, 32));
  ASSIGN_OR_RETURN(job.bytes_per_second, SizeMember(json, "bytes_per_second"));
  ASSIGN_OR_RETURN(const int64_t stall, SizeMember(json, "stall_seconds"));
  job.stall_seconds = static_cast<int>(std::clamp<int64_t>(stall, 1, 3600));
  job.ask = IsTrue(json, "ask");
  job.keep_blobs = IsTrue(json, "keep_blobs");
  member = FindMember(json, "blobs");
  for (const Json& item : member == nullptr ? none : *member) {
    if (!item.is_string()) return absl::InvalidArgumentError("pull job: blobs: not a string");
    job.blobs.push_back(item.get<std::string>());
  }
  ASSIGN_OR_RETURN(job.manifest, StringMember(json, "manifest"));
  ASSIGN_OR_RETURN(job.manifest_type, StringMember(json, "manifest_type"));
  ASSIGN_OR_RETURN(job.config, StringMember(json, "config"));
  return job;
}

}  // namespace

std::string BoundLayerKey(absl::string_view diff_id, absl::string_view chain_below) {
  return absl::StrCat(diff_id, "@", chain_below);
}

std::string ChainId(absl::string_view chain_below, absl::string_view diff_id) {
  if (chain_below.empty()) return std::string(diff_id);
  return Digest::Sha256(absl::StrCat(chain_below, " ", diff_id)).text();
}

std::string EncodePullJob(const PullJob& job) {
  return Line({{"version", kPullProtocolVersion},
               {"reference", job.reference},
               {"auth", EncodeAuth(job.auth)},
               {"endpoints", EncodeEndpoints(job.endpoints)},
               {"platform",
                {{"os", job.platform.os},
                 {"architecture", job.platform.architecture},
                 {"variant", job.platform.variant}}},
               {"existing", ExistingJson(job.existing)},
               {"plain_http", job.plain_http},
               {"parallel_layers", job.parallel_layers},
               {"bytes_per_second", job.bytes_per_second},
               {"stall_seconds", job.stall_seconds},
               {"ask", job.ask},
               {"keep_blobs", job.keep_blobs},
               {"blobs", job.blobs},
               {"manifest", job.manifest},
               {"manifest_type", job.manifest_type},
               {"config", job.config}});
}

std::string EncodePullOrder(const PullOrder& order) {
  Json json = {{"fetch", order.fetch}, {"present", ExistingJson(order.present)}};
  if (order.bytes_per_second.has_value()) json["bytes_per_second"] = *order.bytes_per_second;
  return Line(json);
}

absl::StatusOr<PullOrder> DecodePullOrder(absl::string_view line) {
  ASSIGN_OR_RETURN(const Json json, ParseStrictJson(line, kLineLimits, "pull order"));
  PullOrder order;
  if (FindMember(json, "bytes_per_second") != nullptr) {
    ASSIGN_OR_RETURN(order.bytes_per_second, SizeMember(json, "bytes_per_second"));
  }
  if (const Json* fetch = FindMember(json, "fetch"); fetch != nullptr) {
    for (const Json& item : *fetch) {
      if (!item.is_string()) return absl::InvalidArgumentError("pull order: fetch: not a string");
      order.fetch.push_back(item.get<std::string>());
    }
  }
  ASSIGN_OR_RETURN(order.present, ExistingOf(FindMember(json, "present")));
  return order;
}

std::string EncodeVerifyJob(const VerifyJob& job) {
  return Line({{"version", kPullProtocolVersion}, {"verify", {{"dir", job.dir}}}});
}

absl::StatusOr<HelperJob> DecodeHelperJob(absl::string_view line) {
  ASSIGN_OR_RETURN(const Json json, ParseStrictJson(line, kLineLimits, "pull job"));
  ASSIGN_OR_RETURN(const int64_t version, SizeMember(json, "version"));
  if (version != kPullProtocolVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "pull job: version ", version, ", this berth-pull speaks ", kPullProtocolVersion));
  }
  if (const Json* verify = FindMember(json, "verify"); verify != nullptr) {
    VerifyJob job;
    ASSIGN_OR_RETURN(job.dir, StringMember(*verify, "dir"));
    return HelperJob(std::move(job));
  }
  ASSIGN_OR_RETURN(PullJob job, PullJobOf(json));
  return HelperJob(std::move(job));
}

std::string EncodePullMessage(const PullMessage& message) {
  return std::visit([](const auto& part) { return Line(ToJson(part)); }, message);
}

absl::StatusOr<PullMessage> DecodePullMessage(absl::string_view line) {
  ASSIGN_OR_RETURN(const Json json, ParseStrictJson(line, kLineLimits, "pull message"));
  if (const Json* part = FindMember(json, "progress"); part != nullptr) {
    ASSIGN_OR_RETURN(PullProgress progress, ProgressOf(*part));
    return PullMessage(std::move(progress));
  }
  if (const Json* part = FindMember(json, "plan"); part != nullptr) {
    ASSIGN_OR_RETURN(PullPlan plan, PlanOf(*part));
    return PullMessage(std::move(plan));
  }
  if (const Json* part = FindMember(json, "layer"); part != nullptr) {
    ASSIGN_OR_RETURN(PulledLayer layer, CompleteLayerOf(*part));
    return PullMessage(std::move(layer));
  }
  if (const Json* part = FindMember(json, "result"); part != nullptr) {
    ASSIGN_OR_RETURN(PulledImage image, ImageOf(*part));
    return PullMessage(std::move(image));
  }
  if (const Json* part = FindMember(json, "verified"); part != nullptr) {
    ASSIGN_OR_RETURN(LayerVerification layer, VerificationOf(*part));
    return PullMessage(std::move(layer));
  }
  if (const Json* part = FindMember(json, "error"); part != nullptr) {
    return ErrorOf(*part);
  }
  return Malformed("neither progress nor plan, layer, result, verified or error");
}

}  // namespace berth
