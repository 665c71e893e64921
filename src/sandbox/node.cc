#include "src/sandbox/node.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/failpoint.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"
#include "src/runtime/capabilities.h"
#include "src/runtime/node_namespace.h"
#include "src/sandbox/mount_points.h"
#include "src/store/pods.h"

namespace berth {
namespace {

constexpr absl::Duration kLayerSampleInterval = absl::Seconds(10);

bool KernelIsAtLeast(int wanted_major, int wanted_minor) {
  utsname name;
  int major = 0, minor = 0;
  if (::uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2) return false;
  return std::pair(major, minor) >= std::pair(wanted_major, wanted_minor);
}

struct TreeUsage {
  int64_t bytes = 0, inodes = 0;
};

void AddTree(int at, const std::string& name, TreeUsage* usage) {
  struct stat info;
  if (::fstatat(at, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return;
  usage->bytes += info.st_blocks * 512;
  ++usage->inodes;
  if (!S_ISDIR(info.st_mode)) return;
  const absl::StatusOr<UniqueFd> directory =
      OpenFile(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory.ok()) return;
  const absl::StatusOr<std::vector<std::string>> entries = ListDir(directory->get(), ".");
  if (!entries.ok()) return;
  for (const std::string& entry : *entries) AddTree(directory->get(), entry, usage);
}

}  // namespace

Node::Node(Options options, Database& database, ImageStore& images, Network& network,
           Cgroups cgroups)
    : options_(std::move(options)),
      log_(*options_.log),
      database_(database),
      images_(images),
      network_(network),
      cgroups_(std::move(cgroups)),
      cdi_(options_.cdi_dirs) {}

Node::~Node() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (layer_sampler_.joinable()) layer_sampler_.join();
  if (late_recovery_.joinable()) late_recovery_.join();
  if (rewatcher_.joinable()) rewatcher_.join();
  watcher_.reset();  // which both of them add to, and whose thread uses all the rest
}

absl::StatusOr<std::unique_ptr<Node>> Node::Open(Options options, Database& database,
                                                 ImageStore& images, Network& network) {
  ASSIGN_OR_RETURN(Cgroups cgroups, Cgroups::Detect());
  std::unique_ptr<Node> node(
      new Node(std::move(options), database, images, network, std::move(cgroups)));
  RETURN_IF_ERROR(node->Prepare());
  RETURN_IF_ERROR(node->Recover());
  node->layer_sampler_ = std::thread([raw = node.get()] { raw->SampleWritableLayers(); });
  node->late_recovery_ = std::thread([raw = node.get()] { raw->RecoverLate(); });
  node->rewatcher_ = std::thread([raw = node.get()] { raw->KeepWatching(); });
  return node;
}

absl::Status Node::Prepare() {
  for (const char* directory : {"/pods", "/containers", "/trash"}) {
    RETURN_IF_ERROR(MakeDirs(options_.data_dir + directory, 0700));
    SpreadOverBlockGroups(options_.data_dir + directory);
  }
  RETURN_IF_ERROR(MakeDirs(options_.state_dir + "/pods", 0700));
  RemoveTreeAt(AT_FDCWD, ReadyMonitorsDir()).IgnoreError();  // an earlier berthd's have ended
  RETURN_IF_ERROR(MakeDirs(ReadyMonitorsDir(), 0700));
  ASSIGN_OR_RETURN(data_dir_fd_, OpenDir(AT_FDCWD, options_.data_dir));
  const absl::Status mount_points = MakeMountPoints(options_.data_dir);
  has_mount_points_ = mount_points.ok();
  if (!has_mount_points_)
    log_.Warning("containers make their own mount points", {{"error", mount_points.message()}});
  ASSIGN_OR_RETURN(ready_directories_, ReadyDirectories::Start(options_.data_dir + "/ready"));
  ASSIGN_OR_RETURN(boot_id_, ReadFileAt(AT_FDCWD, "/proc/sys/kernel/random/boot_id"));
  boot_id_ = std::string(absl::StripAsciiWhitespace(boot_id_));
  ASSIGN_OR_RETURN(monitor_executable_, SealedCopy(options_.monitor_path));
  ASSIGN_OR_RETURN(copy_executable_, SealedCopy(options_.copy_path));
  ASSIGN_OR_RETURN(mount_namespace_,
                   MakeNodeMountNamespace(monitor_executable_.get(), options_.data_dir));
  ASSIGN_OR_RETURN(ready_monitors_,
                   ReadyPool<ReadyMonitor>::Create(
                       {.what = "monitor", .size = options_.ready_monitors, .log = &log_},
                       [this] { return MakeMonitor(/*cgroup_dir=*/-1, /*prepared=*/true); }));
  facts_.overlay_by_fsopen = KernelIsAtLeast(6, 8);
  facts_.idmapped_layers = KernelIsAtLeast(5, 19);
  facts_.cgroup_v2 = cgroups_.mode() == Cgroups::Mode::kV2;
  facts_.unified = cgroups_.mode() == Cgroups::Mode::kHybrid;
  facts_.unified_options = cgroups_.UnifiedOptions();
  facts_.v1_hierarchies = cgroups_.V1Hierarchies();
  facts_.data_dir = options_.data_dir;
  ASSIGN_OR_RETURN(lsm_, ReadLsmFacts());
  char hostname[HOST_NAME_MAX + 1] = {};
  if (::gethostname(hostname, HOST_NAME_MAX) != 0) return ErrnoStatus("gethostname", "node");
  node_hostname_ = hostname;
  ASSIGN_OR_RETURN(host_mounts_, OpenFile(AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY));
  if (!options_.systemd_cgroups) RETURN_IF_ERROR(cgroups_.Create(options_.cgroup_root));
  ASSIGN_OR_RETURN(removals_, RemovalQueue::Start(log_));
  ASSIGN_OR_RETURN(
      watcher_,
      ExitWatcher::Start(
          {.container_event = [this](const std::string& pod_id,
                                     const WatchEvent& event) { OnContainerEvent(pod_id, event); },
           .watch_lost = [this](const std::string& pod_id) { OnWatchLost(pod_id); }}));
  // The usual set is compiled now, so that the first container does not wait for it.
  return seccomp_.Default(DefaultCapabilities()).status();
}

std::string Node::PodDataDir(absl::string_view id) const {
  return absl::StrCat(options_.data_dir, "/pods/", id);
}
std::string Node::PodStateDir(absl::string_view id) const {
  return absl::StrCat(options_.state_dir, "/pods/", id);
}
std::string Node::ReadyMonitorsDir() const { return options_.state_dir + "/ready"; }
std::string Node::ContainerDir(absl::string_view id) const {
  return absl::StrCat(options_.data_dir, "/containers/", id);
}
std::string Node::BundleDir(absl::string_view container_id) const {
  return ContainerDir(container_id) + "/bundle";
}
MonitorClient Node::Monitor(absl::string_view pod_id) const {
  std::shared_ptr<IdleConnection> idle;
  {
    absl::MutexLock lock(&mu_);
    const auto runtime = runtimes_.find(pod_id);
    if (runtime != runtimes_.end()) idle = runtime->second->idle;
  }
  return MonitorClient(PodStateDir(pod_id), std::move(idle));
}

absl::Status Node::PersistPod(absl::string_view id) {
  const KeyedLocks::Hold hold = locks_.Lock(absl::StrCat("persist/", id));
  const absl::StatusOr<PodPtr> pod = state_.FindPod(id);
  if (!pod.ok()) return absl::OkStatus();
  const absl::Status stored = UpdatePodStatus(database_, id, EncodePodStatus((*pod)->status));
  if (!stored.ok()) log_.Error("pod status not stored", {{"pod", id}, {"error", stored.message()}});
  if ((*pod)->status.unstored == stored.ok())
    state_.UpdatePod(id, [&](PodStatus& status) { status.unstored = !stored.ok(); });
  return stored;
}

absl::Status Node::PersistContainer(absl::string_view id) {
  const KeyedLocks::Hold hold = locks_.Lock(absl::StrCat("persist/", id));
  const absl::StatusOr<ContainerPtr> container = state_.FindContainer(id);
  if (!container.ok()) return absl::OkStatus();
  const absl::Status stored =
      UpdateContainerStatus(database_, id, EncodeContainerStatus((*container)->status));
  if (!stored.ok())
    log_.Error("container status not stored", {{"container", id}, {"error", stored.message()}});
  return stored;
}

absl::Status Node::MoveToTrash(const std::string& path) {
  std::string trash = absl::StrCat(options_.data_dir, "/trash/", NewId());
  if (FAULT("node.trash") || ::rename(path.c_str(), trash.c_str()) != 0)
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus("rename to trash", path);
  removals_->Add(std::move(trash));
  return absl::OkStatus();
}

bool Node::ImageInUse(absl::string_view image_id) const {
  const std::shared_ptr<const NodeSnapshot> snapshot = Snapshot();
  for (const auto& [id, container] : snapshot->containers) {
    if (container->status.state == ContainerState::kExited) continue;
    if (container->image.id == image_id) return true;
    for (const ContainerImage::Mounted& mounted : container->image.mounted) {
      if (mounted.id == image_id) return true;
    }
  }
  return false;
}

void Node::ReleaseIfIdle() {
  if (!Snapshot()->pods.empty()) return;
  absl::Status released;
  if (!options_.systemd_cgroups) released = cgroups_.Remove(options_.cgroup_root);
  released.Update(network_.RemoveIfUnused());
  if (!released.ok()) log_.Warning("not all is cleaned up", {{"error", released.message()}});
}

absl::StatusOr<std::vector<InterfaceCounters>> Node::PodInterfaces(absl::string_view pod_id) const {
  UniqueFd netlink;
  {
    absl::MutexLock lock(&mu_);
    const auto runtime = runtimes_.find(pod_id);
    if (runtime != runtimes_.end() && runtime->second->netlink.valid())
      netlink = UniqueFd(::fcntl(runtime->second->netlink.get(), F_DUPFD_CLOEXEC, 0));
  }
  if (!netlink.valid())
    return absl::NotFoundError(absl::StrCat("pod sandbox ", pod_id, " is on the node's network"));
  return ReadInterfaceCounters(netlink.get());
}

absl::StatusOr<FileSystemFacts> Node::DataFileSystem() const {
  return ReadFileSystemFacts(data_dir_fd_.get());
}

std::optional<Node::LayerUsage> Node::WritableLayerUsage(absl::string_view container_id) const {
  {
    absl::MutexLock lock(&mu_);
    const auto found = layer_usage_.find(container_id);
    if (found != layer_usage_.end()) return found->second;
  }
  const LayerUsage read = ReadWritableLayer(container_id);
  return read.inodes > 0 ? std::optional(read) : std::nullopt;
}

Node::LayerUsage Node::ReadWritableLayer(absl::string_view container_id) const {
  TreeUsage tree;
  AddTree(data_dir_fd_.get(), absl::StrCat("containers/", container_id, "/upper"), &tree);
  return {.bytes = tree.bytes, .inodes = tree.inodes, .at = absl::GetCurrentTimeNanos()};
}

void Node::SampleWritableLayers() {
  while (true) {
    const std::shared_ptr<const NodeSnapshot> snapshot = Snapshot();
    absl::flat_hash_map<std::string, LayerUsage> usage;
    for (const auto& [id, container] : snapshot->containers) usage[id] = ReadWritableLayer(id);
    const absl::Time next = SteadyNow() + kLayerSampleInterval;
    absl::MutexLock lock(&mu_);
    layer_usage_ = std::move(usage);
    if (AwaitUntil(mu_, absl::Condition(&stopping_), next)) return;
  }
}

}  // namespace berth
