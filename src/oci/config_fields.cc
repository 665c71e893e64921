#include "src/oci/config_fields.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth::oci {
namespace {

using enum Handling;

constexpr const char* kNotLinux = "another platform's";
constexpr const char* kStateOnly = "in state and hooks";

constexpr ConfigField kFields[] = {
    {"ociVersion", kHonoured, "1.x"},
    {"annotations", kHonoured, kStateOnly},
    {"hostname", kHonoured, "with a new uts namespace"},
    {"domainname", kHonoured, "with a new uts namespace"},
    {"root", kInside, ""},
    {"root.path", kHonoured, "absolute, or relative to the bundle"},
    {"root.readonly", kHonoured, ""},
    {"mounts[]", kInside, ""},
    {"mounts[].destination", kHonoured, ""},
    {"mounts[].source", kHonoured, "relative to the bundle"},
    {"mounts[].type", kHonoured, ""},
    {"mounts[].options", kHonoured, "tmpcopyup, remount and unbindable are refused"},
    {"mounts[].uidMappings", kHonoured, "those of the container's user namespace"},
    {"mounts[].gidMappings", kHonoured, "those of the container's user namespace"},
    {"process", kInside, ""},
    {"process.terminal", kHonoured, ""},
    {"process.consoleSize", kInside, ""},
    {"process.consoleSize.height", kHonoured, ""},
    {"process.consoleSize.width", kHonoured, ""},
    {"process.cwd", kHonoured, ""},
    {"process.env", kHonoured, ""},
    {"process.args", kHonoured, ""},
    {"process.commandLine", kRefused, kNotLinux},
    {"process.rlimits[]", kInside, ""},
    {"process.rlimits[].type", kHonoured, ""},
    {"process.rlimits[].soft", kHonoured, ""},
    {"process.rlimits[].hard", kHonoured, ""},
    {"process.apparmorProfile", kHonoured, "refused on a kernel without AppArmor"},
    {"process.selinuxLabel", kHonoured, "refused on a kernel without SELinux"},
    {"process.capabilities", kInside, ""},
    {"process.capabilities.bounding", kHonoured, ""},
    {"process.capabilities.permitted", kHonoured, ""},
    {"process.capabilities.effective", kHonoured, ""},
    {"process.capabilities.inheritable", kHonoured, ""},
    {"process.capabilities.ambient", kHonoured, ""},
    {"process.noNewPrivileges", kHonoured, ""},
    {"process.oomScoreAdj", kHonoured, ""},
    {"process.scheduler", kRefused, "no scheduling policies"},
    {"process.ioPriority", kRefused, "no I/O priorities"},
    {"process.execCPUAffinity", kRefused, "cpusets are in linux.resources.cpu"},
    {"process.user", kInside, ""},
    {"process.user.uid", kHonoured, ""},
    {"process.user.gid", kHonoured, ""},
    {"process.user.umask", kHonoured, ""},
    {"process.user.additionalGids", kHonoured, ""},
    {"process.user.username", kRefused, kNotLinux},
    {"hooks", kInside, ""},
#define BERTH_HOOK(name, how)                                                   \
  {"hooks." name "[]", kInside, ""}, {"hooks." name "[].path", kHonoured, how}, \
      {"hooks." name "[].args", kHonoured, ""},                                 \
      {"hooks." name "[].env", kHonoured, "nothing is inherited"}, {            \
    "hooks." name "[].timeout", kHonoured, ""                                   \
  }
    BERTH_HOOK("prestart", "by create, in the runtime's namespaces"),
    BERTH_HOOK("createRuntime", "by create, in the runtime's namespaces"),
    BERTH_HOOK("createContainer", "by create, in the container's namespaces"),
    BERTH_HOOK("startContainer", "by start, in the container's namespaces"),
    BERTH_HOOK("poststart", "by start; a failure is a warning"),
    BERTH_HOOK("poststop", "by delete; a failure is a warning"),
#undef BERTH_HOOK
    {"linux", kInside, ""},
    {"linux.namespaces[]", kInside, ""},
    {"linux.namespaces[].type", kHonoured, "a mount namespace is needed; time is refused"},
    {"linux.namespaces[].path", kHonoured, "not for mount and user namespaces"},
    {"linux.uidMappings[]", kInside, ""},
    {"linux.uidMappings[].containerID", kHonoured, ""},
    {"linux.uidMappings[].hostID", kHonoured, ""},
    {"linux.uidMappings[].size", kHonoured, ""},
    {"linux.gidMappings[]", kInside, ""},
    {"linux.gidMappings[].containerID", kHonoured, ""},
    {"linux.gidMappings[].hostID", kHonoured, ""},
    {"linux.gidMappings[].size", kHonoured, ""},
    {"linux.timeOffsets", kRefused, "no time namespaces"},
    {"linux.devices[]", kInside, ""},
    {"linux.devices[].type", kHonoured, ""},
    {"linux.devices[].path", kHonoured, ""},
    {"linux.devices[].major", kHonoured, ""},
    {"linux.devices[].minor", kHonoured, ""},
    {"linux.devices[].fileMode", kHonoured, ""},
    {"linux.devices[].uid", kHonoured, ""},
    {"linux.devices[].gid", kHonoured, ""},
    {"linux.netDevices", kRefused, "no network device is moved"},
    {"linux.cgroupsPath", kHonoured, "relative ones below /berth-oci"},
    {"linux.resources", kInside, ""},
    {"linux.resources.devices[]", kInside, ""},
    {"linux.resources.devices[].allow", kHonoured, ""},
    {"linux.resources.devices[].type", kHonoured, ""},
    {"linux.resources.devices[].major", kHonoured, ""},
    {"linux.resources.devices[].minor", kHonoured, ""},
    {"linux.resources.devices[].access", kHonoured, ""},
    {"linux.resources.memory", kInside, ""},
    {"linux.resources.memory.limit", kHonoured, ""},
    {"linux.resources.memory.swap", kHonoured, ""},
    {"linux.resources.memory.reservation", kRefused, "unified memory.low says it on cgroup v2"},
    {"linux.resources.memory.kernel", kRefused, "gone from the kernel"},
    {"linux.resources.memory.kernelTCP", kRefused, "gone from the kernel"},
    {"linux.resources.memory.swappiness", kRefused, "cgroup v1 only"},
    {"linux.resources.memory.disableOOMKiller", kRefused, "cgroup v1 only"},
    {"linux.resources.memory.useHierarchy", kRefused, "gone from the kernel"},
    {"linux.resources.memory.checkBeforeUpdate", kHonoured, "an update always checks"},
    {"linux.resources.cpu", kInside, ""},
    {"linux.resources.cpu.shares", kHonoured, ""},
    {"linux.resources.cpu.quota", kHonoured, ""},
    {"linux.resources.cpu.period", kHonoured, ""},
    {"linux.resources.cpu.cpus", kHonoured, ""},
    {"linux.resources.cpu.mems", kHonoured, ""},
    {"linux.resources.cpu.burst", kRefused, "unified cpu.max.burst says it on cgroup v2"},
    {"linux.resources.cpu.realtimeRuntime", kRefused, "no realtime scheduling"},
    {"linux.resources.cpu.realtimePeriod", kRefused, "no realtime scheduling"},
    {"linux.resources.cpu.idle", kRefused, "unified cpu.idle says it on cgroup v2"},
    {"linux.resources.pids", kInside, ""},
    {"linux.resources.pids.limit", kHonoured, "0 and below: none"},
    {"linux.resources.hugepageLimits[]", kInside, ""},
    {"linux.resources.hugepageLimits[].pageSize", kHonoured, ""},
    {"linux.resources.hugepageLimits[].limit", kHonoured, ""},
    {"linux.resources.unified", kHonoured, "cgroup v2"},
    {"linux.resources.blockIO", kRefused, "unified io.max and io.weight say it on cgroup v2"},
    {"linux.resources.network", kRefused, "cgroup v1 only"},
    {"linux.resources.rdma", kRefused, "no RDMA"},
    {"linux.rootfsPropagation", kHonoured, "private, slave and shared"},
    {"linux.seccomp", kHonoured, "with all that is in it"},
    {"linux.sysctl", kHonoured, "of the container's own namespaces only"},
    {"linux.maskedPaths", kHonoured, ""},
    {"linux.readonlyPaths", kHonoured, ""},
    {"linux.mountLabel", kHonoured, "refused on a kernel without SELinux"},
    {"linux.intelRdt", kRefused, "no resctrl"},
    {"linux.memoryPolicy", kRefused, "no NUMA policies"},
    {"linux.personality", kRefused, "no execution domains"},
    {"solaris", kRefused, kNotLinux},
    {"windows", kRefused, kNotLinux},
    {"vm", kRefused, "no virtual machines"},
    {"zos", kRefused, kNotLinux},
    {"freebsd", kRefused, kNotLinux},
};

const ConfigField* FindField(absl::string_view path) {
  const auto* field = std::find_if(std::begin(kFields), std::end(kFields),
                                   [&](const ConfigField& one) { return path == one.path; });
  return field == std::end(kFields) ? nullptr : field;
}

absl::Status CheckMember(const nlohmann::json& value, const std::string& path,
                         std::vector<std::string>* unknown) {
  const std::string list = absl::StrCat(path, "[]");
  const ConfigField* field = FindField(path);
  if (field == nullptr) field = FindField(list);
  if (field == nullptr) {
    unknown->push_back(path);
    return absl::OkStatus();
  }
  // null, {} and [] ask for nothing; false, 0 and "" may.
  if (value.is_null() || (value.is_structured() && value.empty())) return absl::OkStatus();
  if (field->handling == Handling::kRefused) {
    return absl::UnimplementedError(
        absl::StrCat("config.json ", path, ": not supported: ", field->how));
  }
  if (field->handling == Handling::kHonoured) return absl::OkStatus();
  if (!value.is_array()) return CheckFields(value, path, unknown);
  for (const nlohmann::json& element : value) {
    RETURN_IF_ERROR(CheckFields(element, list, unknown));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Span<const ConfigField> ConfigFields() { return kFields; }

absl::Status CheckFields(const nlohmann::json& document, const std::string& path,
                         std::vector<std::string>* unknown) {
  if (!document.is_object()) return absl::OkStatus();  // the parser says what is wrong with it
  for (const auto& [key, value] : document.items()) {
    RETURN_IF_ERROR(CheckMember(value, path.empty() ? key : absl::StrCat(path, ".", key), unknown));
  }
  return absl::OkStatus();
}

}  // namespace berth::oci
