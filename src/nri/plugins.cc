#include "src/nri/plugins.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/start_thread.h"
#include "src/base/status_macros.h"
#include "src/nri/messages.h"

namespace berth::nri {
namespace {

absl::Status TakeNothing(const Plugin&, const api::Empty&) { return absl::OkStatus(); }

api::ContainerRequest RequestOf(const PodRecord& pod, const ContainerRecord& container) {
  api::ContainerRequest request;
  *request.mutable_pod() = ToMessage(pod);
  *request.mutable_container() = ToMessage(container);
  return request;
}

api::PodRequest RequestOf(const PodRecord& pod) {
  api::PodRequest request;
  *request.mutable_pod() = ToMessage(pod);
  return request;
}

}  // namespace

Plugins::Plugins(const Options& options) : log_(*options.log), roster_(options) {}

Plugins::~Plugins() { Stop(); }

absl::Status Plugins::Serve(Access access) {
  access_ = std::move(access);
  {
    absl::MutexLock lock(&mu_);
    // What has ended already is told in the list of what there is.
    const std::shared_ptr<const NodeSnapshot> snapshot = access_.snapshot();
    for (const auto& [id, pod] : snapshot->pods) {
      if (pod->status.state == PodState::kNotReady) stopped_.insert(id);
    }
    for (const auto& [id, container] : snapshot->containers) {
      if (container->status.state == ContainerState::kExited) stopped_.insert(id);
    }
    serving_ = true;
  }
  ASSIGN_OR_RETURN(worker_, StartThread("of NRI plugins' wishes", [this] { Work(); }));
  return roster_.Serve(
      {.what_there_is = [this] { return WhatThereIs(); },
       .came =
           [this](const Plugin& plugin, const api::SynchronizeResponse& wanted) {
             Update(plugin.name(), wanted.update());
           },
       .update =
           [this](const Plugin& plugin, const api::UpdateContainersRequest& wanted) {
             Evict(plugin.name(), wanted.evict());
             return Update(plugin.name(), wanted.update());
           }});
}

void Plugins::Stop() {
  {
    absl::MutexLock lock(&mu_);
    serving_ = false;
  }
  if (worker_.joinable()) worker_.join();
  roster_.Stop();
}

api::SynchronizeRequest Plugins::WhatThereIs() const {
  api::SynchronizeRequest all;
  const std::shared_ptr<const NodeSnapshot> snapshot = access_.snapshot();
  for (const auto& [id, pod] : snapshot->pods) {
    if (pod->status.state != PodState::kCreating) *all.add_pods() = ToMessage(*pod);
  }
  for (const auto& [id, container] : snapshot->containers) {
    const absl::StatusOr<PodPtr> pod = snapshot->FindPod(container->pod_id);
    if (!pod.ok()) continue;
    const absl::StatusOr<ContainerSpec> spec = access_.spec(*container, **pod);
    *all.add_containers() = spec.ok() ? ToMessage(*container, *spec) : ToMessage(*container);
  }
  return all;
}

void Plugins::Later(std::function<void()> work) {
  absl::MutexLock lock(&mu_);
  if (serving_) work_.push_back(std::move(work));
}

void Plugins::Work() {
  while (true) {
    std::function<void()> work;
    {
      absl::MutexLock lock(&mu_);
      const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return !serving_ || !work_.empty();
      };
      mu_.Await(absl::Condition(&ready));
      if (!serving_) return;
      work = std::move(work_.front());
      work_.pop_front();
    }
    work();
  }
}

template <typename Reply, typename Make>
absl::Status Plugins::Ask(api::Event event, const char* method, const Make& make,
                          absl::FunctionRef<absl::Status(const Plugin&, const Reply&)> take) {
  const std::vector<PluginPtr> wanting = roster_.Wanting(event);
  if (wanting.empty()) return absl::OkStatus();
  const auto& request = make();
  for (const PluginPtr& plugin : wanting) {
    Reply reply;
    const absl::Status called = plugin->Call(method, request, &reply);
    if (Plugin::IsGone(called)) {
      log_.Warning("NRI plugin is cut off", {{"error", called.message()}});
      plugin->Close();
      continue;
    }
    RETURN_IF_ERROR(called);
    RETURN_IF_ERROR(take(*plugin, reply));
  }
  return absl::OkStatus();
}

template <typename Reply, typename... Records>
void Plugins::Tell(api::Event event, const char* method,
                   absl::FunctionRef<void(const Plugin&, const Reply&)> take,
                   const Records&... records) {
  const std::vector<PluginPtr> wanting = roster_.Wanting(event);
  if (wanting.empty()) return;
  const auto request = RequestOf(records...);
  for (const PluginPtr& plugin : wanting) {
    Reply reply;
    const absl::Status called = plugin->Call(method, request, &reply);
    if (called.ok()) {
      take(*plugin, reply);
      continue;
    }
    log_.Warning("NRI plugin failed", {{"call", method}, {"error", called.message()}});
    if (Plugin::IsGone(called)) plugin->Close();
  }
}

