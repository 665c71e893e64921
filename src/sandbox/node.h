// The node: all that pods and containers can be asked to do. Each operation is a file of its own
// (run_pod.cc, start_container.cc, ...). Thread-safe; operations on different pods do not wait for
// each other.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/joined_operations.h"
#include "src/base/keyed_locks.h"
#include "src/base/log.h"
#include "src/base/ready_pool.h"
#include "src/copy/copy_protocol.h"
#include "src/image/image_store.h"
#include "src/kernel/cgroup.h"
#include "src/kernel/file_system_facts.h"
#include "src/kernel/lsm.h"
#include "src/kernel/selinux.h"
#include "src/runtime/cdi.h"
#include "src/runtime/container_plan.h"
#include "src/runtime/hooks.h"
#include "src/runtime/monitor_client.h"
#include "src/runtime/seccomp_profile.h"
#include "src/runtime/volumes.h"
#include "src/sandbox/container_spec.h"
#include "src/sandbox/event_hub.h"
#include "src/sandbox/exit_watcher.h"
#include "src/sandbox/lifecycle_plugins.h"
#include "src/sandbox/network/network.h"
#include "src/sandbox/network/pod_link.h"
#include "src/sandbox/node_counters.h"
#include "src/sandbox/node_state.h"
#include "src/sandbox/operation_log.h"
#include "src/sandbox/parked_process.h"
#include "src/sandbox/ready_directories.h"
#include "src/sandbox/removal_queue.h"
#include "src/sandbox/request_parsers.h"
#include "src/sandbox/running_copies.h"
#include "src/store/database.h"
#include "src/store/pods.h"

namespace berth {

// Gives each mount and device of the host its descriptor's index; their paths, in that order.
std::vector<VolumePath> NumberVolumes(ContainerSpec* spec);

struct ExecResult {
  std::string output, error_output;
  int exit_code = 0;
};

class Node {
 public:
  struct Options {
    std::string data_dir;   // pods/<id>, containers/<id>, ready/, trash/, mount-points/; the image
                            // store's layers/
    std::string state_dir;  // pods/<id>: monitor sockets and exit records; lost at a reboot
    std::string monitor_path;       // berth-monitor
    std::string copy_path;          // berth-copy
    size_t ready_monitors = 0;      // that wait for their pods
    int64_t pids_limit = 0;         // processes of one container; 0 for no limit
    std::vector<Rlimit> rlimits;    // of every process of a container
    uint64_t descriptor_limit = 0;  // soft RLIMIT_NOFILE that pods inherit, instead of berthd's own
    std::string cgroup_root;        // where pods without a cgroup_parent go, e.g. "/berth"
    bool systemd_cgroups = false;   // pods are systemd scopes; else their cgroups are made here
    std::vector<std::string> cdi_dirs, hook_dirs;
    std::map<std::string, std::string> handlers;  // name -> path of an OCI runtime
    wire::LogLimits log_limits = {};              // of each container
    RequestParsers parsers;
    const Log* log = nullptr;
    OperationLog* operations = nullptr;   // must outlive the node
    LifecyclePlugins* plugins = nullptr;  // likewise; may be null
  };

  // Loads and reconciles what an earlier berthd left; returns when every state is known.
  static absl::StatusOr<std::unique_ptr<Node>> Open(Options options, Database& database,
                                                    ImageStore& images, Network& network);
  ~Node();

  // Reads: from memory only.
  std::shared_ptr<const NodeSnapshot> Snapshot() const { return state_.Snapshot(); }
  absl::StatusOr<PodPtr> FindPod(absl::string_view id) const { return state_.FindPod(id); }
  absl::StatusOr<ContainerPtr> FindContainer(absl::string_view id) const {
    return state_.FindContainer(id);
  }

  // Returns the pod's id once it is ready. The same name and configuration again: joins, or the
  // same id.
  absl::StatusOr<std::string> RunPod(ParsedPod pod);
  // Idempotent; unknown ids are OK. On return no process of it runs and its network is being taken
  // down.
  absl::Status StopPod(absl::string_view id);
  absl::Status RemovePod(absl::string_view id);

