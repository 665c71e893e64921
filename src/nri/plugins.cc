#include "src/nri/plugins.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/start_thread.h"
#include "src/base/status_macros.h"
#include "src/kernel/socket.h"
#include "src/nri/messages.h"
#include "src/runtime/trusted_file.h"

namespace berth::nri {
namespace {

constexpr size_t kMaxPlugins = 64;  // connections at the same time
constexpr size_t kIndexLength = 3;  // of "10-name", with the dash
constexpr size_t kMaxConfig = 1 << 20;
constexpr absl::Duration kProgramEnd = absl::Seconds(2);  // of a plugin whose connection is closed
constexpr char kProgramPath[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr int kProgramSocket = 3;

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

Plugins::Plugins(Options options) : options_(std::move(options)), log_(*options_.log) {}

Plugins::~Plugins() { Stop(); }

absl::Status Plugins::Serve(Access access) {
  access_ = std::move(access);
  wake_.reset(::eventfd(0, EFD_CLOEXEC));
  if (!wake_.valid()) return ErrnoStatus("eventfd", "of NRI");
  const std::string directory = std::filesystem::path(options_.socket).parent_path();
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return ErrnoStatus("mkdir", directory, error.value());
  ASSIGN_OR_RETURN(listener_, ListenUnix(options_.socket, SOCK_STREAM, 0600));
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
  StartInstalled();
  ASSIGN_OR_RETURN(acceptor_, StartThread("that accepts NRI plugins", [this] { Accept(); }));
  return absl::OkStatus();
}

void Plugins::Stop() {
  {
    absl::MutexLock lock(&mu_);
    if (!std::exchange(serving_, false)) return;
    stopping_ = true;
  }
  ::unlink(options_.socket.c_str());
  ::eventfd_write(wake_.get(), 1);
  if (acceptor_.joinable()) acceptor_.join();
  if (worker_.joinable()) worker_.join();
  std::list<Member> members;
  {
    absl::MutexLock lock(&mu_);
    members.swap(members_);
  }
  for (Member& member : members) {
    api::Empty reply;
    if (member.takes_part && !member.ended)
      member.plugin->Call("Shutdown", api::Empty(), &reply).IgnoreError();
    member.plugin->Close();
  }
  for (Member& member : members) member.handshake.join();
  for (SpawnedProcess& program : programs_) {
    pollfd ended = {.fd = program.pidfd.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ended, 1, static_cast<int>(absl::ToInt64Milliseconds(kProgramEnd))) == 0)
      ::syscall(SYS_pidfd_send_signal, program.pidfd.get(), SIGKILL, nullptr, 0);
    ::waitid(P_PIDFD, static_cast<id_t>(program.pidfd.get()), nullptr, WEXITED);
  }
}

void Plugins::Accept() {
  while (true) {
    std::vector<pollfd> ready = {{.fd = wake_.get(), .events = POLLIN, .revents = 0},
                                 {.fd = listener_.get(), .events = POLLIN, .revents = 0}};
    for (const SpawnedProcess& program : programs_)
      ready.push_back({.fd = program.pidfd.get(), .events = POLLIN, .revents = 0});
    if (::poll(ready.data(), ready.size(), -1) < 0) continue;
    if (ready[0].revents != 0) {
      eventfd_t count = 0;
      ::eventfd_read(wake_.get(), &count);
      absl::MutexLock lock(&mu_);
      if (stopping_) return;
    }
    Reap();
    if (ready[1].revents == 0) continue;
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.valid()) continue;
    if (const absl::Status added = Add(std::move(socket), std::nullopt); !added.ok())
      log_.Warning("NRI plugin refused", {{"error", added.message()}});
  }
}

absl::Status Plugins::Add(UniqueFd socket, std::optional<PluginName> name) {
  {
    absl::MutexLock lock(&mu_);
    if (members_.size() >= kMaxPlugins)
      return absl::ResourceExhaustedError(absl::StrCat("there are ", kMaxPlugins, " plugins"));
  }
  ASSIGN_OR_RETURN(
      PluginPtr plugin,
      Plugin::Start(std::move(socket), std::move(name), options_.timeouts,
                    {.update =
                         [this](const Plugin& from, const api::UpdateContainersRequest& request) {
                           Evict(from.name(), request.evict());
                           return Update(from.name(), request.update());
                         },
                     .ended =
                         [this](const Plugin& from, const absl::Status& why) {
                           if (MarkEnded(from))
                             log_.Info("NRI plugin has gone",
                                       {{"plugin", from.name()}, {"error", why.message()}});
                         }}));
  absl::MutexLock lock(&mu_);
  Member& member = members_.emplace_back();
  member.plugin = plugin;
  absl::StatusOr<std::thread> handshake =
      StartThread("of an NRI plugin's handshake", [this, plugin] { ShakeHands(plugin); });
  if (!handshake.ok()) {
    members_.pop_back();
    return handshake.status();
  }
  member.handshake = *std::move(handshake);
  return absl::OkStatus();
}

void Plugins::ShakeHands(const PluginPtr& plugin) {
  const absl::Status admitted = Admit(plugin);
  if (admitted.ok()) {
    log_.Info("NRI plugin takes part", {{"plugin", plugin->name()}});
    return;
  }
  log_.Warning("NRI plugin does not take part",
               {{"plugin", plugin->name()}, {"error", admitted.message()}});
  plugin->Close();
  MarkEnded(*plugin);  // its connection may have ended before it was a member
}

absl::Status Plugins::Admit(const PluginPtr& plugin) {
  RETURN_IF_ERROR(plugin->AwaitRegistration());
  ASSIGN_OR_RETURN(const std::string config, ConfigOf(plugin->name()));
  RETURN_IF_ERROR(plugin->Configure(config, options_.runtime_version));
  api::SynchronizeResponse wanted;
  {
    absl::MutexLock alone(&admission_);
    ASSIGN_OR_RETURN(wanted, plugin->Synchronize(WhatThereIs()));
    absl::MutexLock lock(&mu_);
    for (Member& member : members_) {
      if (member.plugin == plugin) member.takes_part = true;
    }
  }
  Update(plugin->name(), wanted.update());
  return absl::OkStatus();
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

absl::StatusOr<std::string> Plugins::ConfigOf(const std::string& name) const {
  if (options_.config_dir.empty()) return std::string();
  for (const std::string& file : {name, name.substr(name.find('-') + 1)}) {
    absl::StatusOr<std::string> config =
        ReadTrustedFile(absl::StrCat(options_.config_dir, "/", file, ".conf"), kMaxConfig);
    if (!absl::IsNotFound(config.status())) return config;
  }
  return std::string();
}

void Plugins::StartInstalled() {
  if (options_.plugin_dir.empty()) return;
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(options_.plugin_dir, error))
    files.push_back(entry.path().filename().string());
  if (error && error != std::errc::no_such_file_or_directory)
    log_.Warning("NRI plugins not started",
                 {{"directory", options_.plugin_dir}, {"error", error.message()}});
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) {
    if (const absl::Status started = StartProgram(file); !started.ok())
      log_.Warning("NRI plugin not started", {{"plugin", file}, {"error", started.message()}});
  }
}

