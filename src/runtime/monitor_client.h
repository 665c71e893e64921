// berthd's side of a pod's monitor: starts it, and asks it. A connection serves one request at a
// time, so that a slow one never stands in another's way, and a lost one is a closed connection
// (docs/formats/monitor-protocol.md).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/unique_fd.h"
#include "src/kernel/cgroup.h"
#include "src/kernel/process.h"
#include "src/runtime/container_plan.h"
#include "src/runtime/launch_plan.h"
#include "src/runtime/monitor_protocol.h"

namespace berth {

// A monitor answers within milliseconds; one that does not for this long is stopped or stuck.
inline constexpr absl::Duration kAnswerTimeout = absl::Seconds(30);

// A monitor's process that has no pod yet, and the directory that becomes the pod's state
// directory. What no pod has taken ends with this object.
class ReadyMonitor {
 public:
  struct Options {
    std::string state_dir;          // made (0700), with monitor.sock and monitor.log in it
    int executable = -1;            // sealed copy of berth-monitor
    int mount_namespace = -1;       // the node's minimal mount namespace
    uint64_t descriptor_limit = 0;  // soft RLIMIT_NOFILE that the pod inherits; 0: berthd's own
    int cgroup_dir = -1;            // cgroup2: where it runs, from its start; -1: where berthd does
    const LaunchPlan* plan = nullptr;  // that it carries out at once: what its pod's begins with
  };
  static absl::StatusOr<ReadyMonitor> Start(const Options& options);
  ReadyMonitor(ReadyMonitor&&) = default;
  ReadyMonitor& operator=(ReadyMonitor&&) = delete;
  ~ReadyMonitor();

  bool HasEnded() const;  // somebody has killed it

 private:
  friend class MonitorClient;
  ReadyMonitor(std::string state_dir, SpawnedProcess process, UniqueFd connection, UniqueFd watch)
      : state_dir_(std::move(state_dir)),
        process_(std::move(process)),
        connection_(std::move(connection)),
        watch_(std::move(watch)) {}

  std::string state_dir_;
  SpawnedProcess process_;
  UniqueFd connection_, watch_;
};

struct PodStart {
  std::string pod_id;
  const CgroupHandle* cgroup = nullptr;  // whose v1 hierarchies it joins; null: none
  const LaunchPlan* plan = nullptr;      // the rest of it, if it has carried out some already
  std::vector<int> plan_fds;             // that the plan names
  bool own_pid_namespace = false;
};

// A pod's monitor from now on.
struct PodMonitor {
  SpawnedProcess process;
  UniqueFd greeting;  // for MonitorClient::AwaitGreeting
  UniqueFd watch;     // as of MonitorClient::Watch
};

struct MonitorHello {
  pid_t pid = -1;
  pid_t pod_init_pid = 0;               // 0 without a pid namespace of the pod's own
  UniqueFd network_namespace, netlink;  // invalid for host-network pods
  UniqueFd user_namespace;              // invalid without one of the pod's own
};

// Called in the course of a start with the process's pid, when its filter has a listener; an error
// ends the start.
using TakeSeccompListener = std::function<absl::Status(pid_t pid, UniqueFd listener)>;

// What a start with PlanFds::late_cgroups has while its plan is carried out already.
struct StartRest {
  CgroupHandle cgroups;         // the v1 part (Cgroups::Part)
  std::vector<UniqueFd> views;  // of them
  UniqueFd log;                 // invalid: output is dropped
};

struct ContainerStart {
  std::string container_id;
  const LaunchPlan* plan = nullptr;
  const CgroupHandle* cgroup = nullptr;  // the container's; with make_rest its cgroup2 part
  // With PlanFds::late_cgroups: called while the plan is carried out; an error ends the start.
  std::function<absl::StatusOr<StartRest>()> make_rest;
  std::vector<UniqueFd> volumes;
  wire::PidMode pid_mode = wire::PidMode::kNew;
  bool terminal = false;
  bool stdin_open = false, stdin_once = false;
  std::string target_id;                      // PidMode::kContainer
  UniqueFd log;                               // without make_rest
  int user_namespace = -1, host_mounts = -1;  // descriptors behind the volumes (PlanFds)
  // The plan runs an OCI runtime's `create`; it leaves the container's pid in "<pid_dir>/pid".
  UniqueFd pid_dir;
  // Called in the start's course, with the container's pid, when the plan asks for it; an error
  // ends the start.
  std::function<absl::Status(pid_t pid)> run_hooks;
  TakeSeccompListener take_seccomp_listener;
};

struct ExecSyncRequest {
  std::string container_id;
  const LaunchPlan* plan = nullptr;
  absl::Duration timeout;           // zero: none
  size_t max_output_bytes = 0;      // stdout and stderr together; the rest is read and dropped
  std::function<bool()> cancelled;  // polled
  bool outside_container = false;   // the plan is a command of an OCI runtime: no pid namespace, no
                                    // leaf cgroup, and the container need not run
  int host_mounts = -1;             // first descriptor of such a plan
  TakeSeccompListener take_seccomp_listener;
};

struct ExecSessionStart {
  std::string container_id;
  const LaunchPlan* plan = nullptr;  // made with the same streams
  ExecStreams streams;
  bool outside_container = false;  // as ExecSyncRequest's
  int host_mounts = -1;
  TakeSeccompListener take_seccomp_listener;
};

struct AttachStart {
  std::string container_id;
  // stderr only without a terminal; the terminal is the container's.
  ExecStreams streams;
};

// What a client's streams are joined to. `connection` owns the session: closing it ends an exec and
// an attachment. With a terminal `output` alone is there: its master, or a socket that leads to it.
struct MonitorSession {
  UniqueFd connection;
  UniqueFd input, output, error_output;  // invalid for a stream that there is not
  bool takes_input = false;
};

struct ExecSyncResult {
  std::string output, error_output;
  int exit_code = 0;
};

// The connection to a monitor that its last request has left behind, for the next one.
class IdleConnection {
 public:
  UniqueFd Take();  // invalid: there is none
  void Put(UniqueFd connection);

