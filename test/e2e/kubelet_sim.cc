#include "test/e2e/kubelet_sim.h"

#include <algorithm>
#include <filesystem>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace berth::e2e {
namespace {

constexpr int64_t kGraceSeconds = 2;
constexpr absl::Duration kMaxBackOff = absl::Seconds(4);

bool IsCutOff(const absl::Status& status) {
  // The last is what gRPC makes of a connection that ends in the middle of an answer.
  return absl::IsUnavailable(status) || absl::IsCancelled(status) ||
         (absl::IsUnknown(status) && absl::StrContains(status.message(), "Stream removed"));
}

absl::Status StatusIn(const absl::Status& status) { return status; }
template <class T>
absl::Status StatusIn(const absl::StatusOr<T>& value) {
  return value.status();
}

}  // namespace

std::string KubeletReport::Text() const {
  std::string text;
  for (const auto& [what, count] : done) absl::StrAppend(&text, what, " ", count, ", ");
  int all = 0, cut = 0;
  for (const auto& [rpc, count] : calls) all += count;
  for (const auto& [rpc, count] : interrupted) cut += count;
  absl::StrAppend(&text, all, " calls answered, ", cut, " cut off");
  std::vector<absl::Duration> times = list_times;
  if (times.empty()) return text;
  std::sort(times.begin(), times.end());
  const auto at = [&](double part) {
    return absl::FormatDuration(
        times[static_cast<size_t>(part * static_cast<double>(times.size() - 1))]);
  };
  absl::StrAppend(&text, "; ", times.size(), " lists: median ", at(0.5), ", p99 ", at(0.99),
                  ", longest ", at(1));
  return text;
}

KubeletSim::KubeletSim(KubeletOptions options)
    : options_(std::move(options)), client_(options_.socket) {}

void KubeletSim::Count(const std::string& what) {
  absl::MutexLock lock(&mu_);
  ++report_.done[what];
}

void KubeletSim::Unexpected(const std::string& what) {
  absl::MutexLock lock(&mu_);
  report_.unexpected.push_back(what);
}

template <class F>
auto KubeletSim::Ask(const std::string& rpc, F call) -> decltype(call()) {
  while (true) {
    auto answer = call();
    const absl::Status status = StatusIn(answer);
    const bool cut = interruptions_ && IsCutOff(status);
    {
      absl::MutexLock lock(&mu_);
      ++(cut ? report_.interrupted : report_.calls)[rpc];
      if (!cut && !status.ok())
        report_.unexpected.push_back(absl::StrCat(rpc, ": ", status.ToString()));
    }
    if (!cut) return answer;
    absl::SleepFor(absl::Milliseconds(50));
  }
}

void KubeletSim::Every(absl::Duration period, void (KubeletSim::*act)()) {
  for (absl::Time next = absl::Now(); !done_; next += period) {
    (this->*act)();
    while (!done_ && absl::Now() < next + period) absl::SleepFor(absl::Milliseconds(20));
  }
}

// The generic PLEG: all pods and containers, each second.
void KubeletSim::Relist() {
  for (const bool pods : {true, false}) {
    const absl::Time start = absl::Now();
    const absl::Status status =
        pods ? Ask("ListPodSandbox", [&] { return client_.ListPods(); }).status()
             : Ask("ListContainers", [&] { return client_.ListContainers(); }).status();
    if (!status.ok() || interruptions_) continue;
    absl::MutexLock lock(&mu_);
    report_.list_times.push_back(absl::Now() - start);
  }
}

void KubeletSim::Housekeeping() {
  cri::PodSandboxFilter ready;
  ready.mutable_state()->set_state(cri::SANDBOX_READY);
  Ask("ListPodSandbox", [&] { return client_.ListPods(ready); }).IgnoreError();
  cri::ContainerFilter running;
  running.mutable_state()->set_state(cri::CONTAINER_RUNNING);
  Ask("ListContainers", [&] { return client_.ListContainers(running); }).IgnoreError();
}

