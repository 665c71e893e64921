// What a CDI spec file says: grammar, validation, versions.
#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/runtime/cdi.h"
#include "src/runtime/config_document.h"
#include "src/runtime/hook_members.h"
#include "src/runtime/hooks.h"

namespace berth {
namespace {

using Json = nlohmann::json;

// Released versions of the specification, oldest first; a version is its index.
constexpr std::array<absl::string_view, 10> kVersions = {
    "0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"};
constexpr size_t kV040 = 3, kV050 = 4, kV060 = 5, kV070 = 6, kV110 = 9;

constexpr size_t kMaxAnnotationBytes = 256 << 10;
constexpr size_t kMaxNameBytes = 253;

bool HasOnly(absl::string_view text, absl::string_view punctuation) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains(punctuation, c);
  });
}

bool IsAlnumAt(absl::string_view text, size_t at) {
  return absl::ascii_isalnum(static_cast<unsigned char>(text[at]));
}

bool IsVendorOrClass(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes &&
         absl::ascii_isalpha(static_cast<unsigned char>(text[0])) &&
         IsAlnumAt(text, text.size() - 1) && HasOnly(text, "_-.");
}

bool IsDeviceName(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes && IsAlnumAt(text, 0) &&
         IsAlnumAt(text, text.size() - 1) && HasOnly(text, "_-.:");
}

bool IsKind(absl::string_view kind) {
  const std::vector<absl::string_view> parts = absl::StrSplit(kind, '/');
  return parts.size() == 2 && IsVendorOrClass(parts[0]) && IsVendorOrClass(parts[1]);
}

// A name of at most 63 bytes, with or without a DNS prefix.
bool IsAnnotationKey(absl::string_view key) {
  const std::vector<absl::string_view> parts = absl::StrSplit(key, '/');
  if (parts.size() > 2) return false;
  const absl::string_view name = parts.back();
  if (name.empty() || name.size() > 63 || !IsAlnumAt(name, 0) ||
      !IsAlnumAt(name, name.size() - 1) || !HasOnly(name, "_-.")) {
    return false;
  }
  if (parts.size() == 1) return true;
  const std::vector<absl::string_view> labels = absl::StrSplit(parts[0], '.');
  return parts[0].size() <= kMaxNameBytes &&
         std::all_of(labels.begin(), labels.end(), [](absl::string_view label) {
           return !label.empty() && IsAlnumAt(label, 0) && IsAlnumAt(label, label.size() - 1) &&
                  HasOnly(label, "-");
         });
}

// An absolute path without "." components and doubled slashes; "" if it has "..", or is no path.
std::string CleanPath(absl::string_view path) {
  if (!absl::StartsWith(path, "/")) return "";
  std::vector<absl::string_view> parts;
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part == "..") return "";
    if (!part.empty() && part != ".") parts.push_back(part);
  }
  return absl::StrCat("/", absl::StrJoin(parts, "/"));
}

// A spec that is being read: the version that its contents need is raised on the way.
class SpecReader {
 public:
  absl::StatusOr<CdiSpec> Read(const Json& document);

 private:
  void Needs(size_t version, absl::string_view feature) {
    if (version <= needed_) return;
    needed_ = version;
    needed_by_ = std::string(feature);
  }
  void ReadAnnotations(MemberReader* reader);
  absl::Status ReadDevice(const Json& json, const std::string& where, CdiSpec* spec);
  absl::Status ReadEdits(const Json& json, const std::string& where, CdiEdits* edits);
  absl::Status ReadDeviceNode(const Json& json, const std::string& where, CdiEdits* edits);
  absl::Status ReadMount(const Json& json, const std::string& where, CdiEdits* edits);
  absl::Status ReadStageHook(const Json& json, const std::string& where, CdiEdits* edits);
  absl::Status CheckVersion(const std::string& version) const;

  size_t needed_ = 0;
  std::string needed_by_;
};

void SpecReader::ReadAnnotations(MemberReader* reader) {
  std::map<std::string, std::string> annotations;
  reader->Read("annotations", &annotations);
  if (!annotations.empty()) Needs(kV060, "annotations");
  size_t bytes = 0;
  for (const auto& [key, value] : annotations) {
    if (!IsAnnotationKey(key))
      reader->Fail(absl::StrCat("annotations: bad name \"", EscapeForLog(key), "\""));
    bytes += key.size() + value.size();
  }
  if (bytes > kMaxAnnotationBytes)
    reader->Fail(absl::StrCat("annotations: more than ", kMaxAnnotationBytes, " bytes"));
}