  // The monitor is known to take the plans of execs in messages.
  std::atomic<bool> takes_plans = false;
  // It was set up by this berthd.
  std::atomic<bool> of_this_version = false;

 private:
  absl::Mutex mu_;
  UniqueFd connection_ ABSL_GUARDED_BY(mu_);
};

class MonitorClient {
 public:
  // Without `idle` each request makes a connection, and closes it.
  explicit MonitorClient(std::string state_dir, std::shared_ptr<IdleConnection> idle = nullptr)
      : state_dir_(std::move(state_dir)), idle_(std::move(idle)) {}

  // Makes `monitor` the pod's, and its directory the pod's state directory, which is not there yet,
  // or empty. It is ready once it greets.
  absl::StatusOr<PodMonitor> SetUp(ReadyMonitor monitor, const PodStart& start) const;
  // `plan`: PodStart's, which names the step in an error. DeadlineExceeded.
  absl::StatusOr<MonitorHello> AwaitGreeting(UniqueFd greeting, const LaunchPlan& plan) const;

  // Nobody listens any more: the monitor has ended. One that hangs, or speaks another version of
  // the protocol, is not gone, whatever the requests below say.
  bool IsGone() const;

  // `plan` names the step in an error. DeadlineExceeded: no answer within `patience`.
  absl::StatusOr<MonitorHello> Hello(const LaunchPlan& plan,
                                     absl::Duration patience = kAnswerTimeout) const;
  // It takes all that this berthd knows, ContainerStart::make_rest for instance.
  bool IsOfThisVersion() const { return idle_ != nullptr && idle_->of_this_version; }
  // Returns the pid once the process has been exec'ed. NotFound: the executable is missing; the
  // text is for users.
  absl::StatusOr<pid_t> Start(ContainerStart start) const;
  absl::Status Stop(absl::string_view container_id, int signal, absl::Duration timeout,
                    absl::Duration patience = kAnswerTimeout) const;
  // DeadlineExceeded: timed out and killed whole. Cancelled.
  absl::StatusOr<ExecSyncResult> ExecSync(const ExecSyncRequest& request) const;
  // Returns once the process has been exec'ed; errors as of Start. Unimplemented: the monitor is
  // older than sessions.
  absl::StatusOr<MonitorSession> StartExecSession(const ExecSessionStart& start) const;
  // Output from now on, or, before the container's start, all of it. NotFound: it has ended.
  absl::StatusOr<MonitorSession> Attach(const AttachStart& start) const;
  // A connection that takes kConnect.
  absl::StatusOr<UniqueFd> PortForward() const;
  // For containers that are started later.
  absl::Status LimitLogs(const wire::LogLimits& limits) const;
  absl::Status ReopenLog(absl::string_view container_id, const UniqueFd& log) const;
  absl::Status Forget(absl::string_view container_id) const;
  absl::Status Shutdown(absl::Duration patience = kAnswerTimeout) const;
  // Asks for the same on a connection of Watch, and waits for no answer: the connection ends with
  // the monitor. If it cannot end it says so there.
  static absl::Status BeginShutdown(const UniqueFd& watch);
  // A connection that delivers a kExit packet for each container that has exited or exits.
  absl::StatusOr<UniqueFd> Watch() const;

 private:
  absl::StatusOr<UniqueFd> Connect() const;
  // Sends a request over a connection that no other one uses, and returns that.
  absl::StatusOr<UniqueFd> Send(absl::string_view message, const std::vector<int>& fds = {}) const;
  // The same, of a request with a plan: in the message `with_plan` where it `may_be_in_message` and
  // the socket takes that, else in a file before `fds`, with `request`.
  absl::StatusOr<UniqueFd> SendWithPlan(bool may_be_in_message, std::string with_plan,
                                        const std::string& request, const std::string& plan,
                                        const std::vector<int>& fds) const;
  absl::StatusOr<UniqueFd> SendExec(const wire::ExecRequest& request, const std::string& plan,
                                    const std::vector<int>& fds) const;
  absl::StatusOr<MonitorHello> AwaitHello(UniqueFd asked, const LaunchPlan& plan,
                                          absl::Duration patience) const;
  // A request that kOk answers.
  absl::Status Ask(absl::string_view message, const std::vector<int>& fds = {},
                   absl::Duration patience = kAnswerTimeout) const;
  // For a connection on which nothing more is to come.
  void Keep(UniqueFd connection) const;

  const std::string state_dir_;
  const std::shared_ptr<IdleConnection> idle_;
};

// What a packet of Watch says of a container; nullopt for the kOk that ends the list of those that
// were there.
struct WatchEvent {
  std::string container_id;
  bool log_dropped = false;  // only log_dropped_bytes is told
  bool running = false;      // else it has exited:
  pid_t pid = -1;
  int exit_code = 0;
  bool oom = false;
  int64_t finished_at = 0;  // ns since the epoch
  uint64_t log_dropped_bytes = 0;
};
absl::StatusOr<std::optional<WatchEvent>> ParseWatchEvent(absl::string_view packet);

// Reads the exit record that a monitor left for a container; NotFound if there is none.
absl::StatusOr<WatchEvent> ReadExitRecord(const std::string& state_dir,
                                          absl::string_view container_id);

}  // namespace berth