void KubeletSim::Node() {
  Ask("Version", [&] { return client_.Call(&Runtime::Version, {}); }).IgnoreError();
  const auto status = Ask("Status", [&] { return client_.Call(&Runtime::Status, {}); });
  if (!status.ok()) return;
  for (const auto& condition : status->status().conditions()) {
    if (!condition.status() && !interruptions_)
      Unexpected(absl::StrCat("Status: ", condition.type(), " is not true: ", condition.message()));
  }
}

void KubeletSim::Stats() {
  Ask("ListContainerStats", [&] {
    return client_.Call(&Runtime::ListContainerStats, {});
  }).IgnoreError();
  Ask("ListPodSandboxStats", [&] {
    return client_.Call(&Runtime::ListPodSandboxStats, {});
  }).IgnoreError();
  Ask("ListPodSandboxMetrics", [&] {
    return client_.Call(&Runtime::ListPodSandboxMetrics, {});
  }).IgnoreError();
  const auto disks = Ask("ImageFsInfo", [&] { return client_.Call(&Images::ImageFsInfo, {}); });
  if (disks.ok() && disks->image_filesystems_size() == 0) Unexpected("ImageFsInfo: no file system");
  Ask("ListImages", [&] { return client_.ListImages(); }).IgnoreError();
}

// The evented PLEG: one stream, opened again when it ends.
void KubeletSim::FollowEvents() {
  const auto channel =
      grpc::CreateChannel("unix://" + options_.socket, grpc::InsecureChannelCredentials());
  const auto stub = cri::RuntimeService::NewStub(channel);
  while (!done_) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    const auto stream = stub->GetContainerEvents(&context, {});
    SetStream(&context);
    cri::ContainerEventResponse event;
    while (stream->Read(&event)) {
      if (event.container_id().empty()) Unexpected("GetContainerEvents: an event without an id");
      Count("events");
    }
    const absl::Status status = ToAbsl(stream->Finish());
    SetStream(nullptr);
    if (!done_ && !(interruptions_ && IsCutOff(status)))
      return Unexpected(absl::StrCat("GetContainerEvents: ended: ", status.ToString()));
    if (!done_) absl::SleepFor(absl::Milliseconds(100));
  }
}

void KubeletSim::SetStream(grpc::ClientContext* stream) {
  absl::MutexLock lock(&mu_);
  stream_ = stream;
  if (stream_ != nullptr && done_) stream_->TryCancel();
}

bool KubeletSim::Launch(const std::string& pod, const cri::PodSandboxConfig& config,
                        Container* container) {
  container->config = MakeKubeletProbe(container->name, container->arguments);
  container->config.mutable_metadata()->set_attempt(container->attempt);
  container->config.set_log_path(absl::StrCat(container->name, "/", container->attempt, ".log"));
  const auto id =
      Ask("CreateContainer", [&] { return client_.Create(pod, container->config, config); });
  if (!id.ok()) return false;
  container->id = *id;
  // One whose answer was lost runs already.
  const absl::Status started = Ask("StartContainer", [&] {
    const absl::Status status = client_.Start(*id);
    if (!interruptions_ || !absl::IsFailedPrecondition(status)) return status;
    const auto now = client_.ContainerStatus(*id);
    if (!now.ok()) return now.status();
    return now->state() == cri::CONTAINER_CREATED ? status : absl::OkStatus();
  });
  return started.ok();
}

// A start that berthd did not live to see the end of has failed.
bool KubeletSim::CutOffStart(const cri::ContainerStatus& status) {
  if (!interruptions_ || status.state() != cri::CONTAINER_EXITED || status.reason() != "StartError")
    return false;
  Count("starts cut off");
  return true;
}

bool KubeletSim::RunInit(const std::string& pod, const cri::PodSandboxConfig& config) {
  Container init{.name = "init", .arguments = {"exit", "0"}};
  while (true) {
    if (!Launch(pod, config, &init)) return false;
    absl::StatusOr<cri::ContainerStatus> status;
    do {
      absl::SleepFor(absl::Milliseconds(100));
      status = Ask("ContainerStatus", [&] { return client_.ContainerStatus(init.id); });
      if (!status.ok()) return false;
    } while (status->state() != cri::CONTAINER_EXITED);
    if (!Ask("RemoveContainer", [&] { return client_.Remove(init.id); }).ok()) return false;
    if (status->exit_code() == 0) return true;
    if (!CutOffStart(*status)) {
      Unexpected(absl::StrCat("init: exit code ", status->exit_code(), " ", status->reason(), " ",
                              status->message()));
      return false;
    }
    ++init.attempt;
  }
}

