#include "src/sandbox/container_mounts.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/runtime/standard_mounts.h"

namespace berth {
namespace {

constexpr gid_t kTtyGroup = 5;  // of Debian and all others: devpts gives it its terminals

// What may be covered in procfs: files that say how much of the node there is, which lxcfs(8)
// answers for one container. All the rest of it is what the runtime itself relies on.
constexpr std::array<absl::string_view, 8> kProcFiles = {
    "/proc/cpuinfo",  "/proc/diskstats", "/proc/loadavg", "/proc/meminfo",
    "/proc/slabinfo", "/proc/stat",      "/proc/swaps",   "/proc/uptime"};

// Where sysfs has mount points, and what is below them.
constexpr std::array<absl::string_view, 9> kSysDirectories = {
    "/sys/firmware/efi/efivars", "/sys/fs/bpf",          "/sys/fs/cgroup",
    "/sys/fs/fuse/connections",  "/sys/fs/pstore",       "/sys/kernel/config",
    "/sys/kernel/debug",         "/sys/kernel/security", "/sys/kernel/tracing"};

// "//a/./b/" is "/a/b".
std::string CleanPath(absl::string_view path) {
  std::string clean;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part != ".") absl::StrAppend(&clean, "/", part);
  }
  return clean.empty() ? "/" : clean;
}

bool LeadsUp(absl::string_view path) {
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part == "..") return true;
  }
  return false;
}

bool IsKernels(absl::string_view target) {
  return IsAtOrBelow(target, "/proc") || IsAtOrBelow(target, "/sys");
}

// Of the targets on procfs and sysfs: the lists above; and of sysfs, and of /proc as a whole, what
// the host has at the same place.
bool MayCover(absl::string_view target, absl::string_view source) {
  const bool same = source == target;
  if (IsAtOrBelow(target, "/proc")) {
    if (target == "/proc") return same;
    return std::find(kProcFiles.begin(), kProcFiles.end(), target) != kProcFiles.end();
  }
  return same || std::any_of(kSysDirectories.begin(), kSysDirectories.end(),
                             [&](absl::string_view each) { return IsAtOrBelow(target, each); });
}

absl::StatusOr<std::string> TargetOf(const BindMount& mount) {
  RETURN_IF_ERROR(
      CheckStrings("mounts", {mount.host_path, mount.container_path, mount.image_sub_path}));
  if (mount.container_path.empty() || mount.container_path[0] != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("mounts: container_path \"", mount.container_path, "\" is not absolute"));
  }
  if (LeadsUp(mount.container_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("mounts: container_path ", mount.container_path, " has \"..\""));
  }
  std::string target = CleanPath(mount.container_path);
  const std::string source = mount.image.empty() ? CleanPath(mount.host_path) : "";
  if (target == "/" || (IsKernels(target) && !MayCover(target, source))) {
    return absl::InvalidArgumentError(
        absl::StrCat("mounts: nothing may be mounted on ", mount.container_path));
  }
  return target;
}

uint64_t AttributesOf(const BindMount& mount) {
  return (mount.readonly ? MOUNT_ATTR_RDONLY : 0) | (mount.noexec ? MOUNT_ATTR_NOEXEC : 0) |
         (mount.nodev ? MOUNT_ATTR_NODEV : 0) | (mount.nosuid ? MOUNT_ATTR_NOSUID : 0);
}

MountSpec MountOf(const BindMount& mount, std::string target) {
  MountSpec spec;
  spec.over_kernel_fs = IsKernels(target);
  spec.target = std::move(target);
  spec.attributes = AttributesOf(mount);
  spec.recursive_attributes = mount.recursive_readonly;
  spec.propagation = mount.propagation;
  spec.idmapped = mount.idmapped;
  if (mount.image.empty()) {
    spec.kind = MountSpec::Kind::kBind;
    spec.source = mount.host_path;
    spec.relabel = mount.selinux_relabel;
  } else {
    spec.kind = MountSpec::Kind::kImage;
    spec.attributes |= MOUNT_ATTR_RDONLY;
    spec.sub_path = mount.image_sub_path;
  }
  return spec;
}