template <typename... Records>
void Plugins::Tell(api::Event event, const char* method, const Records&... records) {
  Tell<api::Empty>(
      event, method, [](const Plugin&, const api::Empty&) {}, records...);
}

absl::Status Plugins::RunPod(const PodRecord& pod) {
  return Ask<api::Empty>(
      api::RUN_POD_SANDBOX, "RunPodSandbox", [&] { return RequestOf(pod); }, TakeNothing);
}

absl::StatusOr<LifecyclePlugins::Changes> Plugins::CreateContainer(const PodRecord& pod,
                                                                   const ContainerRecord& container,
                                                                   const ContainerSpec& spec) {
  RETURN_IF_ERROR(roster_.CheckRequired());
  Changes changes;
  if (roster_.Wanting(api::CREATE_CONTAINER).empty()) return changes;
  api::ContainerRequest request;
  *request.mutable_pod() = ToMessage(pod);
  *request.mutable_container() = ToMessage(container, spec);
  const api::Container asked = request.container();
  AdjustmentMerge merge;
  // Each is shown what those before it have changed.
  RETURN_IF_ERROR(Ask<api::CreateContainerResponse>(
      api::CREATE_CONTAINER, "CreateContainer",
      [&]() -> const api::ContainerRequest& { return request; },
      [&](const Plugin& plugin, const api::CreateContainerResponse& wanted) -> absl::Status {
        RETURN_IF_ERROR(merge.Add(plugin.name(), wanted.adjust()));
        ShowAdjustment(wanted.adjust(), request.mutable_container());
        Evict(plugin.name(), wanted.evict());
        absl::MutexLock lock(&mu_);
        for (const api::ContainerUpdate& update : wanted.update())
          pending_[container.id].emplace_back(plugin.name(), update);
        return absl::OkStatus();
      }));
  RETURN_IF_ERROR(Validate(request.pod(), asked, merge));
  const api::ContainerAdjustment& merged = merge.merged();
  ASSIGN_OR_RETURN(changes.adjustment, ToContainerAdjustment(merged));
  if (merged.linux().resources().ByteSizeLong() > 0) {
    ASSIGN_OR_RETURN(changes.limits, ToLimits(merged.linux().resources()));
  }
  changes.stored = merged.SerializeAsString();
  return changes;
}

absl::Status Plugins::Validate(const api::PodSandbox& pod, const api::Container& container,
                               const AdjustmentMerge& merge) {
  const auto make = [&] {
    api::ValidateContainerAdjustmentRequest request;
    *request.mutable_pod() = pod;
    *request.mutable_container() = container;
    *request.mutable_adjust() = merge.merged();
    (*request.mutable_owners()->mutable_owners())[container.id()] = merge.Owners();
    for (const PluginPtr& plugin : roster_.Wanting(api::CREATE_CONTAINER)) {
      const PluginName name = plugin->parts();
      api::PluginInstance& instance = *request.add_plugins();
      instance.set_index(name.index);
      instance.set_name(name.base);
    }
    return request;
  };
  return Ask<api::ValidateContainerAdjustmentResponse>(
      api::VALIDATE_CONTAINER_ADJUSTMENT, "ValidateContainerAdjustment", make,
      [](const Plugin& plugin,
         const api::ValidateContainerAdjustmentResponse& response) -> absl::Status {
        if (!response.reject()) return absl::OkStatus();
        return absl::PermissionDeniedError(
            absl::StrCat("NRI plugin ", plugin.name(), " rejects it: ", response.reason()));
      });
}

absl::Status Plugins::StartContainer(const PodRecord& pod, const ContainerRecord& container) {
  return Ask<api::Empty>(
      api::START_CONTAINER, "StartContainer", [&] { return RequestOf(pod, container); },
      TakeNothing);
}

absl::StatusOr<CgroupLimits> Plugins::UpdateContainer(const PodRecord& pod,
                                                      const ContainerRecord& container,
                                                      const CgroupLimits& changes) {
  CgroupLimits wanted = changes;
  const auto make = [&] {
    api::UpdateContainerRequest request;
    *request.mutable_pod() = ToMessage(pod);
    *request.mutable_container() = ToMessage(container);
    *request.mutable_linux_resources() = ToResources(changes);
    return request;
  };
  RETURN_IF_ERROR(Ask<api::UpdateContainerResponse>(
      api::UPDATE_CONTAINER, "UpdateContainer", make,
      [&](const Plugin& plugin, const api::UpdateContainerResponse& response) -> absl::Status {
        google::protobuf::RepeatedPtrField<api::ContainerUpdate> others;
        for (const api::ContainerUpdate& update : response.update()) {
          if (update.container_id() != container.id) {
            *others.Add() = update;
            continue;
          }
          const absl::StatusOr<CgroupLimits> own = ToLimits(update.linux().resources());
          if (!own.ok()) return Annotate(own.status(), absl::StrCat("NRI plugin ", plugin.name()));
          wanted = OverriddenLimits(std::move(wanted), *own);
        }
        Evict(plugin.name(), response.evict());
        Update(plugin.name(), others);
        return absl::OkStatus();
      }));
  return wanted;
}

