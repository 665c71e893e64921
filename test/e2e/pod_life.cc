#include "test/e2e/pod_life.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "test/e2e/isolation.h"

namespace berth::e2e {
namespace {

constexpr int kExitCode = 77;         // of the container when it is asked to end
constexpr int kMostAttempts = 5;      // each fault strikes once
constexpr int64_t kStopSeconds = 20;  // it ends at once
constexpr absl::Duration kPause = absl::Milliseconds(20);
constexpr int kExecs = 4;  // the last of which a zygote clones
constexpr char kStartError[] = "StartError";

}  // namespace

cri::PodSandboxConfig PodLife::PodConfig() const {
  cri::PodSandboxConfig config = MakePodConfig(options_.name);
  config.mutable_metadata()->set_attempt(attempt_);
  if (options_.host_port != 0) {
    cri::PortMapping* port = config.add_port_mappings();
    port->set_host_port(options_.host_port);
    port->set_container_port(80);
  }
  return config;
}

cri::ContainerConfig PodLife::ContainerConfig() const {
  cri::ContainerConfig config = MakeProbe("c", {"term-exit", absl::StrCat(kExitCode)});
  config.mutable_image()->set_image(options_.image);
  config.set_log_path(absl::StrCat("c/", attempt_, ".log"));
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(64 << 20);
  cri::Mount* mount = config.add_mounts();
  mount->set_container_path("/logs");
  mount->set_host_path(NodeDir() + "/logs");
  mount->set_readonly(true);
  return config;
}

absl::Status PodLife::Repeat(const char* what, absl::FunctionRef<absl::Status()> call,
                             absl::FunctionRef<bool()> is_lost) {
  absl::Time failing_since = absl::InfiniteFuture();
  while (true) {
    const absl::Status status = call();
    if (status.ok()) return status;
    if (options_.revive(status)) {
      failing_since = absl::Now();
      continue;
    }
    if (is_lost()) return absl::AbortedError(absl::StrCat(what, ": ", status.message()));
    failing_since = std::min(failing_since, absl::Now());
    if (absl::Now() - failing_since > options_.patience)
      return absl::InternalError(absl::StrCat(what, " goes on failing: ", status.message()));
    absl::SleepFor(kPause);
  }
}

absl::Status PodLife::Persist(const char* what, absl::FunctionRef<absl::Status()> call) {
  return Repeat(what, call, [] { return false; });
}

void PodLife::NoteLoss(const cri::ContainerStatus& status) {
  if (may_have_failed_to_start_ && status.reason() == kStartError) return;
  if (options_.may_be_lost(pod_)) return;
  lost_.push_back(absl::StrCat("exit code ", status.exit_code(), ", ", status.reason(), ", ",
                               status.message()));
}

bool PodLife::IsLost() {
  if (!container_.empty()) {
    const auto status = options_.client().ContainerStatus(container_);
    if (status.ok() && status->state() == cri::CONTAINER_EXITED) {
      NoteLoss(*status);
      return true;
    }
  }
  if (pod_.empty()) return false;
  const auto pod = options_.client().PodStatus(pod_);
  return pod.ok() && pod->state() == cri::SANDBOX_NOTREADY;
}

absl::Status PodLife::PersistWhileAlive(const char* what, absl::FunctionRef<absl::Status()> call) {
  return Repeat(what, call, [this] { return IsLost(); });
}

absl::Status PodLife::StartContainer() {
  may_have_failed_to_start_ = true;
  RETURN_IF_ERROR(PersistWhileAlive("StartContainer", [&]() -> absl::Status {
    // The answer to an earlier call may have been lost.
    ASSIGN_OR_RETURN(const auto status, options_.client().ContainerStatus(container_));
    return status.state() == cri::CONTAINER_RUNNING ? absl::OkStatus()
                                                    : options_.client().Start(container_);
  }));
  may_have_failed_to_start_ = false;
  return absl::OkStatus();
}

// What a list says, too: a kubelet starts anew what is missing there.
absl::Status PodLife::ExpectRunning() {
  return PersistWhileAlive("ListContainers", [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const auto containers, options_.client().ListContainers());
    for (const cri::Container& container : containers) {
      if (container.id() == container_ && container.state() == cri::CONTAINER_RUNNING)
        return absl::OkStatus();
    }
    return absl::InternalError("the container that was started is not listed as running");
  });
}

