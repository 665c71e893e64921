// ParseImageConfig (manifest.h): the OCI image config.
#include "absl/strings/str_cat.h"
#include "src/base/json_fields.h"
#include "src/base/status_macros.h"
#include "src/base/strict_json.h"
#include "src/image/manifest.h"

namespace berth {
namespace {

using Json = nlohmann::json;

// What execve(2) could not take, or what no image in earnest has.
constexpr size_t kMaxListItems = 10'000;
constexpr size_t kMaxListBytes = 1 << 20;
constexpr size_t kMaxVolumes = 64;
constexpr size_t kMaxText = 4096;

absl::Status CheckList(const std::vector<std::string>& list, absl::string_view name,
                       size_t max_items) {
  size_t bytes = 0;
  for (const std::string& item : list) bytes += item.size() + 1;
  if (list.size() <= max_items && bytes <= kMaxListBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("image config: ", name, " has ", list.size(),
                                                   " items and ", bytes, " bytes, more than ",
                                                   max_items, " or ", kMaxListBytes));
}

absl::StatusOr<std::string> TextMember(const Json& json, const char* name) {
  ASSIGN_OR_RETURN(std::string text, StringMember(json, name));
  if (text.size() > kMaxText) {
    return absl::ResourceExhaustedError(
        absl::StrCat("image config: ", name, " is longer than ", kMaxText, " bytes"));
  }
  return text;
}

absl::StatusOr<ImageConfig> ParseExecutionPart(const Json& json) {
  if (!json.is_object()) return absl::InvalidArgumentError("image config: config is no object");
  ImageConfig config;
  ASSIGN_OR_RETURN(config.env, StringListMember(json, "Env"));
  RETURN_IF_ERROR(CheckList(config.env, "Env", kMaxListItems));
  ASSIGN_OR_RETURN(config.entrypoint, StringListMember(json, "Entrypoint"));
  RETURN_IF_ERROR(CheckList(config.entrypoint, "Entrypoint", kMaxListItems));
  ASSIGN_OR_RETURN(config.cmd, StringListMember(json, "Cmd"));
  RETURN_IF_ERROR(CheckList(config.cmd, "Cmd", kMaxListItems));
  ASSIGN_OR_RETURN(config.volumes, NameSetMember(json, "Volumes"));
  RETURN_IF_ERROR(CheckList(config.volumes, "Volumes", kMaxVolumes));
  ASSIGN_OR_RETURN(config.user, TextMember(json, "User"));
  ASSIGN_OR_RETURN(config.working_dir, TextMember(json, "WorkingDir"));
  ASSIGN_OR_RETURN(config.stop_signal, TextMember(json, "StopSignal"));
  ASSIGN_OR_RETURN(config.labels, StringMapMember(json, "Labels"));
  std::vector<std::string> labels;
  for (const auto& [key, value] : config.labels) labels.push_back(absl::StrCat(key, "=", value));
  RETURN_IF_ERROR(CheckList(labels, "Labels", kMaxListItems));
  return config;
}

absl::StatusOr<std::vector<Digest>> ParseDiffIds(const Json& json) {
  const Json* rootfs = FindMember(json, "rootfs");
  if (rootfs == nullptr) return absl::InvalidArgumentError("image config: no rootfs");
  ASSIGN_OR_RETURN(const std::string type, StringMember(*rootfs, "type"));
  if (type != "layers")
    return absl::InvalidArgumentError("image config: rootfs type is not \"layers\"");
  ASSIGN_OR_RETURN(const std::vector<std::string> texts, StringListMember(*rootfs, "diff_ids"));
  if (texts.size() > kMaxLayers) {
    return absl::ResourceExhaustedError(
        absl::StrCat("image config: ", texts.size(), " layers, more than ", kMaxLayers));
  }
  std::vector<Digest> diff_ids;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(Digest diff_id, Digest::Parse(text));
    if (diff_id.algorithm() != "sha256") {
      return absl::UnimplementedError("image config: a diff_id is not sha256");
    }
    diff_ids.push_back(std::move(diff_id));
  }
  return diff_ids;
}

}  // namespace

absl::StatusOr<ConfigDocument> ParseImageConfig(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json json,
                   ParseStrictJson(text, {.bytes = kMaxConfigBytes}, "image config"));
  if (!json.is_object()) return absl::InvalidArgumentError("image config: expected a JSON object");
  ConfigDocument document;
  ASSIGN_OR_RETURN(document.platform.os, TextMember(json, "os"));
  ASSIGN_OR_RETURN(document.platform.architecture, TextMember(json, "architecture"));
  ASSIGN_OR_RETURN(document.platform.variant, TextMember(json, "variant"));
  if (const Json* config = FindMember(json, "config"); config != nullptr) {
    ASSIGN_OR_RETURN(document.config, ParseExecutionPart(*config));
  }
  ASSIGN_OR_RETURN(document.diff_ids, ParseDiffIds(json));
  return document;
}

}  // namespace berth
