#include "src/runtime/mount_plan.h"

#include <linux/mount.h>
#include <linux/sched.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/runtime/standard_mounts.h"

namespace berth {
namespace {

using wire::Op;

struct Link {
  const char* path;
  const char* target;
};

constexpr Link kDeviceLinks[] = {
    {"/dev/ptmx", "pts/ptmx"},          {"/dev/fd", "/proc/self/fd"},
    {"/dev/stdin", "/proc/self/fd/0"},  {"/dev/stdout", "/proc/self/fd/1"},
    {"/dev/stderr", "/proc/self/fd/2"}, {"/dev/core", "/proc/kcore"},
};

// Those that a "context" option labels; others take theirs from the policy (mount(8)).
constexpr absl::string_view kLabelled[] = {"tmpfs", "devpts"};

mode_t TypeBits(char type) { return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR; }

int64_t PropagationFlag(Propagation propagation) {
  switch (propagation) {
    case Propagation::kPrivate:
      return 0;
    case Propagation::kSlave:
      return wire::kBindSlave;
    case Propagation::kShared:
      return wire::kBindShared;
  }
  return 0;
}

int64_t KindOf(const MountSpec& mount) {
  return mount.is_directory ? wire::kDirectory : wire::kFile;
}

}  // namespace

std::string MountPlan::DataDir() const { return spec_.host_view ? node_.data_dir : "/data"; }

MountPlan::Source MountPlan::SourceOf(int fd_index, const std::string& view_path) const {
  if (fd_index >= 0) return {.tree = VolumeFd(fds_, fd_index), .path = ""};
  const auto found = trees_.find(view_path);
  if (found != trees_.end()) return {.tree = found->second, .path = ""};
  return {.tree = -1, .path = view_path};
}

void MountPlan::OpenTree(const std::string& view_path, bool recursive, bool idmapped) {
  // Beyond the slots there are, a path is left to be found where the plan has got to by then.
  if (next_slot_ == wire::kTreeSlots || trees_.count(view_path) != 0) return;
  steps_.Add(Op::kOpenTree, {view_path}, next_slot_, recursive ? 1 : 0);
  const int64_t tree = wire::TreeSlot(next_slot_++);
  if (idmapped) steps_.Add(Op::kIdmapTree, {}, tree, MappingFd());
  trees_[view_path] = tree;
}

// The overlay of an image cannot be made by the root of a user namespace: it may not read which
// directories of a layer are opaque (trusted.* in xattr(7)).
void MountPlan::OpenImages() {
  for (const MountSpec& mount : spec_.mounts) {
    if (mount.kind != MountSpec::Kind::kImage || next_slot_ == wire::kTreeSlots) continue;
    AddImage(mount, "", next_slot_ + 1);
    images_[&mount] = wire::TreeSlot(next_slot_++);
  }
}

void MountPlan::OpenTrees() {
  if (fds_.user_namespace) OpenImages();
  for (const MountSpec& mount : spec_.mounts) {
    if (mount.kind != MountSpec::Kind::kBind || mount.fd_index >= 0 || mount.of_target) continue;
    // The pod's files belong to the node's root.
    const bool ours = !spec_.pod_dir.empty() &&
                      IsAtOrBelow(mount.view_path, absl::StrCat("/data/", spec_.pod_dir));
    OpenTree(mount.view_path, mount.recursive_attributes,
             fds_.user_namespace && (ours || mount.idmapped));
  }
  for (const DeviceSpec& device : spec_.devices) {
    if (device.fd_index < 0 && !device.view_path.empty()) OpenTree(device.view_path, false, false);
  }
}

void MountPlan::MapVolumes() {
  for (const MountSpec& mount : spec_.mounts) {
    if (mount.kind == MountSpec::Kind::kBind && mount.idmapped && mount.fd_index >= 0)
      steps_.Add(Op::kIdmapTree, {mount.source}, VolumeFd(fds_, mount.fd_index), MappingFd());
  }
}

void MountPlan::AddRoot() {
  if (!spec_.rootfs_path.empty()) {
    steps_.Add(Op::kBindRoot, {spec_.rootfs_path}, -1, PropagationFlag(spec_.root_propagation));
    return;
  }
  int64_t flags = wire::kOverlayVolatile;
  if (node_.overlay_by_fsopen) flags |= wire::kOverlayByFsopen;
  steps_.Add(
      Op::kMountOverlay,
      {LowerDirs(spec_.layers), spec_.upper, spec_.work, DataDir(),
       spec_.host_view ? BundleRootfs(spec_.host_view->bundle) : "/rootfs", spec_.mount_label},
      flags, MappingFd());
}

void MountPlan::AddFileSystem(const MountSpec& mount) {
  std::vector<std::string> options = mount.options;
  if (!spec_.mount_label.empty() &&
      std::count(std::begin(kLabelled), std::end(kLabelled), mount.type) != 0)
    options.push_back(absl::StrCat("context=", spec_.mount_label));
  steps_.Add(Op::kMount, {mount.type, mount.target, absl::StrJoin(options, "\n")},
             static_cast<int64_t>(mount.attributes), wire::kDirectory, mount.optional ? 1 : 0);
}

void MountPlan::AddBind(const MountSpec& mount, const std::string& target) {
  int64_t flags = KindOf(mount) | PropagationFlag(mount.propagation);
  if (mount.over_kernel_fs) flags |= wire::kBindOverKernelFs;
  if (mount.recursive_attributes) flags |= wire::kBindRecursiveAttributes;
  if (mount.of_target) {
    steps_.Add(Op::kBind, {target}, -1, flags | wire::kBindTarget,
               static_cast<int64_t>(mount.attributes));
    return;
  }
  const Source source = SourceOf(mount.fd_index, mount.view_path);
  std::vector<std::string> strings = {target};
  if (source.tree == -1) {
    strings.push_back(source.path);
    if (mount.recursive_attributes) flags |= wire::kBindPath;
  }
  steps_.Add(Op::kBind, std::move(strings), source.tree, flags,
             static_cast<int64_t>(mount.attributes));
}

void MountPlan::AddImage(const MountSpec& mount, const std::string& target, int64_t slot_plus_one) {
  steps_.Add(Op::kMountImage, {LowerDirs(mount.layers), target, mount.sub_path, DataDir()},
             static_cast<int64_t>(mount.attributes | MOUNT_ATTR_RDONLY), MappingFd(),
             slot_plus_one);
}

// In the node's cgroup namespace a mount sets the options for all of the node: those that it has.
std::string MountPlan::UnifiedOptions(const char* of_own_namespace) const {
  return spec_.namespaces.private_cgroup ? of_own_namespace : node_.unified_options;
}

// As late as can be: they are made meanwhile.
void MountPlan::AwaitCgroups() {
  if (!fds_.late_cgroups || cgroups_awaited_) return;
  cgroups_awaited_ = true;
  steps_.Add(Op::kAwaitCgroups);
  if (spec_.namespaces.private_cgroup) steps_.Add(Op::kUnshare, {}, CLONE_NEWCGROUP);
}

// -1: it is mounted instead.
int64_t MountPlan::CgroupViewOperand(int hierarchy) const {
  if (fds_.late_cgroups && spec_.namespaces.private_cgroup) return wire::CgroupView(hierarchy);
  return fds_.first_cgroup_view < 0 ? -1 : VolumeFd(fds_, fds_.first_cgroup_view + hierarchy);
}

void MountPlan::AddCgroupV1(const MountSpec& mount) {
  const std::string& root = mount.target;
  const auto attributes = static_cast<int64_t>(mount.attributes);
  steps_.Add(Op::kMount, {"tmpfs", root, "mode=755\nsize=64k"},
             attributes & ~int64_t{MOUNT_ATTR_RDONLY});
  int hierarchy = 0;
  for (const std::string& options : node_.v1_hierarchies) {
    const bool named = absl::StartsWith(options, "name=");
    const std::string directory = absl::StrCat(root, "/", named ? options.substr(5) : options);
    const std::string joined = absl::StrJoin(absl::StrSplit(options, ','), "\n");
    const int64_t view = CgroupViewOperand(hierarchy++);
    if (view >= 0) {
      steps_.Add(Op::kBind, {directory}, view,
                 int64_t{wire::kDirectory} | wire::kBindRecursiveAttributes, attributes);
    } else {
      steps_.Add(Op::kMakeDir, {directory}, 0755);
      steps_.Add(Op::kMount, {"cgroup", directory, named ? absl::StrCat("none\n", joined) : joined},
                 attributes, wire::kDirectory, 1);
    }
    if (named || !absl::StrContains(options, ',')) continue;
    for (absl::string_view controller : absl::StrSplit(options, ','))
      steps_.Add(Op::kSymlink, {absl::StrCat(root, "/", controller), options});
  }
  if (node_.unified) {
    steps_.Add(Op::kMount, {"cgroup2", root + "/unified", UnifiedOptions("")}, attributes,
               wire::kDirectory, 1);
  }
  if (attributes & MOUNT_ATTR_RDONLY)
    steps_.Add(Op::kSetMountAttr, {root}, int64_t{MOUNT_ATTR_RDONLY});
}

void MountPlan::AddCgroup(const MountSpec& mount) {
  if (!node_.cgroup_v2) return AddCgroupV1(mount);
  steps_.Add(Op::kMount, {"cgroup2", mount.target, UnifiedOptions("nsdelegate")},
             static_cast<int64_t>(mount.attributes), wire::kDirectory, 1);
}

void MountPlan::AddMounts() {
  for (const std::string& directory : spec_.directories) {
    for (size_t slash = directory.find('/', 1);; slash = directory.find('/', slash + 1)) {
      steps_.Add(Op::kMakeDir, {directory.substr(0, slash)}, 0755);
      if (slash == std::string::npos) break;
    }
  }
  for (const MountSpec& mount : spec_.mounts) {
    switch (mount.kind) {
      case MountSpec::Kind::kFileSystem:
        AddFileSystem(mount);
        break;
      case MountSpec::Kind::kBind:
        AddBind(mount, mount.target);
        break;
      case MountSpec::Kind::kCgroup:
        AwaitCgroups();
        AddCgroup(mount);
        break;
      case MountSpec::Kind::kImage: {
        const auto opened = images_.find(&mount);
        if (opened == images_.end()) {
          AddImage(mount, mount.target, 0);
        } else {
          steps_.Add(Op::kBind, {mount.target}, opened->second, wire::kDirectory,
                     static_cast<int64_t>(mount.attributes | MOUNT_ATTR_RDONLY));
        }
        break;
      }
    }
  }
  AwaitCgroups();
}

// A /dev that was brought along has its own nodes; making them would change the host's.
bool MountPlan::NewDev() const {
  return std::none_of(spec_.mounts.begin(), spec_.mounts.end(), [](const MountSpec& mount) {
    return mount.target == "/dev" && mount.kind != MountSpec::Kind::kFileSystem;
  });
}

void MountPlan::AddDevice(const DeviceSpec& device) {
  if (device.fd_index < 0 && device.view_path.empty()) {
    const int64_t owner = device.uid | static_cast<int64_t>(device.gid) << 32;
    steps_.Add(Op::kMakeNode, {device.path}, TypeBits(device.type) | device.mode,
               static_cast<int64_t>(makedev(device.major, device.minor)), owner);
    return;
  }
  const Source source = SourceOf(device.fd_index, device.view_path);
  std::vector<std::string> strings = {device.path};
  if (source.tree == -1) strings.push_back(source.path);
  steps_.Add(Op::kBind, std::move(strings), source.tree, wire::kFile);
}

void MountPlan::AddDevices() {
  const bool new_dev = NewDev();
  for (const DeviceSpec& device : spec_.devices) {
    if (new_dev || !IsAtOrBelow(device.path, "/dev")) AddDevice(device);
  }
  if (!new_dev) return;
  for (const Link& link : kDeviceLinks) steps_.Add(Op::kSymlink, {link.path, link.target});
}

void MountPlan::AddProtections() {
  for (const std::string& path : spec_.masked_paths) steps_.Add(Op::kMaskPath, {path});
  for (const std::string& path : spec_.readonly_paths) steps_.Add(Op::kReadonlyPath, {path});
}

void MountPlan::AttachSources(const std::string& bundle) {
  for (size_t i = 0; i < spec_.mounts.size(); ++i) {
    const MountSpec& mount = spec_.mounts[i];
    const std::string target = BundleMount(bundle, i);
    if (mount.kind == MountSpec::Kind::kImage) {
      const auto opened = images_.find(&mount);
      if (opened == images_.end()) {
        AddImage(mount, target, 0);
      } else {
        steps_.Add(Op::kBind, {target}, opened->second, wire::kDirectory);
      }
    } else if (mount.kind == MountSpec::Kind::kBind) {
      const Source source = SourceOf(mount.fd_index, mount.view_path);
      if (source.tree == -1) continue;
      // The runtime sets the attributes by the options of config.json.
      steps_.Add(Op::kBind, {target}, source.tree,
                 KindOf(mount) | PropagationFlag(mount.propagation));
    }
  }
}

}  // namespace berth