absl::StatusOr<std::vector<MountSpec>> RequestedMounts(const ContainerRecord& container,
                                                       bool user_namespace) {
  std::vector<MountSpec> mounts;
  absl::flat_hash_set<std::string> seen;
  size_t images = 0;
  for (const BindMount& mount : container.config.mounts) {
    ASSIGN_OR_RETURN(std::string target, TargetOf(mount));
    if (!seen.insert(target).second)
      return absl::InvalidArgumentError(absl::StrCat("mounts: two are for ", mount.container_path));
    MountSpec spec = MountOf(mount, std::move(target));
    if (spec.kind == MountSpec::Kind::kImage) {
      if (images >= container.image.mounted.size()) {
        return absl::FailedPreconditionError(
            absl::StrCat("ImageVolumeMountFailed: image ", mount.image, " is not resolved"));
      }
      spec.layers = container.image.mounted[images++].layers;
      spec.idmapped = user_namespace;
    }
    mounts.push_back(std::move(spec));
  }
  return mounts;
}

// A VOLUME where the container has a mount or the kernel's files needs nothing.
bool IsCovered(const std::string& path, const std::vector<MountSpec>& mounts) {
  return path == "/" || IsKernels(path) || IsAtOrBelow(path, "/dev") ||
         std::any_of(mounts.begin(), mounts.end(),
                     [&](const MountSpec& mount) { return mount.target == path; });
}

absl::StatusOr<std::vector<std::string>> VolumesOf(const ContainerImage& image,
                                                   const std::vector<MountSpec>& mounts) {
  RETURN_IF_ERROR(CheckStrings("image VOLUME", image.volumes));
  std::vector<std::string> paths;
  for (const std::string& volume : image.volumes) {
    if (LeadsUp(volume)) {
      return absl::InvalidArgumentError(
          absl::StrCat("image ", image.name, ": VOLUME ", volume, " has \"..\""));
    }
    std::string path = CleanPath(volume);
    if (IsCovered(path, mounts) || std::find(paths.begin(), paths.end(), path) != paths.end())
      continue;
    paths.push_back(std::move(path));
  }
  return paths;
}

// Stays writable below a read-only root, with what the image has there. An OCI runtime cannot be
// asked for that: it gets an empty directory of the node's.
MountSpec VolumeBind(const std::string& path, std::string source) {
  MountSpec spec;
  spec.kind = MountSpec::Kind::kBind;
  spec.target = path;
  spec.of_target = source.empty();
  spec.source = std::move(source);
  return spec;
}

}  // namespace

absl::Status CheckStrings(absl::string_view what, const std::vector<std::string>& strings) {
  for (const std::string& text : strings) {
    if (text.find('\0') != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(what, ": has a NUL byte"));
    }
  }
  return absl::OkStatus();
}

absl::Status FillMounts(const ContainerRecord& container, const PodRecord& pod,
                        const std::string& data_dir, ContainerSpec* spec) {
  const PodSpec& namespaces = pod.config.namespaces;
  const bool user_namespace = !namespaces.user.IsNode();
  ASSIGN_OR_RETURN(std::vector<MountSpec> requested, RequestedMounts(container, user_namespace));
  ASSIGN_OR_RETURN(std::vector<std::string> volumes, VolumesOf(container.image, requested));
  if (container.config.readonly_rootfs) {
    for (size_t i = 0; i < volumes.size(); ++i) {
      const bool built_in = pod.config.runtime_handler.empty();
      requested.push_back(VolumeBind(
          volumes[i],
          built_in ? "" : absl::StrCat(data_dir, "/containers/", container.id, "/volumes/", i)));
    }
  } else {
    spec->directories = std::move(volumes);
  }
  spec->mounts =
      MergeMounts(StandardMounts({.privileged = container.config.privileged,
                                  .user_namespace = user_namespace,
                                  .tty_group_mapped =
                                      !user_namespace || MapsId(namespaces.user.gids, kTtyGroup),
                                  .host_network = namespaces.network == NamespaceMode::kNode,
                                  .readonly_files = container.config.readonly_rootfs,
                                  .pod_dir = spec->pod_dir}),
                  std::move(requested));
  return absl::OkStatus();
}

}  // namespace berth
