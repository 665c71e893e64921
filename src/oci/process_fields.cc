// process and hooks of config.json.
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/oci/oci_config.h"
#include "src/runtime/capabilities.h"
#include "src/runtime/rlimits.h"

namespace berth::oci {
namespace {

constexpr uint64_t kMaxId = std::numeric_limits<uint32_t>::max() - 1;  // -1 is "no change"

struct CapabilityField {
  const char* name;
  uint64_t CapabilitySets::*set;
};

constexpr CapabilityField kCapabilityFields[] = {
    {"bounding", &CapabilitySets::bounding},   {"permitted", &CapabilitySets::permitted},
    {"effective", &CapabilitySets::effective}, {"inheritable", &CapabilitySets::inheritable},
    {"ambient", &CapabilitySets::ambient},
};

void ReadUser(const FieldReader& process, ProcessIdentity* identity) {
  const FieldReader user = process.Child("user");
  identity->uid = static_cast<uid_t>(user.Unsigned("uid", kMaxId).value_or(0));
  identity->gid = static_cast<gid_t>(user.Unsigned("gid", kMaxId).value_or(0));
  if (const auto mask = user.Unsigned("umask", 0777)) identity->umask = static_cast<mode_t>(*mask);
  const FieldReader groups = user.Child("additionalGids");
  if (!groups.present()) return;
  if (!groups.value()->is_array()) return groups.Fail("not a list");
  for (const nlohmann::json& group : *groups.value()) {
    if (!group.is_number_unsigned() || group.get<uint64_t>() > kMaxId)
      return groups.Fail("not group ids");
    identity->groups.push_back(group.get<gid_t>());
  }
}

void ReadCapabilities(const FieldReader& process, CapabilitySets* sets) {
  const FieldReader capabilities = process.Child("capabilities");
  for (const CapabilityField& field : kCapabilityFields) {
    const absl::StatusOr<uint64_t> mask = CapabilityMask(capabilities.Strings(field.name));
    if (mask.ok()) {
      sets->*field.set = *mask;
    } else {
      capabilities.Child(field.name).Fail(std::string(mask.status().message()));
    }
  }
  if (sets->effective & ~sets->permitted)
    capabilities.Child("effective").Fail("has capabilities that permitted has not");
  if (sets->ambient & ~(sets->permitted & sets->inheritable))
    capabilities.Child("ambient").Fail("has capabilities that permitted or inheritable has not");
}

std::vector<Rlimit> ReadRlimits(const FieldReader& process) {
  std::vector<Rlimit> rlimits;
  for (const FieldReader& limit : process.List("rlimits")) {
    const std::string type = limit.String("type");
    const absl::StatusOr<int> resource = RlimitByName(type);
    if (!resource.ok() || !absl::StartsWith(type, "RLIMIT_")) {
      limit.Fail(absl::StrCat("no such limit: \"", type, "\""));
      continue;
    }
    for (const Rlimit& other : rlimits) {
      if (other.resource == *resource) limit.Fail(absl::StrCat(type, " is there twice"));
    }
    const Rlimit one = {.resource = *resource,
                        .soft = limit.Unsigned("soft").value_or(0),
                        .hard = limit.Unsigned("hard").value_or(0)};
    if (one.soft > one.hard) limit.Fail("the soft limit is above the hard one");
    rlimits.push_back(one);
  }
  return rlimits;
}

ConsoleSize ReadConsoleSize(const FieldReader& process) {
  const FieldReader size = process.Child("consoleSize");
  constexpr uint64_t kMost = std::numeric_limits<uint16_t>::max();
  return {.rows = static_cast<uint16_t>(size.Unsigned("height", kMost).value_or(0)),
          .columns = static_cast<uint16_t>(size.Unsigned("width", kMost).value_or(0))};
}

struct HookField {
  const char* name;
  std::vector<Hook> Hooks::*list;
};

constexpr HookField kHookFields[] = {
    {"prestart", &Hooks::prestart},
    {"createRuntime", &Hooks::create_runtime},
    {"createContainer", &Hooks::create_container},
    {"startContainer", &Hooks::start_container},
    {"poststart", &Hooks::poststart},
    {"poststop", &Hooks::poststop},
};

Hook ReadHook(const FieldReader& reader) {
  Hook hook = {
      .path = reader.String("path"), .args = reader.Strings("args"), .env = reader.Strings("env")};
  if (!absl::StartsWith(hook.path, "/")) reader.Fail("path is not absolute");
  if (reader.Child("timeout").present()) {
    const int64_t seconds = reader.Int("timeout", 1, 1 << 30).value_or(1);
    hook.timeout = absl::Seconds(seconds);
  }
  return hook;
}

}  // namespace

absl::StatusOr<uint64_t> CapabilityMask(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, "CAP_") || name == "CAP_ALL")
      return absl::InvalidArgumentError(absl::StrCat("unknown capability \"", name, "\""));
  }
  return ResolveCapabilities(names, {"ALL"});
}

ProcessConfig ReadProcess(const FieldReader& process) {
  ProcessConfig config;
  config.args = process.Strings("args");
  config.env = process.Strings("env");
  config.cwd = process.String("cwd");
  config.terminal = process.Bool("terminal");
  config.console_size = ReadConsoleSize(process);
  ProcessIdentity& identity = config.identity;
  ReadUser(process, &identity);
  ReadCapabilities(process, &identity.caps);
  identity.rlimits = ReadRlimits(process);
  identity.no_new_privs = process.Bool("noNewPrivileges");
  identity.apparmor = process.String("apparmorProfile");
  identity.selinux = process.String("selinuxLabel");
  if (const auto score = process.Int("oomScoreAdj", -1000, 1000))
    identity.oom_score_adj = static_cast<int>(*score);
  if (!process.present()) return config;
  if (config.args.empty() || config.args[0].empty()) process.Child("args").Fail("names no program");
  if (!absl::StartsWith(config.cwd, "/")) process.Child("cwd").Fail("not an absolute path");
  return config;
}

void ReadHooks(const FieldReader& root, Hooks* hooks) {
  const FieldReader all = root.Child("hooks");
  for (const HookField& field : kHookFields) {
    for (const FieldReader& one : all.List(field.name)) {
      (hooks->*field.list).push_back(ReadHook(one));
    }
  }
}

}  // namespace berth::oci