  absl::StatusOr<std::string> CreateContainer(absl::string_view pod_id, ParsedContainer container);
  absl::Status StartContainer(absl::string_view id);
  // Waits for the exit at most `timeout` and then what killing takes, not beyond `deadline`.
  absl::Status StopContainer(absl::string_view id, absl::Duration timeout, absl::Time deadline);
  absl::Status RemoveContainer(absl::string_view id);
  absl::Status ReopenContainerLog(absl::string_view id);
  // What is set in `changes` replaces what the container has; all of it or, with an error, nothing.
  absl::Status UpdateContainer(absl::string_view id, const CgroupLimits& changes);
  // The same as plugins want it, who are not asked.
  absl::Status ChangeLimits(absl::string_view id, const CgroupLimits& changes);
  // Of a pod they inform only: its cgroup belongs to the caller.
  absl::Status UpdatePod(absl::string_view id, const CgroupLimits& overhead,
                         const CgroupLimits& resources);
  struct ExecSyncOptions {
    absl::Duration timeout;  // zero: none
    size_t max_output_bytes = 0;
    std::function<bool()> cancelled;
  };
  absl::StatusOr<ExecResult> ExecSync(absl::string_view id, const std::vector<std::string>& command,
                                      const ExecSyncOptions& options) const;

  // Streams of a client that are joined to the node's. `Check` says beforehand whether that can be,
  // and gives the full id.
  absl::StatusOr<std::string> CheckExec(absl::string_view id,
                                        const std::vector<std::string>& command) const;
  absl::StatusOr<MonitorSession> ExecSession(const std::string& id,
                                             const std::vector<std::string>& command,
                                             const ExecStreams& streams) const;
  // A container that is not started yet is waited for.
  absl::StatusOr<std::string> CheckAttach(absl::string_view id, bool terminal) const;
  absl::StatusOr<MonitorSession> AttachSession(const std::string& id,
                                               const ExecStreams& streams) const;
  absl::StatusOr<std::string> CheckPortForward(absl::string_view pod_id) const;
  absl::StatusOr<MonitorSession> PortForwardSession(const std::string& pod_id) const;

  // What all containers' logs have dropped since this object was made, and before of those that
  // run.
  uint64_t LogDroppedBytes() const { return log_dropped_bytes_; }

  // Begins to copy out of a container or into it, whether it runs or not; `job.root` is filled in
  // here. A start or a removal of the container ends the copy.
  absl::StatusOr<std::unique_ptr<RunningCopies::Hold>> StartCopy(absl::string_view id, CopyJob job);

  // What the container is to be, without what a start takes of the node's files.
  absl::StatusOr<ContainerSpec> SpecOf(const ContainerRecord& container,
                                       const PodRecord& pod) const;
  // The plan that StartContainer carries out (or carried out), for people.
  absl::StatusOr<LaunchPlan> ContainerPlan(absl::string_view id) const;
  // The same as config.json of the OCI runtime specification.
  absl::StatusOr<std::string> ContainerOciSpec(absl::string_view id) const;
  // Of the interfaces in a ready pod's network namespace. NotFound for pods on the node's network.
  absl::StatusOr<std::vector<InterfaceCounters>> PodInterfaces(absl::string_view pod_id) const;
  // Bytes and inodes of the writable layer as of the last background pass, of one made after it as
  // they are; nullopt without a layer.
  struct LayerUsage {
    int64_t bytes = 0, inodes = 0, at = 0;
  };
  std::optional<LayerUsage> WritableLayerUsage(absl::string_view container_id) const;
  // Of the file system that the writable layers are on.
  absl::StatusOr<FileSystemFacts> DataFileSystem() const;

  EventHub& events() { return events_; }
  const NodeCounters& counters() const { return counters_; }

  struct Handler {
    std::string name;  // "" is the built-in one
    bool recursive_readonly = false, user_namespaces = false;
  };
  std::vector<Handler> Handlers() const;

  // With no pod left, removes what serves all pods: cgroup root, bridge.
  void ReleaseIfIdle();
  // True while a created or running container uses the image.
  bool ImageInUse(absl::string_view image_id) const;
  const std::string& data_dir() const { return options_.data_dir; }
  const Cgroups& cgroups() const { return cgroups_; }
  const LsmFacts& lsm() const { return lsm_; }
  const Network& network() const { return network_; }
  absl::Status SetPodCidrs(const std::vector<std::string>& cidrs) {
    return network_.SetPodCidrs(cidrs);
  }

