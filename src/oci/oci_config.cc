#include "src/oci/oci_config.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/oci/config_fields.h"

namespace berth::oci {
namespace {

absl::StatusOr<nlohmann::json> ParseObject(absl::string_view text, const char* what) {
  if (text.size() > kConfigMaxBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(what, ": larger than ", kConfigMaxBytes, " bytes"));
  }
  nlohmann::json document = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) return absl::InvalidArgumentError(absl::StrCat(what, ": not JSON"));
  if (!document.is_object())
    return absl::InvalidArgumentError(absl::StrCat(what, ": not a JSON object"));
  return document;
}

std::string BelowBundle(const std::string& path, const std::string& bundle) {
  return absl::StartsWith(path, "/") ? path : absl::StrCat(bundle, "/", path);
}

void ReadRoot(const FieldReader& document, const std::string& bundle, OciConfig* config) {
  const FieldReader root = document.Child("root");
  if (!root.present()) return root.Fail("missing");
  const std::string path = root.String("path");
  if (path.empty()) return root.Fail("has no path");
  config->spec.rootfs_path = BelowBundle(path, bundle);
  config->spec.readonly_rootfs = root.Bool("readonly");
}

// What the fields say together.
absl::Status CheckWhole(const OciConfig& config) {
  const ContainerSpec& spec = config.spec;
  if (!absl::StartsWith(config.version, "1.")) {
    return absl::InvalidArgumentError(
        absl::StrCat("config.json ociVersion: \"", config.version, "\" is not 1.x"));
  }
  if (!spec.namespaces.new_uts && !(spec.hostname.empty() && spec.domainname.empty())) {
    return absl::InvalidArgumentError(
        "config.json hostname: needs a new uts namespace, the host's name is not changed");
  }
  if (spec.namespaces.user.uids.empty() != spec.namespaces.user.gids.empty()) {
    return absl::InvalidArgumentError(
        "config.json linux.uidMappings: uidMappings and gidMappings come together");
  }
  return absl::OkStatus();
}

}  // namespace

std::string CleanPath(absl::string_view path) {
  if (!absl::StartsWith(path, "/")) return "";
  std::vector<absl::string_view> parts;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == "..") return "";
    if (part != ".") parts.push_back(part);
  }
  return absl::StrCat("/", absl::StrJoin(parts, "/"));
}

absl::StatusOr<OciConfig> ParseOciConfig(absl::string_view json, const std::string& bundle,
                                         const std::string& id, std::set<std::string>* read) {
  ASSIGN_OR_RETURN(const nlohmann::json document, ParseObject(json, "config.json"));
  OciConfig config;
  RETURN_IF_ERROR(CheckFields(document, "", &config.unknown_fields));
  ReadLog log;
  const FieldReader root(&document, "", &log);
  config.version = root.String("ociVersion");
  config.annotations = root.StringMap("annotations");
  config.spec.hostname = root.String("hostname");
  config.spec.domainname = root.String("domainname");
  ReadRoot(root, bundle, &config);
  ReadLinux(root, id, &config);
  ReadMounts(root, bundle, &config);
  ReadHooks(root, &config.spec.hooks);
  const FieldReader process = root.Child("process");
  config.has_process = process.present();
  ProcessConfig first = ReadProcess(process);
  config.spec.args = std::move(first.args);
  config.spec.env = std::move(first.env);
  config.spec.cwd = std::move(first.cwd);
  config.spec.identity = std::move(first.identity);
  config.spec.terminal = first.terminal;
  config.spec.stdin_open = !first.terminal;
  config.console_size = first.console_size;
  if (read != nullptr) *read = std::move(log.paths);
  RETURN_IF_ERROR(log.status);
  RETURN_IF_ERROR(CheckWhole(config));
  return config;
}

absl::StatusOr<ProcessConfig> ParseOciProcess(absl::string_view json) {
  ASSIGN_OR_RETURN(const nlohmann::json document, ParseObject(json, "process"));
  std::vector<std::string> unknown;
  RETURN_IF_ERROR(CheckFields(document, "process", &unknown));
  ReadLog log;
  ProcessConfig process = ReadProcess(FieldReader(&document, "process", &log));
  RETURN_IF_ERROR(log.status);
  return process;
}

absl::StatusOr<CgroupLimits> ParseOciResources(absl::string_view json) {
  ASSIGN_OR_RETURN(const nlohmann::json document, ParseObject(json, "resources"));
  std::vector<std::string> unknown;
  RETURN_IF_ERROR(CheckFields(document, "linux.resources", &unknown));
  ReadLog log;
  CgroupLimits limits = ReadLimits(FieldReader(&document, "linux.resources", &log));
  RETURN_IF_ERROR(log.status);
  return limits;
}

}  // namespace berth::oci