absl::Status Plugins::UpdatePod(const PodRecord& pod, const CgroupLimits& overhead,
                                const CgroupLimits& resources) {
  const auto make = [&] {
    api::UpdatePodSandboxRequest request;
    *request.mutable_pod() = ToMessage(pod);
    *request.mutable_overhead_linux_resources() = ToResources(overhead);
    *request.mutable_linux_resources() = ToResources(resources);
    return request;
  };
  return Ask<api::Empty>(api::UPDATE_POD_SANDBOX, "UpdatePodSandbox", make, TakeNothing);
}

void Plugins::PodUpdated(const PodRecord& pod) {
  Tell(api::POST_UPDATE_POD_SANDBOX, "PostUpdatePodSandbox", pod);
}

void Plugins::ContainerCreated(const PodRecord& pod, const ContainerRecord& container) {
  std::vector<std::pair<std::string, api::ContainerUpdate>> pending;
  {
    absl::MutexLock lock(&mu_);
    if (auto found = pending_.extract(container.id); !found.empty())
      pending = std::move(found.mapped());
  }
  for (const auto& [plugin, update] : pending) Update(plugin, std::vector{update});
  Tell(api::POST_CREATE_CONTAINER, "PostCreateContainer", pod, container);
}

void Plugins::ContainerStarted(const PodRecord& pod, const ContainerRecord& container) {
  Tell(api::POST_START_CONTAINER, "PostStartContainer", pod, container);
}

void Plugins::ContainerUpdated(const PodRecord& pod, const ContainerRecord& container) {
  Tell(api::POST_UPDATE_CONTAINER, "PostUpdateContainer", pod, container);
}

void Plugins::ContainerExited(const PodPtr& pod, const ContainerPtr& container) {
  {
    absl::MutexLock lock(&mu_);
    due_.insert(container->id);
  }
  Later([this, pod, container] { TellEnd(*pod, *container, /*if_due=*/true); });
}

void Plugins::ContainerStopped(const PodRecord& pod, const ContainerRecord& container) {
  TellEnd(pod, container, /*if_due=*/false);
}

void Plugins::TellEnd(const PodRecord& pod, const ContainerRecord& container, bool if_due) {
  const KeyedLocks::Hold hold = ends_.Lock(container.id);
  {
    absl::MutexLock lock(&mu_);
    const bool due = due_.erase(container.id) > 0;
    if (!serving_ || (if_due && !due) || !stopped_.insert(container.id).second) return;
  }
  Tell<api::StopContainerResponse>(
      api::STOP_CONTAINER, "StopContainer",
      [&](const Plugin& plugin, const api::StopContainerResponse& response) {
        // Not here: who stops a container may hold its lock.
        Later([this, name = plugin.name(), response] { Update(name, response.update()); });
      },
      pod, container);
}

void Plugins::PodStopped(const PodRecord& pod) {
  const KeyedLocks::Hold hold = ends_.Lock(pod.id);
  {
    absl::MutexLock lock(&mu_);
    if (!serving_ || !stopped_.insert(pod.id).second) return;
  }
  Tell(api::STOP_POD_SANDBOX, "StopPodSandbox", pod);
}

void Plugins::ContainerRemoved(const PodRecord& pod, const ContainerRecord& container) {
  Tell(api::REMOVE_CONTAINER, "RemoveContainer", pod, container);
  absl::MutexLock lock(&mu_);
  pending_.erase(container.id);
  due_.erase(container.id);
  stopped_.erase(container.id);
}

void Plugins::PodRemoved(const PodRecord& pod) {
  Tell(api::REMOVE_POD_SANDBOX, "RemovePodSandbox", pod);
  absl::MutexLock lock(&mu_);
  stopped_.erase(pod.id);
}

template <typename Updates>
api::UpdateContainersResponse Plugins::Update(const std::string& plugin, const Updates& updates) {
  api::UpdateContainersResponse failed;
  for (const api::ContainerUpdate& update : updates) {
    const absl::StatusOr<CgroupLimits> limits = ToLimits(update.linux().resources());
    const absl::Status done =
        limits.ok() ? access_.update(update.container_id(), *limits) : limits.status();
    if (done.ok()) continue;
    log_.Warning(
        "container not updated as an NRI plugin wants",
        {{"plugin", plugin}, {"container", update.container_id()}, {"error", done.message()}});
    if (!update.ignore_failure()) *failed.add_failed() = update;
  }
  return failed;
}

template <typename Evictions>
void Plugins::Evict(const std::string& plugin, const Evictions& evictions) {
  // Not here: it takes as long as the container takes to end.
  for (const api::ContainerEviction& eviction : evictions) {
    Later([this, plugin, eviction] {
      log_.Warning("container is ended as an NRI plugin wants",
                   {{"plugin", plugin},
                    {"container", eviction.container_id()},
                    {"reason", eviction.reason()}});
      const absl::Status stopped = access_.stop(eviction.container_id());
      if (!stopped.ok()) log_.Warning("container does not end", {{"error", stopped.message()}});
    });
  }
}

}  // namespace berth::nri
