#include "src/runtime/standard_mounts.h"

#include <linux/mount.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace berth {
namespace {

constexpr uint64_t kNoPrograms = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

struct FileSystem {
  const char* type;
  const char* target;
  absl::string_view options;  // ','-joined
  uint64_t attributes;
};

constexpr FileSystem kFileSystems[] = {
    {"proc", "/proc", "", kNoPrograms},
    {"tmpfs", "/dev", "mode=755,size=65536k", MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME},
    {"devpts", "/dev/pts", "newinstance,ptmxmode=0666,mode=0620",
     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC},
    {"mqueue", "/dev/mqueue", "", kNoPrograms},
    {"sysfs", "/sys", "", kNoPrograms},
};

struct Device {
  const char* path;
  uint32_t major, minor;
};

constexpr Device kDevices[] = {
    {"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
};

constexpr std::array kPodFiles = {"hosts", "hostname", "resolv.conf"};
constexpr std::array kCoveringTargets = {"/dev", "/sys"};

uint64_t ReadonlyUnless(bool writable) { return writable ? 0 : MOUNT_ATTR_RDONLY; }

// Sysfs shows the network namespace of its mounter, who must own that namespace (sysfs(5)): a user
// namespace on the node's network only gets what the node has mounted, and never writable.
MountSpec NodeSysfs() {
  return {.kind = MountSpec::Kind::kBind,
          .target = "/sys",
          .view_path = "/sys",
          .attributes = kNoPrograms | MOUNT_ATTR_RDONLY,
          .recursive_attributes = true,
          .over_kernel_fs = true};
}

MountSpec Bind(std::string target, std::string view_path, bool is_directory, uint64_t attributes) {
  return {.kind = MountSpec::Kind::kBind,
          .target = std::move(target),
          .view_path = std::move(view_path),
          .is_directory = is_directory,
          .attributes = attributes};
}

MountSpec Make(const FileSystem& file_system, const StandardMountOptions& options) {
  MountSpec mount{.target = file_system.target,
                  .type = file_system.type,
                  .options = absl::StrSplit(file_system.options, ',', absl::SkipEmpty()),
                  .attributes = file_system.attributes};
  if (mount.type == "devpts" && options.tty_group_mapped) mount.options.push_back("gid=5");
  if (mount.type == "sysfs") {
    if (options.user_namespace && options.host_network) return NodeSysfs();
    mount.attributes |= ReadonlyUnless(options.privileged);
  }
  return mount;
}

bool IsReplaced(const MountSpec& standard, const std::vector<MountSpec>& requested) {
  return std::any_of(requested.begin(), requested.end(), [&](const MountSpec& mount) {
    if (mount.target == standard.target) return true;
    const bool covers = std::count(kCoveringTargets.begin(), kCoveringTargets.end(), mount.target);
    return covers && IsAtOrBelow(standard.target, mount.target);
  });
}

auto DepthOf(const MountSpec& mount) {
  return mount.target == "/" ? 0 : std::count(mount.target.begin(), mount.target.end(), '/');
}

}  // namespace

std::vector<MountSpec> StandardMounts(const StandardMountOptions& options) {
  std::vector<MountSpec> mounts;
  for (const FileSystem& file_system : kFileSystems) mounts.push_back(Make(file_system, options));
  mounts.push_back(Bind("/dev/shm", "/shm", true, 0));
  mounts.push_back({.kind = MountSpec::Kind::kCgroup,
                    .target = "/sys/fs/cgroup",
                    .attributes = kNoPrograms | ReadonlyUnless(options.privileged),
                    .optional = true});
  for (const char* file : kPodFiles) {
    mounts.push_back(Bind(absl::StrCat("/etc/", file),
                          absl::StrCat("/data/", options.pod_dir, "/", file), false,
                          ReadonlyUnless(!options.readonly_files)));
  }
  return mounts;
}

std::vector<DeviceSpec> StandardDevices(bool user_namespace) {
  std::vector<DeviceSpec> devices;
  for (const Device& device : kDevices) {
    devices.push_back({.path = device.path, .major = device.major, .minor = device.minor});
    if (user_namespace) devices.back().view_path = device.path;
  }
  return devices;
}

std::vector<MountSpec> MergeMounts(std::vector<MountSpec> standard,
                                   std::vector<MountSpec> requested) {
  std::vector<MountSpec> mounts;
  std::copy_if(std::make_move_iterator(standard.begin()), std::make_move_iterator(standard.end()),
               std::back_inserter(mounts),
               [&](const MountSpec& mount) { return !IsReplaced(mount, requested); });
  mounts.insert(mounts.end(), std::make_move_iterator(requested.begin()),
                std::make_move_iterator(requested.end()));
  std::stable_sort(mounts.begin(), mounts.end(),
                   [](const MountSpec& a, const MountSpec& b) { return DepthOf(a) < DepthOf(b); });
  return mounts;
}

bool MapsId(const std::vector<IdMapping>& mappings, uint32_t container_id) {
  return std::any_of(mappings.begin(), mappings.end(), [&](const IdMapping& mapping) {
    return container_id >= mapping.container_id &&
           container_id - mapping.container_id < mapping.length;
  });
}

bool IsAtOrBelow(absl::string_view path, absl::string_view directory) {
  if (directory == "/") return true;
  return absl::StartsWith(path, directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

}  // namespace berth
