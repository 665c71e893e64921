#include "src/oci/create.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/base/undo.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"
#include "src/oci/bundle.h"
#include "src/oci/console.h"
#include "src/oci/launch.h"
#include "src/runtime/hooks.h"
#include "src/runtime/seccomp_listener.h"

namespace berth::oci {
namespace {

std::string Sha256(absl::string_view text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return absl::StrCat("sha256:", absl::BytesToHexString(absl::string_view(
                                     reinterpret_cast<const char*>(digest), sizeof(digest))));
}

absl::StatusOr<std::string> AbsoluteBundle(const std::string& path) {
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) == nullptr) return ErrnoStatus("open bundle", path);
  return std::string(resolved);
}

struct StartFifos {
  UniqueFd start, result;
};

// Open for reading and writing, so that neither side sees an end before the other is there, or
// waits for it to open.
absl::StatusOr<UniqueFd> MakeFifo(const std::string& path) {
  if (::mkfifo(path.c_str(), 0600) != 0) return ErrnoStatus("mkfifo", path);
  return OpenFile(AT_FDCWD, path, O_RDWR);
}

absl::StatusOr<StartFifos> MakeFifos(const std::string& directory) {
  StartFifos fifos;
  ASSIGN_OR_RETURN(fifos.result, MakeFifo(absl::StrCat(directory, "/", kResultFifo)));
  ASSIGN_OR_RETURN(fifos.start, MakeFifo(absl::StrCat(directory, "/", kStartFifo)));
  return fifos;
}

// The cgroup with its limits; removed by `undo` if it is new.
absl::Status MakeCgroup(const Cgroups& cgroups, const OciConfig& config, Undo* undo) {
  RETURN_IF_ERROR(cgroups.Create(config.cgroup_path));
  undo->Push([&cgroups, path = config.cgroup_path] {
    cgroups.Kill(path);
    cgroups.Remove(path).IgnoreError();
  });
  RETURN_IF_ERROR(cgroups.SetLimits(config.cgroup_path, config.limits));
  return cgroups.RestrictDevices(config.cgroup_path, config.device_rules);
}

class Creation {
 public:
  Creation(const Runtime& runtime, const CreateOptions& options)
      : runtime_(runtime), options_(options) {}

  absl::StatusOr<Created> Run(Terminal terminal);

 private:
  absl::Status Load();
  absl::StatusOr<Launched> LaunchInit(const Cgroups& cgroups);
  absl::Status RunCreationHooks(pid_t pid);
  absl::Status Finish(const Launched& launched);

  const Runtime& runtime_;
  const CreateOptions& options_;
  std::string config_text_;
  OciConfig config_;
  ContainerState state_;
};

absl::Status Creation::Load() {
  ASSIGN_OR_RETURN(state_.bundle, AbsoluteBundle(options_.bundle));
  ASSIGN_OR_RETURN(config_text_, ReadBundleConfig(state_.bundle));
  ASSIGN_OR_RETURN(config_, ParseOciConfig(config_text_, state_.bundle, options_.id));
  if (!config_.has_process) return absl::InvalidArgumentError("config.json process: missing");
  for (const std::string& field : config_.unknown_fields) {
    *runtime_.err << "berth-oci: config.json " << field << ": unknown, passed over\n";
  }
  state_.oci_version = config_.version;
  state_.id = options_.id;
  state_.rootfs = config_.spec.rootfs_path;
  state_.cgroup_path = config_.cgroup_path;
  state_.created = absl::FormatTime(absl::RFC3339_full, absl::Now(), absl::UTCTimeZone());
  state_.config_digest = Sha256(config_text_);
  state_.annotations = config_.annotations;
  return absl::OkStatus();
}

absl::Status Creation::RunCreationHooks(pid_t pid) {
  state_.pid = pid;
  const std::string state = HookState(state_, "creating", true);
  RETURN_IF_ERROR(RunHooks(config_.spec.hooks.prestart, state, kHookTimeout));
  return RunHooks(config_.spec.hooks.create_runtime, state, kHookTimeout);
}

