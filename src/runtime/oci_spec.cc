#include "src/runtime/oci_spec.h"

#include <algorithm>

#include "src/runtime/capabilities.h"
#include "src/runtime/oci_mounts.h"
#include "src/runtime/oci_resources.h"
#include "src/runtime/plan_steps.h"
#include "src/runtime/rlimits.h"

namespace berth {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kOciVersion[] = "1.1.0";

template <typename T>
void SetIf(bool wanted, const char* name, const T& value, Json* object) {
  if (wanted) (*object)[name] = value;
}

template <typename T>
void SetIfAny(const char* name, const T& value, Json* object) {
  SetIf(!value.empty(), name, value, object);
}

template <typename T>
void SetIfThere(const char* name, const std::optional<T>& value, Json* object) {
  if (value.has_value()) (*object)[name] = *value;
}

Json Capabilities(const CapabilitySets& caps) {
  return {{"bounding", CapabilityList(caps.bounding)},
          {"effective", CapabilityList(caps.effective)},
          {"inheritable", CapabilityList(caps.inheritable)},
          {"permitted", CapabilityList(caps.permitted)},
          {"ambient", CapabilityList(caps.ambient)}};
}

Json Rlimits(const std::vector<Rlimit>& rlimits) {
  Json list = Json::array();
  for (const Rlimit& limit : rlimits) {
    list.push_back(
        {{"type", RlimitName(limit.resource)}, {"hard", limit.hard}, {"soft", limit.soft}});
  }
  return list;
}

Json User(const ProcessIdentity& identity) {
  Json user = {{"uid", identity.uid}, {"gid", identity.gid}};
  SetIfThere("umask", identity.umask, &user);
  SetIfAny("additionalGids", identity.groups, &user);
  return user;
}

Json Process(const ContainerSpec& spec) {
  const ProcessIdentity& identity = spec.identity;
  Json process;
  SetIf(spec.terminal, "terminal", true, &process);
  process["user"] = User(identity);
  process["args"] = spec.args;
  SetIfAny("env", spec.env, &process);
  process["cwd"] = spec.cwd;
  process["capabilities"] = Capabilities(identity.caps);
  SetIfAny("rlimits", Rlimits(identity.rlimits), &process);
  process["noNewPrivileges"] = identity.no_new_privs;
  SetIfAny("apparmorProfile", identity.apparmor, &process);
  SetIfThere("oomScoreAdj", identity.oom_score_adj, &process);
  SetIfAny("selinuxLabel", identity.selinux, &process);
  return process;
}

Json HookList(const std::vector<Hook>& hooks) {
  Json list = Json::array();
  for (const Hook& hook : hooks) {
    Json one = {{"path", hook.path}};
    SetIfAny("args", hook.args, &one);
    SetIfAny("env", hook.env, &one);
    // The specification counts in whole seconds.
    SetIf(hook.timeout > absl::ZeroDuration(), "timeout",
          std::max<int64_t>(1, absl::ToInt64Seconds(absl::Ceil(hook.timeout, absl::Seconds(1)))),
          &one);
    list.push_back(std::move(one));
  }
  return list;
}

Json HooksOf(const Hooks& hooks) {
  struct Stage {
    const char* name;
    const std::vector<Hook>& hooks;
  };
  const Stage stages[] = {{"prestart", hooks.prestart},
                          {"createRuntime", hooks.create_runtime},
                          {"createContainer", hooks.create_container},
                          {"startContainer", hooks.start_container},
                          {"poststart", hooks.poststart},
                          {"poststop", hooks.poststop}};
  Json object = Json::object();
  for (const Stage& stage : stages) SetIfAny(stage.name, HookList(stage.hooks), &object);
  return object;
}

Json Resources(const OciContext& context) {
  Json resources = {{"devices", OciDeviceRules(context.device_rules)}};
  resources.update(OciLimits(context.limits));
  return resources;
}

Json Namespaces(const ContainerSpec& spec, const OciContext& context) {
  Json list = Json::array();
  for (const auto& [type, path] : context.namespaces) {
    Json one = {{"type", type}};
    SetIfAny("path", path, &one);
    list.push_back(std::move(one));
  }
  list.push_back({{"type", "mount"}});
  if (spec.namespaces.private_cgroup || !spec.namespaces.user.IsNode())
    list.push_back({{"type", "cgroup"}});
  return list;
}

Json Devices(const std::vector<DeviceSpec>& devices) {
  Json list = Json::array();
  for (const DeviceSpec& device : devices) {
    Json one = {{"path", device.path}, {"type", std::string(1, device.type)}};
    SetIf(device.type != 'p', "major", device.major, &one);
    SetIf(device.type != 'p', "minor", device.minor, &one);
    one["fileMode"] = device.mode;
    one["uid"] = device.uid;
    one["gid"] = device.gid;
    list.push_back(std::move(one));
  }
  return list;
}

Json Seccomp(const std::string& text) {
  Json seccomp = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return seccomp.is_discarded() ? Json(text) : seccomp;
}

Json Linux(const ContainerSpec& spec, const OciContext& context) {
  const UserNamespace& user = spec.namespaces.user;
  Json section;
  SetIfAny("uidMappings", OciMappings(user.uids), &section);
  SetIfAny("gidMappings", OciMappings(user.gids), &section);
  SetIfAny("sysctl", spec.sysctls, &section);
  section["resources"] = Resources(context);
  SetIfAny("cgroupsPath", context.cgroups_path, &section);
  section["namespaces"] = Namespaces(spec, context);
  SetIfAny("devices", Devices(spec.devices), &section);
  if (!context.seccomp_json.empty()) section["seccomp"] = Seccomp(context.seccomp_json);
  SetIfAny("rootfsPropagation", OciRootPropagation(spec), &section);
  SetIfAny("maskedPaths", spec.masked_paths, &section);
  SetIfAny("readonlyPaths", spec.readonly_paths, &section);
  SetIfAny("mountLabel", spec.mount_label, &section);
  return section;
}

std::string RootPath(const ContainerSpec& spec, const OciContext& context) {
  if (!context.rootfs.empty()) return context.rootfs;
  if (!spec.rootfs_path.empty()) return spec.rootfs_path;
  return context.bundle.empty() ? "rootfs" : BundleRootfs(context.bundle);
}

}  // namespace

std::string OciSpecJson(const ContainerSpec& spec, const OciContext& context) {
  Json config = {{"ociVersion", kOciVersion}};
  config["process"] = Process(spec);
  config["root"] = {{"path", RootPath(spec, context)}, {"readonly", spec.readonly_rootfs}};
  SetIfAny("hostname", spec.hostname, &config);
  SetIfAny("domainname", spec.domainname, &config);
  config["mounts"] = OciMounts(spec, context);
  SetIfAny("hooks", HooksOf(spec.hooks), &config);
  SetIfAny("annotations", context.annotations, &config);
  config["linux"] = Linux(spec, context);
  return config.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace berth