absl::Status SpecReader::ReadDeviceNode(const Json& json, const std::string& where,
                                        CdiEdits* edits) {
  MemberReader reader(json, where);
  CdiDeviceNode node;
  std::string path, type;
  std::optional<int64_t> major, minor;
  std::optional<uint32_t> mode;
  reader.Read("path", &path);
  reader.Read("hostPath", &node.host_path);
  reader.Read("type", &type);
  reader.Read("major", &major);
  reader.Read("minor", &minor);
  reader.Read("fileMode", &mode);
  reader.Read("permissions", &node.access);
  reader.Read("uid", &node.uid);
  reader.Read("gid", &node.gid);
  if (!node.host_path.empty()) Needs(kV050, "deviceNodes.hostPath");
  node.path = CleanPath(path);
  if (node.path.size() < 2)
    reader.Fail(absl::StrCat("path \"", EscapeForLog(path), "\" is no path of a device"));
  if (!node.host_path.empty() && !absl::StartsWith(node.host_path, "/"))
    reader.Fail(absl::StrCat("hostPath \"", EscapeForLog(node.host_path), "\" is not absolute"));
  if (!type.empty()) {
    if (type.size() != 1 || !absl::StrContains("bcup", type))
      reader.Fail(absl::StrCat("type \"", EscapeForLog(type), "\" is none of b, c, u, p"));
    node.type = type == "u" ? 'c' : type[0];  // "u" is an unbuffered character device: mknod(1)
  }
  for (const auto& [number, name] : {std::pair(&major, "major"), std::pair(&minor, "minor")}) {
    if (number->has_value() && (**number < 0 || **number > int64_t{0xffffffff}))
      reader.Fail(absl::StrCat(name, ": out of range"));
  }
  if (major.has_value()) node.major = static_cast<uint32_t>(*major);
  if (minor.has_value()) node.minor = static_cast<uint32_t>(*minor);
  if (mode.has_value())
    node.mode = *mode & 07777;  // may have the bits of the type, as stat(2) does
  absl::StatusOr<std::string> access = ParseDeviceAccess(node.access.empty() ? "rwm" : node.access);
  if (access.ok()) {
    node.access = *access;
  } else {
    reader.Fail(access.status().message());
  }
  edits->device_nodes.push_back(std::move(node));
  return reader.Finish();
}

absl::Status SpecReader::ReadMount(const Json& json, const std::string& where, CdiEdits* edits) {
  MemberReader reader(json, where);
  CdiMount mount;
  std::string target;
  reader.Read("hostPath", &mount.host_path);
  reader.Read("containerPath", &target);
  reader.Read("type", &mount.type);
  reader.Read("options", &mount.options);
  if (!mount.type.empty()) Needs(kV040, "mounts.type");
  mount.container_path = CleanPath(target);
  if (mount.container_path.size() < 2)
    reader.Fail(absl::StrCat("containerPath \"", EscapeForLog(target), "\" cannot be mounted on"));
  const bool bind = mount.type.empty() || mount.type == "bind";
  if (mount.host_path.empty() || (bind && !absl::StartsWith(mount.host_path, "/")))
    reader.Fail(absl::StrCat("hostPath \"", EscapeForLog(mount.host_path), "\" is not absolute"));
  edits->mounts.push_back(std::move(mount));
  return reader.Finish();
}

absl::Status SpecReader::ReadStageHook(const Json& json, const std::string& where,
                                       CdiEdits* edits) {
  MemberReader reader(json, where);
  std::string stage;
  reader.Read("hookName", &stage);
  Hook hook = WithHookPath(ReadHook(&reader));
  std::vector<Hook>* list = HooksOfStage(stage, &edits->hooks);
  if (list == nullptr) {
    reader.Fail(absl::StrCat("hookName \"", EscapeForLog(stage), "\" is no stage"));
  } else {
    list->push_back(std::move(hook));
  }
  return reader.Finish();
}

absl::Status SpecReader::ReadEdits(const Json& json, const std::string& where, CdiEdits* edits) {
  MemberReader reader(json, where);
  reader.Read("env", &edits->env);
  for (const std::string& variable : edits->env) {
    if (!IsVariable(variable))
      reader.Fail(absl::StrCat("env \"", EscapeForLog(variable), "\" is not NAME=value"));
  }
  struct ListMember {
    const char* name;
    absl::Status (SpecReader::*read)(const Json&, const std::string&, CdiEdits*);
  };
  constexpr ListMember kLists[] = {{"deviceNodes", &SpecReader::ReadDeviceNode},
                                   {"mounts", &SpecReader::ReadMount},
                                   {"hooks", &SpecReader::ReadStageHook}};
  for (const ListMember& member : kLists) {
    const Json* list = reader.List(member.name);
    for (size_t i = 0; list != nullptr && i < list->size(); ++i)
      RETURN_IF_ERROR((this->*member.read)((*list)[i], reader.Where(member.name, i), edits));
  }
  if (const Json* gids = reader.List("additionalGids")) {
    Needs(kV070, "additionalGids");
    for (const Json& gid : *gids) {
      if (!gid.is_number_unsigned() || gid.get<uint64_t>() >= 0xffffffff) {
        reader.Fail("additionalGids: expected group ids");
        break;
      }
      // Group 0 is nobody's addition: the specification has the runtime leave it out.
      if (gid.get<uint64_t>() != 0)
        edits->additional_gids.push_back(static_cast<gid_t>(gid.get<uint64_t>()));
    }
  }
  // What Berth does not do is told to whoever asks for the device, not to all users of the file.
  if (reader.Object("intelRdt") != nullptr) {
    Needs(kV070, "intelRdt");
    edits->refused.push_back("intelRdt");
  }
  const Json* net = reader.List("netDevices");
  if (net != nullptr && !net->empty()) {
    Needs(kV110, "netDevices");
    edits->refused.push_back("netDevices");
  }
  return reader.Finish();
}