 private:
  // What a live pod has besides its record.
  struct PodRuntime {
    UniqueFd monitor;         // pidfd; invalid for a monitor that an earlier berthd started
    UniqueFd netlink;         // inside the pod's network namespace
    UniqueFd user_namespace;  // invalid without one of its own
    std::shared_ptr<IdleConnection> idle = std::make_shared<IdleConnection>();  // to the monitor
  };
  // A container's spec with all that depends on the node's files.
  struct PreparedContainer {
    ContainerSpec spec;
    std::vector<DeviceRule> device_rules;
    std::string seccomp_json;                 // "" unconfined
    std::vector<UniqueFd> volumes;            // what the spec's fd_index count; only for a start
    std::vector<uint64_t> volume_attributes;  // of each: OpenedVolume::attributes
  };

  Node(Options options, Database& database, ImageStore& images, Network& network, Cgroups cgroups);
  absl::Status Prepare();
  absl::Status Recover();
  // An error: its monitor lives, but has not told what runs; what was known stays, and is to be
  // read later.
  absl::Status RecoverPod(const PodPtr& pod, absl::Duration patience);
  // What a watch begins with. `before`: the pod's containers as they were known before it was asked
  // for; one that ran then, and that the monitor does not know, has lost its exit.
  absl::Status ReadWatch(int watch, const PodRecord& pod, const std::vector<ContainerPtr>& before,
                         absl::Duration patience);
  void KeepWatching();
  void WatchAgain(const std::string& pod_id);
  void RecoverLate();
  // Its monitor has not told since berthd's start what runs.
  bool IsUnread(absl::string_view pod_id) const;
  void RecoverNetworks();
  absl::Status LoadRecords();
  PodPtr LoadPod(const PodRow& row);
  // Null: it belongs to no pod.
  ContainerPtr LoadContainer(const ContainerRow& row);
  std::string CgroupOfUnreadable(const PodRecord& pod) const;
  void ReclaimUnreadable(const PodRecord& pod);
  void EndOrphanedMonitor(const std::string& pod_id);
  void RemoveOrphans();

  std::string PodDataDir(absl::string_view id) const;
  std::string PodStateDir(absl::string_view id) const;
  std::string ReadyMonitorsDir() const;
  std::string ContainerDir(absl::string_view id) const;
  std::string BundleDir(absl::string_view container_id) const;
  MonitorClient Monitor(absl::string_view pod_id) const;

  absl::StatusOr<std::string> MakePod(const ParsedPod& pod, const std::string& name,
                                      OperationLog::Operation& operation);
  // What the pod can be known by again without its row.
  absl::Status WriteRecord(const PodRecord& pod, const std::string& name) const;
  struct StartedMonitor {
    LaunchPlan plan;  // that it carries out from now on
    UniqueFd greeting, watch;
  };
  // `network`: the pod's namespace; -1: the monitor makes it.
  absl::StatusOr<StartedMonitor> StartMonitor(PodRecord* pod, int network);
  // A process that is to be a monitor, for a pod with this cgroup: one that waits, where it can
  // enter that by itself.
  // `prepared`: it carries out the common plan (BuildCommonPodPlan), or has.
  absl::StatusOr<ReadyMonitor> TakeMonitor(const CgroupHandle& cgroup, bool prepared);
  absl::StatusOr<ReadyMonitor> MakeMonitor(int cgroup_dir, bool prepared) const;
  absl::StatusOr<std::vector<std::string>> AttachNetwork(const PodRecord& pod,
                                                         const MonitorHello& monitor);
  // `operation` may be null.
  absl::Status StopPodOnce(const std::string& id, OperationLog::Operation* operation);
  bool IsGoneOrExited(absl::string_view container_id) const;
  struct EndingMonitor {
    UniqueFd process;     // pidfd; invalid for one that an earlier berthd started
    UniqueFd connection;  // ends with it; invalid if nothing is to be heard of it
  };
  // From here on nobody is told of its containers.
  EndingMonitor AskMonitorToEnd(const PodRecord& pod);
  // False: it was killed, and does not die.
  static bool AwaitEnd(EndingMonitor& monitor);
  void EndHungMonitor(const PodRecord& pod);
  // Of a pod that is to be stopped.
  absl::Status ReadOrEndMonitor(const PodPtr& pod);
  // What it leaves, with an error, is for a repetition.
  absl::Status DiscardPod(const PodRecord& pod);
  // Undoes a pod that could not be made. One that cannot be undone stays, as kCreating, until the
  // same request, a removal or the next start has done it.
  void AbandonPod(const std::shared_ptr<PodRecord>& pod);
  // Kills what is left in it, and waits a moment for that to be gone.
  absl::Status EmptyAndRemoveCgroup(const std::string& path) const;
  absl::Status RemoveContainerCgroup(absl::string_view id);
  // The log has an error, too: most of what changes is known again without the row.
  absl::Status PersistPod(absl::string_view id);