absl::Status Plugins::StartProgram(const std::string& file) {
  ASSIGN_OR_RETURN(PluginName name, ParsePluginName(file));
  const std::string path = absl::StrCat(options_.plugin_dir, "/", file);
  RETURN_IF_ERROR(CheckTrustedExecutable(path));
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return ErrnoStatus("socketpair", path);
  UniqueFd ours(pair[0]);
  const UniqueFd theirs(pair[1]);
  ASSIGN_OR_RETURN(SpawnedProcess process,
                   Spawn({.path = path,
                          .argv = {path},
                          .env = {kProgramPath, absl::StrCat("NRI_PLUGIN_NAME=", name.base),
                                  absl::StrCat("NRI_PLUGIN_IDX=", name.index),
                                  absl::StrCat("NRI_PLUGIN_SOCKET=", kProgramSocket)},
                          .fds = {-1, STDERR_FILENO, STDERR_FILENO, theirs.get()},
                          .default_oom_score = true,
                          .cwd = "/"}));
  programs_.push_back(std::move(process));
  return Add(std::move(ours), std::move(name));
}

bool Plugins::MarkEnded(const Plugin& plugin) {
  bool took_part = false;
  {
    absl::MutexLock lock(&mu_);
    for (Member& member : members_) {
      if (member.plugin.get() != &plugin) continue;
      took_part = member.takes_part;
      member.ended = true;
    }
  }
  ::eventfd_write(wake_.get(), 1);
  return took_part;
}

void Plugins::Reap() {
  std::list<Member> ended;
  {
    absl::MutexLock lock(&mu_);
    for (auto member = members_.begin(); member != members_.end();) {
      const auto next = std::next(member);
      if (member->ended) ended.splice(ended.end(), members_, member);
      member = next;
    }
  }
  for (Member& member : ended) member.handshake.join();
  programs_.erase(std::remove_if(programs_.begin(), programs_.end(),
                                 [](const SpawnedProcess& program) {
                                   siginfo_t info = {};
                                   const auto id = static_cast<id_t>(program.pidfd.get());
                                   return ::waitid(P_PIDFD, id, &info, WEXITED | WNOHANG) == 0 &&
                                          info.si_pid != 0;
                                 }),
                  programs_.end());
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
        return stopping_ || !work_.empty();
      };
      mu_.Await(absl::Condition(&ready));
      if (stopping_) return;
      work = std::move(work_.front());
      work_.pop_front();
    }
    work();
  }
}