absl::Status PodLife::Use() {
  const std::string log = absl::StrCat(PodConfig().log_directory(), "/c/", attempt_, ".log");
  RETURN_IF_ERROR(PersistWhileAlive("reading the log", [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const auto records, ReadLog(log));
    return Joined(records, "stdout") == "ready\n" ? absl::OkStatus()
                                                  : absl::NotFoundError("not ready yet");
  }));
  for (int code = 1; code <= kExecs; ++code) {
    RETURN_IF_ERROR(PersistWhileAlive("ExecSync", [&]() -> absl::Status {
      ASSIGN_OR_RETURN(const auto result,
                       options_.client().Exec(container_, {"/probe", "exit", absl::StrCat(code)}));
      if (result.exit_code() != code)
        wrong_exits_.push_back(absl::StrCat("exec: ", result.exit_code(), " instead of ", code));
      return absl::OkStatus();
    }));
  }
  RETURN_IF_ERROR(PersistWhileAlive("UpdateContainerResources", [&]() -> absl::Status {
    cri::UpdateContainerResourcesRequest request;
    request.set_container_id(container_);
    request.mutable_linux()->set_memory_limit_in_bytes(48 << 20);
    return options_.client().Call(&Runtime::UpdateContainerResources, request).status();
  }));
  RETURN_IF_ERROR(ExpectRunning());
  if (!options_.interlude) return absl::OkStatus();
  RETURN_IF_ERROR(options_.interlude());
  return ExpectRunning();
}

absl::Status PodLife::LiveOnce() {
  pod_.clear();
  container_.clear();
  RETURN_IF_ERROR(PersistWhileAlive("RunPodSandbox", [&]() -> absl::Status {
    ASSIGN_OR_RETURN(pod_, options_.client().RunPod(PodConfig()));
    return absl::OkStatus();
  }));
  RETURN_IF_ERROR(PersistWhileAlive("CreateContainer", [&]() -> absl::Status {
    ASSIGN_OR_RETURN(container_, options_.client().Create(pod_, ContainerConfig(), PodConfig()));
    return absl::OkStatus();
  }));
  RETURN_IF_ERROR(StartContainer());
  return Use();
}

absl::Status PodLife::End() {
  RETURN_IF_ERROR(
      Persist("StopContainer", [&] { return options_.client().Stop(container_, kStopSeconds); }));
  RETURN_IF_ERROR(Persist("ContainerStatus", [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const auto status, options_.client().ContainerStatus(container_));
    if (status.state() != cri::CONTAINER_EXITED)
      return absl::InternalError("stopped, and not exited");
    if (status.exit_code() != kExitCode && !options_.may_be_lost(pod_)) {
      wrong_exits_.push_back(absl::StrCat("container: ", status.exit_code(), " (", status.reason(),
                                          ") instead of ", kExitCode));
    }
    return absl::OkStatus();
  }));
  return Persist("RemoveContainer", [&] { return options_.client().Remove(container_); });
}

absl::Status PodLife::RemovePod() {
  if (pod_.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(Persist("StopPodSandbox", [&] { return options_.client().StopPod(pod_); }));
  return Persist("RemovePodSandbox", [&] { return options_.client().RemovePod(pod_); });
}

absl::Status PodLife::Run() {
  RETURN_IF_ERROR(
      Persist("PullImage", [&] { return options_.client().Pull(options_.image).status(); }));
  for (int i = 0; i < kMostAttempts; ++i, ++attempt_) {
    const absl::Status lived = LiveOnce();
    if (!lived.ok() && !absl::IsAborted(lived)) return lived;
    if (lived.ok()) RETURN_IF_ERROR(End());
    RETURN_IF_ERROR(RemovePod());
    if (lived.ok()) return lived;
  }
  return absl::InternalError("each attempt at the pod was lost");
}

}  // namespace berth::e2e