  absl::StatusOr<std::string> MakeContainer(const PodPtr& pod, const ParsedContainer& container,
                                            const std::string& name,
                                            OperationLog::Operation& operation);
  absl::Status CheckStillReady(const std::string& pod_id) const;
  // What plugins make of a container that is to be.
  absl::Status AskPlugins(const PodRecord& pod, const ContainerSpec& spec,
                          ContainerRecord* container) const;
  absl::StatusOr<ContainerImage> ResolveImage(const Image& image,
                                              const ContainerConfig& config) const;
  absl::StatusOr<PreparedContainer> PrepareContainer(const ContainerRecord& container,
                                                     const PodRecord& pod) const;
  absl::Status PrepareDevices(const ContainerRecord& container, PreparedContainer* prepared) const;
  static absl::Status PrepareAdjustment(const ContainerRecord& container,
                                        PreparedContainer* prepared);
  absl::Status PrepareHooks(const ContainerRecord& container, PreparedContainer* prepared) const;
  absl::Status PrepareConfinement(const ContainerRecord& container, const PodRecord& pod,
                                  ProcessIdentity* identity, std::string* mount_label) const;
  absl::Status OpenContainerVolumes(PreparedContainer* prepared) const;
  ContainerSpecOptions SpecOptions() const;
  absl::StatusOr<std::vector<ContainerImage::Mounted>> LeaseMountedImages(
      const ContainerConfig& config, std::vector<ImageLease>* leases) const;

  // A start has come to its end.
  void TellStart(const PodRecord& pod, const std::string& id, bool started) const;
  // A container has ended: plugins have been told on return, or are told soon.
  void TellStopped(absl::string_view id) const;
  void TellExited(const ContainerPtr& container) const;
  absl::StatusOr<int> Launch(const ContainerRecord& container, const PodRecord& pod,
                             OperationLog::Operation& operation);
  // A start's v1 cgroups and log are made while its plan is carried out.
  bool TakesStartRest(const PodRecord& pod) const;
  absl::Status MakeContainerCgroup(const ContainerRecord& container, Cgroups::Part part) const;
  absl::Status LimitContainer(const ContainerRecord& container,
                              const std::vector<DeviceRule>& device_rules) const;
  absl::StatusOr<StartRest> MakeStartRest(const ContainerRecord& container, const PodRecord& pod,
                                          const std::vector<DeviceRule>& device_rules,
                                          bool with_views) const;
  absl::StatusOr<ContainerStart> PrepareStart(const ContainerRecord& container,
                                              const PodRecord& pod,
                                              PreparedContainer& prepared) const;
  bool TakesCgroupViews(const ContainerSpec& spec, int volumes) const;
  absl::StatusOr<int> LaunchBuiltIn(const ContainerRecord& container, const PodRecord& pod,
                                    PreparedContainer prepared, ContainerStart start);
  absl::StatusOr<ExecSpec> PrepareExec(const ContainerRecord& container, const PodRecord& pod,
                                       const std::vector<std::string>& command,
                                       const ExecStreams& streams) const;
  TakeSeccompListener ListenerOf(const ContainerRecord& container,
                                 const SeccompProgram& program) const;
  absl::Status CheckTarget(const ContainerRecord& container) const;
  absl::StatusOr<UniqueFd> PinFirstProcess(const ContainerRecord& container) const;
  // -1: the node's. FailedPrecondition: the pod is to have its own, and it is not at hand.
  absl::StatusOr<int> UserNamespaceOf(const PodRecord& pod) const;
  void RunAllHooks(const std::vector<Hook>& hooks, const OciState& state) const;
  void RunPoststopHooks(const ContainerRecord& container, const PodRecord& pod) const;