std::vector<Plugins::PluginPtr> Plugins::Wanting(api::Event event) const {
  std::vector<PluginPtr> wanting;
  {
    absl::MutexLock lock(&mu_);
    for (const Member& member : members_) {
      if (member.takes_part && !member.ended && member.plugin->Wants(event))
        wanting.push_back(member.plugin);
    }
  }
  std::stable_sort(
      wanting.begin(), wanting.end(),
      [](const PluginPtr& left, const PluginPtr& right) { return left->name() < right->name(); });
  return wanting;
}

template <typename Reply, typename Request>
absl::Status Plugins::Ask(api::Event event, const char* method, const Request& request,
                          absl::FunctionRef<absl::Status(const Plugin&, const Reply&)> take) {
  for (const PluginPtr& plugin : Wanting(event)) {
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

template <typename Request>
void Plugins::Tell(api::Event event, const char* method, const Request& request) {
  for (const PluginPtr& plugin : Wanting(event)) {
    api::Empty reply;
    const absl::Status called = plugin->Call(method, request, &reply);
    if (called.ok()) continue;
    log_.Warning("NRI plugin failed", {{"call", method}, {"error", called.message()}});
    if (Plugin::IsGone(called)) plugin->Close();
  }
}

void Plugins::TellContainer(api::Event event, const char* method, const PodRecord& pod,
                            const ContainerRecord& container) {
  if (!Wanting(event).empty()) Tell(event, method, RequestOf(pod, container));
}

absl::Status Plugins::RunPod(const PodRecord& pod) {
  return Ask<api::Empty>(api::RUN_POD_SANDBOX, "RunPodSandbox", RequestOf(pod),
                         [](const Plugin&, const api::Empty&) { return absl::OkStatus(); });
}

absl::Status Plugins::CheckRequired() const {
  absl::MutexLock lock(&mu_);
  for (const std::string& required : options_.required) {
    const bool there = std::any_of(members_.begin(), members_.end(), [&](const Member& member) {
      if (!member.takes_part || member.ended) return false;
      return member.plugin->name().substr(kIndexLength) == required;
    });
    if (!there) {
      return absl::UnavailableError(
          absl::StrCat("NRI plugin ", required, " is required (nri.required), and is not there"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<LifecyclePlugins::Changes> Plugins::CreateContainer(const PodRecord& pod,
                                                                   const ContainerRecord& container,
                                                                   const ContainerSpec& spec) {
  RETURN_IF_ERROR(CheckRequired());
  Changes changes;
  if (Wanting(api::CREATE_CONTAINER).empty()) return changes;
  api::ContainerRequest request;
  *request.mutable_pod() = ToMessage(pod);
  *request.mutable_container() = ToMessage(container, spec);
  const api::Container asked = request.container();
  AdjustmentMerge merge;
  for (const PluginPtr& plugin : Wanting(api::CREATE_CONTAINER)) {
    api::CreateContainerResponse wanted;
    const absl::Status called = plugin->Call("CreateContainer", request, &wanted);
    if (Plugin::IsGone(called)) {
      log_.Warning("NRI plugin is cut off", {{"error", called.message()}});
      plugin->Close();
      continue;
    }
    RETURN_IF_ERROR(called);
    RETURN_IF_ERROR(merge.Add(plugin->name(), wanted.adjust()));
    ShowAdjustment(wanted.adjust(), request.mutable_container());
    Evict(plugin->name(), wanted.evict());
    absl::MutexLock lock(&mu_);
    for (const api::ContainerUpdate& update : wanted.update())
      pending_[container.id].emplace_back(plugin->name(), update);
  }
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
  const std::vector<PluginPtr> plugins = Wanting(api::VALIDATE_CONTAINER_ADJUSTMENT);
  if (plugins.empty()) return absl::OkStatus();
  api::ValidateContainerAdjustmentRequest request;
  *request.mutable_pod() = pod;
  *request.mutable_container() = container;
  *request.mutable_adjust() = merge.merged();
  (*request.mutable_owners()->mutable_owners())[container.id()] = merge.Owners();
  for (const PluginPtr& plugin : Wanting(api::CREATE_CONTAINER)) {
    const std::string name = plugin->name();
    api::PluginInstance& instance = *request.add_plugins();
    instance.set_index(name.substr(0, kIndexLength - 1));
    instance.set_name(name.substr(kIndexLength));
  }
  return Ask<api::ValidateContainerAdjustmentResponse>(
      api::VALIDATE_CONTAINER_ADJUSTMENT, "ValidateContainerAdjustment", request,
      [](const Plugin& plugin,
         const api::ValidateContainerAdjustmentResponse& response) -> absl::Status {
        if (!response.reject()) return absl::OkStatus();
        return absl::PermissionDeniedError(
            absl::StrCat("NRI plugin ", plugin.name(), " rejects it: ", response.reason()));
      });
}

absl::Status Plugins::StartContainer(const PodRecord& pod, const ContainerRecord& container) {
  if (Wanting(api::START_CONTAINER).empty()) return absl::OkStatus();
  return Ask<api::Empty>(api::START_CONTAINER, "StartContainer", RequestOf(pod, container),
                         [](const Plugin&, const api::Empty&) { return absl::OkStatus(); });
}

absl::StatusOr<CgroupLimits> Plugins::UpdateContainer(const PodRecord& pod,
                                                      const ContainerRecord& container,
                                                      const CgroupLimits& changes) {
  CgroupLimits wanted = changes;
  if (Wanting(api::UPDATE_CONTAINER).empty()) return wanted;
  api::UpdateContainerRequest request;
  *request.mutable_pod() = ToMessage(pod);
  *request.mutable_container() = ToMessage(container);
  *request.mutable_linux_resources() = ToResources(changes);
  RETURN_IF_ERROR(Ask<api::UpdateContainerResponse>(
      api::UPDATE_CONTAINER, "UpdateContainer", request,
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
  api::UpdatePodSandboxRequest request;
  *request.mutable_pod() = ToMessage(pod);
  *request.mutable_overhead_linux_resources() = ToResources(overhead);
  *request.mutable_linux_resources() = ToResources(resources);
  return Ask<api::Empty>(api::UPDATE_POD_SANDBOX, "UpdatePodSandbox", request,
                         [](const Plugin&, const api::Empty&) { return absl::OkStatus(); });
}

void Plugins::PodUpdated(const PodRecord& pod) {
  Tell(api::POST_UPDATE_POD_SANDBOX, "PostUpdatePodSandbox", RequestOf(pod));
}

void Plugins::ContainerCreated(const PodRecord& pod, const ContainerRecord& container) {
  std::vector<std::pair<std::string, api::ContainerUpdate>> pending;
  {
    absl::MutexLock lock(&mu_);
    if (auto found = pending_.extract(container.id); !found.empty())
      pending = std::move(found.mapped());
  }
  for (const auto& [plugin, update] : pending) Update(plugin, std::vector{update});
  TellContainer(api::POST_CREATE_CONTAINER, "PostCreateContainer", pod, container);
}

void Plugins::ContainerStarted(const PodRecord& pod, const ContainerRecord& container) {
  TellContainer(api::POST_START_CONTAINER, "PostStartContainer", pod, container);
}

void Plugins::ContainerUpdated(const PodRecord& pod, const ContainerRecord& container) {
  TellContainer(api::POST_UPDATE_CONTAINER, "PostUpdateContainer", pod, container);
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
  if (Wanting(api::STOP_CONTAINER).empty()) return;
  Ask<api::StopContainerResponse>(
      api::STOP_CONTAINER, "StopContainer", RequestOf(pod, container),
      [&](const Plugin& plugin, const api::StopContainerResponse& response) {
        // Not here: who stops a container may hold its lock.
        Later([this, name = plugin.name(), response] { Update(name, response.update()); });
        return absl::OkStatus();
      })
      .IgnoreError();
}

void Plugins::PodStopped(const PodRecord& pod) {
  const KeyedLocks::Hold hold = ends_.Lock(pod.id);
  {
    absl::MutexLock lock(&mu_);
    if (!serving_ || !stopped_.insert(pod.id).second) return;
  }
  Tell(api::STOP_POD_SANDBOX, "StopPodSandbox", RequestOf(pod));
}

void Plugins::ContainerRemoved(const PodRecord& pod, const ContainerRecord& container) {
  TellContainer(api::REMOVE_CONTAINER, "RemoveContainer", pod, container);
  absl::MutexLock lock(&mu_);
  pending_.erase(container.id);
  due_.erase(container.id);
  stopped_.erase(container.id);
}

void Plugins::PodRemoved(const PodRecord& pod) {
  Tell(api::REMOVE_POD_SANDBOX, "RemovePodSandbox", RequestOf(pod));
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