void KubeletSim::Probe(const Container& container) {
  const auto answer = client_.Exec(container.id, {"/probe", "paths", "/"}, 5);
  if (interruptions_ && IsCutOff(answer.status())) return Count("probes cut off");
  Count("probes");
  if (!answer.ok()) {
    Unexpected(absl::StrCat("ExecSync: ", answer.status().ToString()));
  } else if (answer->exit_code() != 0) {
    Unexpected(absl::StrCat("ExecSync: exit code ", answer->exit_code(), ": ", answer->stderr()));
  }
}

void KubeletSim::Resize(const Container& container, std::mt19937& random) {
  cri::UpdateContainerResourcesRequest request;
  request.set_container_id(container.id);
  *request.mutable_linux() = container.config.linux().resources();
  request.mutable_linux()->set_memory_limit_in_bytes((64 + static_cast<int64_t>(random() % 64))
                                                     << 20);
  request.mutable_linux()->set_memory_swap_limit_in_bytes(request.linux().memory_limit_in_bytes());
  if (!Ask("UpdateContainerResources", [&] {
         return client_.Call(&Runtime::UpdateContainerResources, request);
       }).ok())
    return;
  const auto status = Ask("ContainerStatus", [&] { return client_.ContainerStatus(container.id); });
  if (status.ok() && status->resources().linux().memory_limit_in_bytes() !=
                         request.linux().memory_limit_in_bytes())
    Unexpected("ContainerStatus: resources are not those of the resize");
  Count("resizes");
}

void KubeletSim::Rotate(const cri::PodSandboxConfig& config, const Container& container) {
  const std::string log = absl::StrCat(config.log_directory(), "/", container.config.log_path());
  std::error_code error;
  std::filesystem::rename(log, absl::StrCat(log, ".", absl::ToUnixMicros(absl::Now())), error);
  if (!Ask("ReopenContainerLog", [&] { return client_.ReopenLog(container.id); }).ok()) return;
  if (!std::filesystem::exists(log)) Unexpected("ReopenContainerLog: no new log file");
  Count("rotations");
}

// What syncPod does with each container: those that have ended are started again.
void KubeletSim::Sync(const std::string& pod, const cri::PodSandboxConfig& config,
                      std::vector<Container>& containers) {
  for (Container& container : containers) {
    const auto status =
        Ask("ContainerStatus", [&] { return client_.ContainerStatus(container.id); });
    if (!status.ok() || status->state() == cri::CONTAINER_RUNNING) continue;
    const int expected = container.name == "crashing" ? 3 : 0;
    if (!CutOffStart(*status) &&
        (status->state() != cri::CONTAINER_EXITED || status->exit_code() != expected))
      Unexpected(absl::StrCat(container.name, ": state ", status->state(), ", exit code ",
                              status->exit_code(), " ", status->reason(), " ", status->message()));
    const std::string old = container.id;
    ++container.attempt;
    if (!Launch(pod, config, &container)) continue;
    Ask("RemoveContainer", [&] { return client_.Remove(old); }).IgnoreError();
    Count("restarts");
  }
}

