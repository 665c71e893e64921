#include "src/oci/bundle.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/kernel/lsm.h"
#include "src/oci/launch.h"
#include "src/runtime/host_devices.h"
#include "src/runtime/seccomp_profile.h"
#include "src/runtime/standard_mounts.h"

namespace berth::oci {
namespace {

absl::StatusOr<UniqueFd> CloneTree(const std::string& path, bool recursive) {
  const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
  UniqueFd tree(static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, path.c_str(), flags)));
  if (!tree.valid()) return ErrnoStatus("open mount source", path);
  return tree;
}

absl::Status OpenMounts(OciConfig* config, std::vector<UniqueFd>* volumes) {
  for (size_t i = 0; i < config->spec.mounts.size(); ++i) {
    MountSpec& mount = config->spec.mounts[i];
    if (mount.kind != MountSpec::Kind::kBind) continue;
    ASSIGN_OR_RETURN(UniqueFd tree, CloneTree(mount.source, config->plain_binds.count(i) == 0));
    struct stat info;
    if (::fstat(tree.get(), &info) != 0) return ErrnoStatus("stat mount source", mount.source);
    mount.is_directory = S_ISDIR(info.st_mode);
    mount.fd_index = static_cast<int>(volumes->size());
    volumes->push_back(std::move(tree));
  }
  return absl::OkStatus();
}

// Every container has the usual devices; one of the config takes the place of one of these. The
// root of a user namespace cannot make nodes: it gets binds of the host's.
absl::Status OpenDevices(OciConfig* config, std::vector<UniqueFd>* volumes) {
  const bool user_namespace = !config->spec.namespaces.user.IsNode();
  std::vector<DeviceSpec> devices = StandardDevices(user_namespace);
  for (DeviceSpec& device : config->spec.devices) {
    if (user_namespace && device.type != 'p') {
      ASSIGN_OR_RETURN(UniqueFd tree, CloneTree(device.source, false));
      device.fd_index = static_cast<int>(volumes->size());
      volumes->push_back(std::move(tree));
    }
    PutDevice(std::move(device), &devices);
  }
  config->spec.devices = std::move(devices);
  return absl::OkStatus();
}

absl::Status OpenNamespaces(OciConfig* config, OpenedBundle* opened) {
  for (const JoinedNamespace& joined : config->joined) {
    ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(AT_FDCWD, joined.path, O_RDONLY));
    const long type = ::ioctl(fd.get(), _IO(0xb7, 0x3));  // NS_GET_NSTYPE, ioctl_ns(2)
    if (type != joined.type) {
      return absl::InvalidArgumentError(absl::StrCat(
          "config.json linux.namespaces[].path: ", joined.path, " is not of the type it says"));
    }
    if (joined.type == CLONE_NEWPID) {
      opened->pid_namespace = std::move(fd);
      continue;
    }
    config->spec.namespaces.joined.emplace_back(joined.type,
                                                static_cast<int>(opened->volumes.size()));
    opened->volumes.push_back(std::move(fd));
  }
  config->spec.namespaces.own_pid = config->new_pid;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadBundleConfig(const std::string& bundle) {
  return ReadFileAt(AT_FDCWD, bundle + "/config.json", kConfigMaxBytes);
}

absl::Status CheckLabels(const ProcessIdentity& identity, const std::string& mount_label) {
  if (identity.apparmor.empty() && identity.selinux.empty() && mount_label.empty())
    return absl::OkStatus();
  ASSIGN_OR_RETURN(const LsmFacts facts, ReadLsmFacts());
  if (!identity.apparmor.empty() && identity.apparmor != "unconfined" && !facts.apparmor) {
    return absl::FailedPreconditionError(
        absl::StrCat("config.json process.apparmorProfile: ", identity.apparmor,
                     ": this kernel has no AppArmor"));
  }
  if (!(identity.selinux.empty() && mount_label.empty()) && !facts.selinux) {
    return absl::FailedPreconditionError(
        "config.json process.selinuxLabel: this kernel has no SELinux");
  }
  return absl::OkStatus();
}

absl::StatusOr<SeccompProgram> CompileFilter(const std::string& seccomp_json,
                                             const ProcessIdentity& identity) {
  if (seccomp_json.empty()) return SeccompProgram();
  absl::StatusOr<SeccompProgram> program =
      CompileSeccompProfile(seccomp_json, identity.caps.permitted);
  return program.ok() ? program : Annotate(program.status(), "config.json linux.seccomp");
}

absl::StatusOr<OpenedBundle> OpenBundle(int monitor, OciConfig* config) {
  OpenedBundle opened;
  ContainerSpec& spec = config->spec;
  RETURN_IF_ERROR(CheckLabels(spec.identity, spec.mount_label));
  ASSIGN_OR_RETURN(spec.identity.program, CompileFilter(config->seccomp_json, spec.identity));
  RETURN_IF_ERROR(OpenDir(AT_FDCWD, spec.rootfs_path).status());
  RETURN_IF_ERROR(OpenMounts(config, &opened.volumes));
  RETURN_IF_ERROR(OpenDevices(config, &opened.volumes));
  RETURN_IF_ERROR(OpenNamespaces(config, &opened));
  if (!spec.namespaces.user.IsNode()) {
    ASSIGN_OR_RETURN(opened.user_namespace, MakeUserNamespace(monitor, spec.namespaces.user));
  }
  return opened;
}

NodeFacts FactsOf(const Cgroups& cgroups) {
  NodeFacts facts;
  facts.cgroup_v2 = cgroups.mode() == Cgroups::Mode::kV2;
  facts.unified = cgroups.mode() == Cgroups::Mode::kHybrid;
  facts.unified_options = cgroups.UnifiedOptions();
  facts.v1_hierarchies = cgroups.V1Hierarchies();
  return facts;
}

}  // namespace berth::oci