absl::Status SpecReader::ReadDevice(const Json& json, const std::string& where, CdiSpec* spec) {
  MemberReader reader(json, where);
  std::string name;
  reader.Read("name", &name);
  if (!IsDeviceName(name)) reader.Fail(absl::StrCat("bad name \"", EscapeForLog(name), "\""));
  if (!name.empty() && absl::ascii_isdigit(static_cast<unsigned char>(name[0])))
    Needs(kV050, "a device name that begins with a digit");
  ReadAnnotations(&reader);
  CdiEdits edits;
  if (const Json* json_edits = reader.Object("containerEdits"))
    RETURN_IF_ERROR(ReadEdits(*json_edits, reader.Where("containerEdits"), &edits));
  if (edits.empty()) reader.Fail(absl::StrCat("device ", EscapeForLog(name), " has no edits"));
  if (!spec->devices.emplace(name, std::move(edits)).second)
    reader.Fail(absl::StrCat("device ", EscapeForLog(name), " twice"));
  return reader.Finish();
}

absl::Status SpecReader::CheckVersion(const std::string& version) const {
  const auto found = std::find(kVersions.begin(), kVersions.end(), version);
  if (found == kVersions.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("cdiVersion \"", EscapeForLog(version), "\" is not known"));
  }
  if (static_cast<size_t>(found - kVersions.begin()) < needed_) {
    return absl::InvalidArgumentError(
        absl::StrCat("cdiVersion ", version, ": ", needed_by_, " needs ", kVersions[needed_]));
  }
  return absl::OkStatus();
}

absl::StatusOr<CdiSpec> SpecReader::Read(const Json& document) {
  MemberReader reader(document, "");
  CdiSpec spec;
  std::string version;
  reader.Read("cdiVersion", &version);
  reader.Read("kind", &spec.kind);
  if (!IsKind(spec.kind))
    reader.Fail(absl::StrCat("kind \"", EscapeForLog(spec.kind), "\" is not VENDOR/CLASS"));
  if (absl::StrContains(spec.kind.substr(std::min(spec.kind.find('/'), spec.kind.size())), '.'))
    Needs(kV060, "a class with dots");
  ReadAnnotations(&reader);
  if (const Json* edits = reader.Object("containerEdits"))
    RETURN_IF_ERROR(ReadEdits(*edits, "containerEdits", &spec.edits));
  const Json* devices = reader.List("devices");
  for (size_t i = 0; devices != nullptr && i < devices->size(); ++i)
    RETURN_IF_ERROR(ReadDevice((*devices)[i], reader.Where("devices", i), &spec));
  if (spec.devices.empty()) reader.Fail("devices: there is none");
  RETURN_IF_ERROR(reader.Finish());
  RETURN_IF_ERROR(CheckVersion(version));
  return spec;
}

template <typename T>
void AppendTo(std::vector<T>* list, const std::vector<T>& more) {
  list->insert(list->end(), more.begin(), more.end());
}

void AppendHooks(Hooks* hooks, const Hooks& more) {
  AppendTo(&hooks->prestart, more.prestart);
  AppendTo(&hooks->create_runtime, more.create_runtime);
  AppendTo(&hooks->create_container, more.create_container);
  AppendTo(&hooks->start_container, more.start_container);
  AppendTo(&hooks->poststart, more.poststart);
  AppendTo(&hooks->poststop, more.poststop);
}

}  // namespace

bool CdiEdits::empty() const {
  return env.empty() && device_nodes.empty() && mounts.empty() && hooks.prestart.empty() &&
         hooks.create_runtime.empty() && hooks.create_container.empty() &&
         hooks.start_container.empty() && hooks.poststart.empty() && hooks.poststop.empty() &&
         additional_gids.empty() && refused.empty();
}

void CdiEdits::Append(const CdiEdits& more) {
  AppendTo(&env, more.env);
  AppendTo(&device_nodes, more.device_nodes);
  AppendTo(&mounts, more.mounts);
  AppendHooks(&hooks, more.hooks);
  AppendTo(&additional_gids, more.additional_gids);
  AppendTo(&refused, more.refused);
}

absl::StatusOr<CdiSpec> ParseCdiSpec(absl::string_view text, CdiFormat format) {
  ASSIGN_OR_RETURN(const Json document,
                   format == CdiFormat::kJson ? ParseJsonDocument(text) : ParseYamlDocument(text));
  return SpecReader().Read(document);
}

absl::Status CheckCdiDeviceName(absl::string_view name) {
  const size_t equals = name.find('=');
  if (equals == absl::string_view::npos || !IsKind(name.substr(0, equals)) ||
      !IsDeviceName(name.substr(equals + 1))) {
    return absl::InvalidArgumentError(
        absl::StrCat("CDI device \"", EscapeForLog(name), "\" is not VENDOR/CLASS=NAME"));
  }
  return absl::OkStatus();
}

}  // namespace berth
