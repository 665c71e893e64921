// state, list, ps, features.
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/oci/cgroup_processes.h"
#include "src/oci/commands.h"
#include "src/oci/oci_config.h"
#include "src/runtime/capabilities.h"
#include "src/runtime/mount_options.h"

#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

namespace berth::oci {
namespace {

std::string Dump(const nlohmann::json& json) {
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

nlohmann::json Shown(const Runtime& runtime, const ContainerState& state) {
  const ContainerStatus status = FullStatus(runtime, state);
  nlohmann::json json = {{"ociVersion", state.oci_version},
                         {"id", state.id},
                         {"status", StatusName(status)},
                         {"pid", status == ContainerStatus::kStopped ? 0 : state.pid},
                         {"bundle", state.bundle},
                         {"rootfs", state.rootfs},
                         {"created", state.created}};
  if (!state.annotations.empty()) json["annotations"] = state.annotations;
  return json;
}

std::string CommandLine(pid_t pid) {
  const absl::StatusOr<std::string> text =
      ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", pid, "/cmdline"));
  if (!text.ok()) return "";
  std::string line;
  // Bytes of a container must not drive the terminal of whoever reads them.
  for (const char c : *text) line += c == '\0' ? ' ' : c >= ' ' && c < 0x7f ? c : '?';
  return line;
}

}  // namespace

ContainerStatus FullStatus(const Runtime& runtime, const ContainerState& state) {
  const ContainerStatus status = runtime.states.StatusOf(state);
  if (status != ContainerStatus::kRunning) return status;
  const absl::StatusOr<Cgroups> cgroups = Cgroups::Detect();
  if (!cgroups.ok()) return status;
  const absl::StatusOr<CgroupHandle> cgroup = cgroups->Open(state.cgroup_path);
  if (!cgroup.ok() || !cgroup->unified) return status;
  const absl::StatusOr<std::string> frozen = ReadFileAt(cgroup->directory.get(), "cgroup.freeze");
  return frozen.ok() && *frozen == "1\n" ? ContainerStatus::kPaused : status;
}

absl::Status PrintState(const Runtime& runtime, const std::string& id) {
  ASSIGN_OR_RETURN(const ContainerState state, runtime.states.Read(id));
  *runtime.out << Dump(Shown(runtime, state));
  return absl::OkStatus();
}

absl::Status List(const Runtime& runtime, Format format, bool quiet) {
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, runtime.states.Ids());
  nlohmann::json all = nlohmann::json::array();
  for (const std::string& id : ids) {
    const absl::StatusOr<ContainerState> state = runtime.states.Read(id);
    if (state.ok()) all.push_back(Shown(runtime, *state));
  }
  if (format == Format::kJson && !quiet) {
    *runtime.out << Dump(all);
    return absl::OkStatus();
  }
  if (!quiet)
    *runtime.out << absl::StreamFormat("%-32s %-8s %-9s %s\n", "ID", "PID", "STATUS", "BUNDLE");
  for (const nlohmann::json& one : all) {
    const std::string id = one.at("id");
    if (quiet) {
      *runtime.out << id << "\n";
      continue;
    }
    const int pid = one.at("pid");
    const std::string status = one.at("status"), bundle = one.at("bundle");
    *runtime.out << absl::StreamFormat("%-32s %-8d %-9s %s\n", id, pid, status, bundle);
  }
  return absl::OkStatus();
}

absl::Status Processes(const Runtime& runtime, const std::string& id, Format format) {
  ASSIGN_OR_RETURN(const ContainerState state, runtime.states.Read(id));
  ASSIGN_OR_RETURN(const Cgroups cgroups, Cgroups::Detect());
  ASSIGN_OR_RETURN(const std::vector<pid_t> pids, CgroupProcesses(cgroups, state.cgroup_path));
  if (format == Format::kJson) {
    *runtime.out << nlohmann::json(pids).dump() << "\n";
    return absl::OkStatus();
  }
  *runtime.out << absl::StreamFormat("%-8s %-8s %s\n", "PID", "UID", "COMMAND");
  for (const pid_t pid : pids) {
    struct stat info;
    if (::stat(absl::StrCat("/proc/", pid).c_str(), &info) != 0) continue;  // it has ended
    *runtime.out << absl::StreamFormat("%-8d %-8d %s\n", pid, info.st_uid, CommandLine(pid));
  }
  return absl::OkStatus();
}

std::string FeaturesJson() {
  nlohmann::json capabilities = nlohmann::json::array();
  for (int i = 0; i < 41; ++i) capabilities.push_back(CapabilityNames(uint64_t{1} << i));
  const nlohmann::json json = {
      {"ociVersionMin", "1.0.0"},
      {"ociVersionMax", kOciVersion},
      {"hooks",
       {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}},
      {"mountOptions", MountOptionNames()},
      {"linux",
       {{"namespaces", {"cgroup", "ipc", "mount", "network", "pid", "user", "uts"}},
        {"capabilities", capabilities},
        {"cgroup",
         {{"v1", true}, {"v2", true}, {"systemd", false}, {"systemdUser", false}, {"rdma", false}}},
        {"seccomp",
         {{"enabled", true},
          {"actions",
           {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
            "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE",
            "SCMP_ACT_TRAP"}},
          {"operators",
           {"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
            "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"}}}},
        {"apparmor", {{"enabled", true}}},
        {"selinux", {{"enabled", true}}},
        {"intelRdt", {{"enabled", false}}},
        {"mountExtensions", {{"idmap", {{"enabled", true}}}}}}}};
  return Dump(json);
}

absl::Status PrintFeatures(const Runtime& runtime) {
  *runtime.out << FeaturesJson();
  return absl::OkStatus();
}

}  // namespace berth::oci