void KubeletSim::TearDown(const std::string& pod, std::vector<Container>& containers) {
  for (const Container& container : containers) {
    if (container.id.empty()) continue;
    if (container.name == "main") Probe(container);  // preStop
    Ask("StopContainer", [&] { return client_.Stop(container.id, kGraceSeconds); }).IgnoreError();
    const auto status =
        Ask("ContainerStatus", [&] { return client_.ContainerStatus(container.id); });
    if (status.ok() && status->state() != cri::CONTAINER_EXITED)
      Unexpected(absl::StrCat(container.name, ": stopped, but in state ", status->state()));
  }
  for (int again = 0; again < 2; ++again)
    Ask("StopPodSandbox", [&] { return client_.StopPod(pod); }).IgnoreError();
  for (const Container& container : containers) {
    if (container.id.empty()) continue;
    Ask("RemoveContainer", [&] { return client_.Remove(container.id); }).IgnoreError();
    const absl::Status gone = Ask("ContainerStatus of a removed one", [&]() -> absl::Status {
      const absl::Status status = client_.ContainerStatus(container.id).status();
      if (absl::IsNotFound(status)) return absl::OkStatus();
      return status.ok() ? absl::InternalError("is still there") : status;
    });
    gone.IgnoreError();
  }
  Ask("RemovePodSandbox", [&] { return client_.RemovePod(pod); }).IgnoreError();
}

void KubeletSim::LiveThrough(const cri::PodSandboxConfig& config, std::mt19937& random) {
  const auto image = Ask("ImageStatus", [&] { return client_.ImageStatus(options_.image); });
  if (!image.ok()) return;
  if (!image->has_image())
    Ask("PullImage", [&] { return client_.Pull(options_.image); }).IgnoreError();
  const auto pod = Ask("RunPodSandbox", [&] { return client_.RunPod(config); });
  if (!pod.ok()) return;
  const auto status = Ask("PodSandboxStatus", [&] { return client_.PodStatus(*pod); });
  if (status.ok() && (status->state() != cri::SANDBOX_READY || status->network().ip().empty()))
    Unexpected("PodSandboxStatus: not ready, or without an address");
  std::vector<Container> containers = {{.name = "sidecar", .arguments = {"sleep"}},
                                       {.name = "main", .arguments = {"sleep"}},
                                       {.name = "crashing", .arguments = {"exit", "3"}}};
  bool started = RunInit(*pod, config);
  for (Container& container : containers) started = started && Launch(*pod, config, &container);
  const absl::Time over = std::min(
      end_, absl::Now() + options_.pod_lives * (0.5 + static_cast<double>(random() % 100) / 100));
  if (started) Probe(containers[1]);  // postStart
  absl::Duration back_off = absl::Milliseconds(250);
  absl::Time next_sync = absl::Now() + back_off;
  while (started && absl::Now() < over) {
    absl::SleepFor(options_.probe_period);
    Probe(containers[1]);
    if (random() % 4 == 0) Resize(containers[1], random);
    if (random() % 4 == 0) Rotate(config, containers[1]);
    if (absl::Now() < next_sync) continue;
    Sync(*pod, config, containers);
    back_off = std::min(2 * back_off, kMaxBackOff);
    next_sync = absl::Now() + back_off;
  }
  TearDown(*pod, containers);
  Count("pods");
}

void KubeletSim::KeepOnePod(int slot) {
  std::mt19937 random(static_cast<unsigned>(slot));
  for (int number = 0; !Over(); ++number)
    LiveThrough(MakeKubeletPodConfig(absl::StrCat(options_.name, "-", slot, "-", number)), random);
}

KubeletReport KubeletSim::Run() {
  end_ = absl::Now() + options_.runs;
  {
    std::vector<std::jthread> node;
    const auto every = [&](int seconds, void (KubeletSim::*act)()) {
      node.emplace_back([this, seconds, act] { Every(absl::Seconds(seconds), act); });
    };
    every(1, &KubeletSim::Relist);
    every(2, &KubeletSim::Housekeeping);
    every(5, &KubeletSim::Node);
    every(10, &KubeletSim::Stats);
    node.emplace_back([this] { FollowEvents(); });
    {
      std::vector<std::jthread> pods;
      for (int slot = 0; slot < options_.pods; ++slot)
        pods.emplace_back([this, slot] { KeepOnePod(slot); });
    }
    done_ = true;
    absl::MutexLock lock(&mu_);
    if (stream_ != nullptr) stream_->TryCancel();
  }
  absl::MutexLock lock(&mu_);
  return report_;
}

}  // namespace berth::e2e
