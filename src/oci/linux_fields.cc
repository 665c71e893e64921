// linux of config.json.
#include <linux/sched.h>

#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/oci/oci_config.h"

namespace berth::oci {
namespace {

constexpr uint64_t kMaxU32 = std::numeric_limits<uint32_t>::max();

struct NamespaceType {
  const char* name;
  int flag;
};

constexpr NamespaceType kNamespaces[] = {
    {"pid", CLONE_NEWPID},       {"network", CLONE_NEWNET}, {"mount", CLONE_NEWNS},
    {"ipc", CLONE_NEWIPC},       {"uts", CLONE_NEWUTS},     {"user", CLONE_NEWUSER},
    {"cgroup", CLONE_NEWCGROUP},
};

int NamespaceFlag(const std::string& name) {
  for (const NamespaceType& type : kNamespaces) {
    if (name == type.name) return type.flag;
  }
  return 0;
}

void TakeNamespace(int flag, OciConfig* config) {
  ContainerNamespaces& namespaces = config->spec.namespaces;
  if (flag == CLONE_NEWPID) config->new_pid = true;
  if (flag == CLONE_NEWNET) namespaces.new_network = true;
  if (flag == CLONE_NEWIPC) namespaces.new_ipc = true;
  if (flag == CLONE_NEWUTS) namespaces.new_uts = true;
  if (flag == CLONE_NEWCGROUP) namespaces.private_cgroup = true;
}

void ReadNamespaces(const FieldReader& linux_part, OciConfig* config) {
  config->spec.namespaces.private_cgroup = false;
  int seen = 0;
  for (const FieldReader& one : linux_part.List("namespaces")) {
    const std::string type = one.String("type"), path = one.String("path");
    const int flag = NamespaceFlag(type);
    if (flag == 0) return one.Fail(absl::StrCat("no namespaces of type \"", type, "\""));
    if (seen & flag) return one.Fail(absl::StrCat(type, " is there twice"));
    seen |= flag;
    if (path.empty()) {
      TakeNamespace(flag, config);
    } else if (flag == CLONE_NEWNS || flag == CLONE_NEWUSER) {
      return one.Fail(absl::StrCat("joining a ", type, " namespace is not supported"));
    } else if (!absl::StartsWith(path, "/")) {
      return one.Fail("path is not absolute");
    } else {
      config->joined.push_back({.type = flag, .path = path});
    }
  }
  const FieldReader list = linux_part.Child("namespaces");
  if (!(seen & CLONE_NEWNS)) list.Fail("a container without a mount namespace is not supported");
  const bool mapped = !config->spec.namespaces.user.IsNode();
  if ((seen & CLONE_NEWUSER) != 0 && !mapped) list.Fail("a user namespace without mappings");
  if (mapped && !(seen & CLONE_NEWUSER)) list.Fail("mappings without a user namespace");
  if (mapped && !config->new_pid)
    list.Fail("a user namespace without a pid namespace of its own is not supported");
}

void ReadDevices(const FieldReader& linux_part, std::vector<DeviceSpec>* devices) {
  for (const FieldReader& one : linux_part.List("devices")) {
    const std::string type = one.String("type");
    DeviceSpec device;
    device.path = CleanPath(one.String("path"));
    device.major = static_cast<uint32_t>(one.Unsigned("major", kMaxU32).value_or(0));
    device.minor = static_cast<uint32_t>(one.Unsigned("minor", kMaxU32).value_or(0));
    device.mode = static_cast<mode_t>(one.Unsigned("fileMode").value_or(0666) & 07777);
    device.uid = static_cast<uid_t>(one.Unsigned("uid", kMaxU32).value_or(0));
    device.gid = static_cast<gid_t>(one.Unsigned("gid", kMaxU32).value_or(0));
    if (device.path.empty()) one.Fail("path is not absolute");
    if (type != "c" && type != "u" && type != "b" && type != "p") {
      one.Fail(absl::StrCat("no devices of type \"", type, "\""));
      continue;
    }
    device.type = type == "u" ? 'c' : type[0];
    device.source = device.path;
    devices->push_back(std::move(device));
  }
}

Propagation ReadPropagation(const FieldReader& linux_part) {
  const std::string name = linux_part.String("rootfsPropagation");
  if (name.empty() || name == "private" || name == "rprivate") return Propagation::kPrivate;
  if (name == "slave" || name == "rslave") return Propagation::kSlave;
  if (name == "shared" || name == "rshared") return Propagation::kShared;
  linux_part.Child("rootfsPropagation").Fail(absl::StrCat("\"", name, "\" is not supported"));
  return Propagation::kPrivate;
}

struct SysctlNamespace {
  const char* prefix;
  int flag;
};

// sysctls that belong to a namespace (namespaces(7)); all others are the host's.
constexpr SysctlNamespace kSysctls[] = {
    {"net.", CLONE_NEWNET},
    {"fs.mqueue.", CLONE_NEWIPC},
    {"kernel.msg", CLONE_NEWIPC},
    {"kernel.sem", CLONE_NEWIPC},
    {"kernel.shm", CLONE_NEWIPC},
    {"kernel.domainname", CLONE_NEWUTS},
    {"kernel.hostname", CLONE_NEWUTS},
};

bool OwnsNamespace(const OciConfig& config, int flag) {
  const ContainerNamespaces& namespaces = config.spec.namespaces;
  if (flag == CLONE_NEWNET && namespaces.new_network) return true;
  if (flag == CLONE_NEWIPC && namespaces.new_ipc) return true;
  if (flag == CLONE_NEWUTS && namespaces.new_uts) return true;
  for (const JoinedNamespace& joined : config.joined) {
    if (joined.type == flag && flag != CLONE_NEWUTS) return true;
  }
  return false;
}

void CheckSysctls(const FieldReader& linux_part, const OciConfig& config) {
  const FieldReader reader = linux_part.Child("sysctl");
  for (const auto& [name, value] : config.spec.sysctls) {
    int flag = 0;
    for (const SysctlNamespace& one : kSysctls) {
      if (absl::StartsWith(name, one.prefix)) flag = one.flag;
    }
    if (flag == 0 || name.find("..") != std::string::npos) {
      reader.Fail(absl::StrCat(name, " is not a namespace's own"));
    } else if (!OwnsNamespace(config, flag)) {
      reader.Fail(
          absl::StrCat(name, " would be the host's: that namespace is not the container's"));
    }
  }
}

std::vector<std::string> ReadPaths(const FieldReader& linux_part, const char* name) {
  std::vector<std::string> paths;
  for (const std::string& path : linux_part.Strings(name)) {
    paths.push_back(CleanPath(path));
    if (paths.back().empty()) linux_part.Child(name).Fail(absl::StrCat(path, ": not absolute"));
  }
  return paths;
}

std::string ReadCgroupPath(const FieldReader& linux_part, const std::string& id) {
  const std::string path = linux_part.String("cgroupsPath");
  if (path.empty()) return absl::StrCat("/berth-oci/", id);
  const std::string clean =
      CleanPath(absl::StartsWith(path, "/") ? path : absl::StrCat("/berth-oci/", path));
  if (clean.size() < 2) linux_part.Child("cgroupsPath").Fail("\"..\" or the root itself");
  return clean;
}

}  // namespace

std::vector<IdMapping> ReadMappings(const FieldReader& parent, const char* name) {
  std::vector<IdMapping> mappings;
  for (const FieldReader& one : parent.List(name)) {
    mappings.push_back(
        {.container_id = static_cast<uint32_t>(one.Unsigned("containerID", kMaxU32).value_or(0)),
         .host_id = static_cast<uint32_t>(one.Unsigned("hostID", kMaxU32).value_or(0)),
         .length = static_cast<uint32_t>(one.Unsigned("size", kMaxU32).value_or(0))});
    if (mappings.back().length == 0) one.Fail("maps nothing: its size is 0");
  }
  return mappings;
}

void ReadLinux(const FieldReader& root, const std::string& id, OciConfig* config) {
  const FieldReader part = root.Child("linux");
  ContainerSpec& spec = config->spec;
  spec.namespaces.user.uids = ReadMappings(part, "uidMappings");
  spec.namespaces.user.gids = ReadMappings(part, "gidMappings");
  ReadNamespaces(part, config);
  ReadDevices(part, &spec.devices);
  spec.root_propagation = ReadPropagation(part);
  spec.sysctls = part.StringMap("sysctl");
  CheckSysctls(part, *config);
  spec.masked_paths = ReadPaths(part, "maskedPaths");
  spec.readonly_paths = ReadPaths(part, "readonlyPaths");
  spec.mount_label = part.String("mountLabel");
  config->cgroup_path = ReadCgroupPath(part, id);
  const FieldReader seccomp = part.Child("seccomp");
  if (seccomp.present()) config->seccomp_json = seccomp.value()->dump();
  const FieldReader resources = part.Child("resources");
  config->limits = ReadLimits(resources);
  config->device_rules = ReadDeviceRules(resources);
  config->limits_devices = resources.Child("devices").present();
}

}  // namespace berth::oci