  // With an external OCI runtime (oci_handler.cc).
  OciRuntime RuntimeOf(const PodRecord& pod) const;
  absl::StatusOr<std::string> OciSpecOf(const ContainerRecord& container, const PodRecord& pod,
                                        const PreparedContainer& prepared) const;
  absl::StatusOr<int> LaunchWithRuntime(const ContainerRecord& container, const PodRecord& pod,
                                        PreparedContainer prepared, ContainerStart start);
  absl::StatusOr<ExecSyncResult> RunRuntimeCommand(const ContainerRecord& container,
                                                   const PodRecord& pod,
                                                   const std::vector<std::string>& command,
                                                   const ExecSyncOptions& options) const;
  absl::StatusOr<ExecResult> ExecWithRuntime(const ContainerRecord& container, const PodRecord& pod,
                                             const ExecSpec& spec,
                                             const ExecSyncOptions& options) const;
  absl::StatusOr<MonitorSession> SessionWithRuntime(const ContainerRecord& container,
                                                    const PodRecord& pod, const ExecSpec& spec,
                                                    const ExecStreams& streams) const;
  absl::Status UpdateWithRuntime(const ContainerRecord& container, const PodRecord& pod,
                                 const CgroupLimits& before, const CgroupLimits& after) const;
  absl::Status TellRuntimeLimits(const ContainerRecord& container, const PodRecord& pod,
                                 const CgroupLimits& limits) const;
  void KillExecOf(const std::string& pid_file) const;
  void DeleteWithRuntime(const ContainerRecord& container, const PodRecord& pod) const;

  absl::StatusOr<std::string> PodCgroup(const PodRecord& pod) const;
  absl::StatusOr<ParkedProcess> MakeScope(const PodRecord& pod) const;
  void StopScope(const PodRecord& pod) const;
  absl::StatusOr<UniqueFd> OpenLog(const ContainerRecord& container, const PodRecord& pod) const;
  absl::Status RemoveContainerLocked(const ContainerPtr& container);
  OperationLog::Operation BeginOperation(const char* kind, const ContainerRecord& container) const;
  absl::Status PersistContainer(absl::string_view id);  // as PersistPod
  absl::Status MoveToTrash(const std::string& path);

  void OnContainerEvent(const std::string& pod_id, const WatchEvent& event);
  void CountLogDropped(const WatchEvent& event, ContainerStatus* status);
  void OnWatchLost(const std::string& pod_id);
  void OnMonitorLost(const std::string& pod_id);
  // The watch of its monitor, which is to end; from here on there is no other. Invalid: there is
  // none.
  UniqueFd TakeWatch(const std::string& pod_id);
  void MarkExited(absl::string_view id, const WatchEvent& event);
  void MarkLost(const PodRecord& pod, absl::string_view why);

  LayerUsage ReadWritableLayer(absl::string_view container_id) const;
  void SampleWritableLayers();

  const Options options_;
  const Log& log_;
  Database& database_;
  ImageStore& images_;
  Network& network_;
  const Cgroups cgroups_;
  NodeFacts facts_;
  LsmFacts lsm_;
  std::string boot_id_, node_hostname_;
  // The node's minimal mount namespace, and the one that berthd itself is in.
  UniqueFd mount_namespace_, host_mounts_;
  UniqueFd monitor_executable_, copy_executable_, data_dir_fd_;
  mutable SeccompCache seccomp_;
  mutable CdiRegistry cdi_;
  SelinuxCategories selinux_categories_;
  EventHub events_;
  mutable NodeCounters counters_;
  NodeState state_{events_};
  KeyedLocks locks_;
  RunningCopies copies_;
  JoinedOperations<std::string> pod_creations_, container_creations_;

  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, std::unique_ptr<PodRuntime>> runtimes_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, LayerUsage> layer_usage_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, std::string> unread_ ABSL_GUARDED_BY(mu_);  // pod -> why
  absl::flat_hash_set<std::string> unwatched_ ABSL_GUARDED_BY(mu_);  // pods whose watch has ended
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  std::atomic<uint64_t> log_dropped_bytes_ = 0;
  std::unique_ptr<ExitWatcher> watcher_;
  bool has_mount_points_ = false;  // set at the start
  std::unique_ptr<ReadyDirectories> ready_directories_;
  const LaunchPlan common_pod_plan_ = BuildCommonPodPlan();
  std::unique_ptr<ReadyPool<ReadyMonitor>> ready_monitors_;
  std::unique_ptr<RemovalQueue> removals_;
  std::thread layer_sampler_, late_recovery_, rewatcher_;
};

}  // namespace berth