absl::StatusOr<Launched> Creation::LaunchInit(const Cgroups& cgroups) {
  ASSIGN_OR_RETURN(const UniqueFd monitor, SealedCopy(runtime_.monitor));
  ASSIGN_OR_RETURN(const OpenedBundle opened, OpenBundle(monitor.get(), &config_));
  ASSIGN_OR_RETURN(const StartFifos fifos, MakeFifos(runtime_.states.PathOf(state_.id)));
  ASSIGN_OR_RETURN(const CgroupHandle cgroup, cgroups.Open(config_.cgroup_path));
  ContainerSpec& spec = config_.spec;
  spec.creating_state = HookState(state_, "creating", false);
  spec.created_state = HookState(state_, "created", false);
  const bool user_namespace = opened.user_namespace.valid();
  const PlanFds counts = {.cgroup_tasks = static_cast<int>(cgroup.tasks.size()),
                          .volumes = static_cast<int>(opened.volumes.size()),
                          .user_namespace = user_namespace};
  const LaunchPlan plan = BuildContainerPlan(spec, FactsOf(cgroups), counts);

  LaunchRequest request = {.monitor = monitor.get(), .plan = &plan};
  const auto add = [&request](const UniqueFd& fd) {
    request.fds.push_back(fd.get());
    return static_cast<int>(request.fds.size()) - 1;
  };
  for (const UniqueFd& fd : cgroup.tasks) add(fd);
  for (const UniqueFd& fd : opened.volumes) add(fd);
  if (user_namespace) add(opened.user_namespace);
  if (cgroup.unified) request.cgroup = add(cgroup.directory);
  if (opened.pid_namespace.valid()) request.pid_namespace = add(opened.pid_namespace);
  request.start = add(fifos.start);
  request.result = add(fifos.result);
  // A plan with a user namespace makes these two when it has entered that.
  if (!user_namespace) request.clone_flags = CLONE_NEWNS | (config_.new_pid ? CLONE_NEWPID : 0);
  request.new_keyring = !options_.no_new_keyring;
  request.run_hooks = [this](pid_t pid) { return RunCreationHooks(pid); };
  request.take_seccomp_listener = [&](pid_t pid, UniqueFd listener) {
    return SendSeccompListener(spec.identity.program,
                               {.container_id = state_.id, .bundle = state_.bundle, .pid = pid},
                               listener);
  };
  return Launch(request);
}

// How a process that was to wait for `start` came to its end.
absl::Status EndedEarly(pid_t pid) {
  int status = 0;
  if (::waitpid(pid, &status, WNOHANG) != pid)
    return absl::AbortedError("the process has vanished");
  return absl::AbortedError(
      WIFSIGNALED(status)
          ? absl::StrCat("the process was killed by signal ", WTERMSIG(status), " before its start")
          : absl::StrCat("the process ended with ", WEXITSTATUS(status), " before its start"));
}

absl::Status Creation::Finish(const Launched& launched) {
  state_.pid = launched.pid;
  const absl::StatusOr<uint64_t> start_time = ProcessStartTime(launched.pid);
  if (!start_time.ok()) return EndedEarly(launched.pid);
  state_.start_time = *start_time;
  if (launched.terminal.valid())
    RETURN_IF_ERROR(SetConsoleSize(launched.terminal, config_.console_size));
  if (!options_.pid_file.empty()) RETURN_IF_ERROR(WritePidFile(options_.pid_file, launched.pid));
  return runtime_.states.Write(state_);
}

absl::StatusOr<Created> Creation::Run(Terminal terminal) {
  RETURN_IF_ERROR(CheckId(options_.id));
  RETURN_IF_ERROR(Load());
  const bool to_socket = !options_.console_socket.empty();
  if (config_.spec.terminal && terminal == Terminal::kToSocket && !to_socket) {
    return absl::InvalidArgumentError(
        "config.json process.terminal: needs --console-socket when nobody stays with it");
  }
  if (!config_.spec.terminal && to_socket) {
    return absl::InvalidArgumentError("--console-socket: config.json has no process.terminal");
  }
  ASSIGN_OR_RETURN(const Cgroups cgroups, Cgroups::Detect());
  Undo undo;
  RETURN_IF_ERROR(runtime_.states.Create(state_.id));
  undo.Push([this] { runtime_.states.Remove(state_.id).IgnoreError(); });
  RETURN_IF_ERROR(runtime_.states.WriteConfig(state_.id, config_text_));
  RETURN_IF_ERROR(runtime_.states.Write(state_));
  RETURN_IF_ERROR(MakeCgroup(cgroups, config_, &undo));
  ASSIGN_OR_RETURN(Launched launched, LaunchInit(cgroups));
  if (to_socket) {
    RETURN_IF_ERROR(SendConsole(options_.console_socket, launched.terminal));
  }
  RETURN_IF_ERROR(Finish(launched));
  undo.Commit();
  Created created = {.state = state_};
  if (!to_socket) created.terminal = std::move(launched.terminal);
  return created;
}

}  // namespace

std::string HookState(const ContainerState& state, const char* status, bool with_pid) {
  OciState oci = {
      .id = state.id, .status = status, .bundle = state.bundle, .annotations = state.annotations};
  if (with_pid) oci.pid = state.pid;
  return OciStateJson(oci);
}

absl::StatusOr<OciConfig> StoredConfig(const Runtime& runtime, const ContainerState& state) {
  ASSIGN_OR_RETURN(const std::string text, runtime.states.ReadConfig(state.id));
  return ParseOciConfig(text, state.bundle, state.id);
}

absl::Status WritePidFile(const std::string& path, pid_t pid) {
  return ReplaceFileAt(AT_FDCWD, path, absl::StrCat(pid), 0644);
}

absl::StatusOr<Created> CreateContainer(const Runtime& runtime, const CreateOptions& options,
                                        Terminal terminal) {
  return Creation(runtime, options).Run(terminal);
}

absl::Status Create(const Runtime& runtime, const CreateOptions& options) {
  return CreateContainer(runtime, options, Terminal::kToSocket).status();
}

}  // namespace berth::oci
