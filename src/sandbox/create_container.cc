// CreateContainer: the image, the user, the record and the writable layer. No process yet.
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/failpoint.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/base/undo.h"
#include "src/kernel/file.h"
#include "src/sandbox/container_spec.h"
#include "src/sandbox/node.h"
#include "src/sandbox/record_file.h"
#include "src/store/pods.h"

namespace berth {
namespace {

std::string NameOf(const ContainerConfig& config, absl::string_view pod_id) {
  return absl::StrCat(config.name, "/", config.attempt, "/", pod_id);
}

std::string LogPathOf(const ContainerConfig& config, const PodConfig& pod) {
  if (pod.log_directory.empty() || config.log_path.empty()) return "";
  return absl::StrCat(pod.log_directory, "/", config.log_path);
}

// A container is in the pid namespace that its pod has, or in one of its own.
absl::StatusOr<NamespaceMode> PidModeIn(NamespaceMode pod, NamespaceMode wanted) {
  if (wanted == NamespaceMode::kContainer || wanted == NamespaceMode::kTarget || wanted == pod)
    return wanted;
  if (wanted == NamespaceMode::kPod && pod == NamespaceMode::kNode) return NamespaceMode::kNode;
  return absl::InvalidArgumentError(
      wanted == NamespaceMode::kNode
          ? "namespace_options.pid: NODE needs a pod sandbox that was made with pid NODE"
          : "namespace_options.pid: POD needs a pod sandbox that was made with pid POD");
}

}  // namespace

absl::StatusOr<std::string> Node::CreateContainer(absl::string_view pod_id,
                                                  ParsedContainer container) {
  ASSIGN_OR_RETURN(const PodPtr pod, state_.FindPod(pod_id));
  RETURN_IF_ERROR(CheckReady(*pod));
  const std::string name = NameOf(container.config, pod->id);
  return container_creations_.Run(name, container.bytes, [&]() -> absl::StatusOr<std::string> {
    for (const ContainerPtr& existing : Snapshot()->ContainersOf(pod->id)) {
      if (NameOf(existing->config, pod->id) != name) continue;
      if (existing->request_bytes == container.bytes &&
          existing->status.state == ContainerState::kCreated)
        return existing->id;
      return absl::AlreadyExistsError(absl::StrCat("container \"", container.config.name,
                                                   "\" attempt ", container.config.attempt,
                                                   " exists already with id ", existing->id));
    }
    OperationLog::Operation operation = options_.operations->Begin(
        "CreateContainer", {.name = SubjectOf(pod->config, container.config), .pod_id = pod->id});
    absl::StatusOr<std::string> made = MakeContainer(pod, container, name, operation);
    if (made.ok() && container.config.attempt > 0) ++counters_.restarts;
    operation.End(made.status()).IgnoreError();
    return made;
  });
}

absl::StatusOr<ContainerImage> Node::ResolveImage(const Image& image,
                                                  const ContainerConfig& config) const {
  ContainerImage resolved;
  resolved.id = image.id;
  resolved.name = image.repo_tags.empty() ? config.image : image.repo_tags.front();
  resolved.reference = image.repo_digests.empty() ? image.id : image.repo_digests.front();
  resolved.layers = image.layers;
  resolved.env = image.config.env;
  resolved.entrypoint = image.config.entrypoint;
  resolved.cmd = image.config.cmd;
  resolved.working_dir = image.config.working_dir;
  resolved.volumes = image.config.volumes;
  ASSIGN_OR_RETURN(resolved.stop_signal, ParseStopSignal(image.config.stop_signal));
  ASSIGN_OR_RETURN(const UserFiles files, images_.UserFilesOf(image));
  UserRequest request = config.user;
  request.image_user = image.config.user;
  ASSIGN_OR_RETURN(const ResolvedUser user, ResolveUser(request, files.passwd, files.group));
  resolved.uid = user.uid;
  resolved.gid = user.gid;
  resolved.groups.assign(user.groups.begin(), user.groups.end());
  resolved.home = user.home;
  return resolved;
}

absl::StatusOr<std::vector<ContainerImage::Mounted>> Node::LeaseMountedImages(
    const ContainerConfig& config, std::vector<ImageLease>* leases) const {
  std::vector<ContainerImage::Mounted> mounted;
  for (const BindMount& mount : config.mounts) {
    if (mount.image.empty()) continue;
    auto leased = images_.Lease(mount.image);
    if (!leased.ok()) {
      return Annotate(leased.status(),
                      absl::StrCat("ImageVolumeMountFailed: mounts[", mount.container_path, "]"));
    }
    leases->push_back(std::move(leased->second));
    const Image& image = leased->first;
    if (!mount.image_sub_path.empty()) {
      ASSIGN_OR_RETURN(const bool found,
                       ImageHasDirectory(data_dir_fd_.get(), image.layers, mount.image_sub_path));
      if (!found) {
        return absl::InvalidArgumentError(absl::StrCat(
            "ImageVolumeMountFailed: mounts[", mount.container_path, "].image_sub_path: image ",
            mount.image, " has no directory ", mount.image_sub_path));
      }
    }
    mounted.push_back({.id = image.id,
                       .reference = image.repo_digests.empty() ? image.id : image.repo_digests[0],
                       .layers = image.layers});
  }
  return mounted;
}

// It may have been stopped, or removed, while something is being made for it.
absl::Status Node::CheckStillReady(const std::string& pod_id) const {
  ASSIGN_OR_RETURN(const PodPtr now, state_.FindPod(pod_id));
  return CheckReady(*now);
}

absl::Status Node::AskPlugins(const PodRecord& pod, const ContainerSpec& spec,
                              ContainerRecord* container) const {
  ASSIGN_OR_RETURN(LifecyclePlugins::Changes changes,
                   options_.plugins->CreateContainer(pod, *container, spec));
  if (changes.limits.has_value()) {
    container->status.limits = MergeLimits(LimitsOf(*container), *changes.limits);
    const CgroupLimits& limits = *container->status.limits;
    RETURN_IF_ERROR((facts_.cgroup_v2 ? CgroupWritesV2(limits) : CgroupWritesV1(limits)).status());
  }
  if (changes.stored.empty()) return absl::OkStatus();
  container->status.adjustment = std::move(changes.stored);
  Adjust(std::move(changes.adjustment), container);
  return PrepareContainer(*container, pod).status();
}

absl::StatusOr<std::string> Node::MakeContainer(const PodPtr& pod, const ParsedContainer& container,
                                                const std::string& name,
                                                OperationLog::Operation& operation) {
  auto record = std::make_shared<ContainerRecord>();
  record->id = NewId();
  record->pod_id = pod->id;
  operation.SetContainer(record->id);
  operation.Stage("image");
  record->created_at = absl::GetCurrentTimeNanos();
  record->config = container.config;
  record->request = container.request;
  record->request_bytes = container.bytes;
  record->log_path = LogPathOf(container.config, pod->config);
  record->cgroup = absl::StrCat(pod->status.cgroup, "/", record->id);
  ASSIGN_OR_RETURN(record->config.pid, PidModeIn(pod->config.namespaces.pid, container.config.pid));
  // The lease keeps the layers until the row does (ImageInUse).
  ASSIGN_OR_RETURN(const auto leased, images_.Lease(container.config.image));
  ASSIGN_OR_RETURN(record->image, ResolveImage(leased.first, container.config));
  std::vector<ImageLease> mounted_leases;
  ASSIGN_OR_RETURN(record->image.mounted, LeaseMountedImages(container.config, &mounted_leases));
  if (container.config.image != leased.first.id && absl::StrContains(container.config.image, '/')) {
    record->image.name = container.config.image;
  }
  record->stop_signal = container.config.stop_signal != 0 ? container.config.stop_signal
                        : record->image.stop_signal != 0  ? record->image.stop_signal
                                                          : SIGTERM;
  if (record->config.privileged && !pod->config.privileged) {
    return absl::InvalidArgumentError(
        "security_context.privileged: the pod sandbox is not a privileged one");
  }
  if (record->config.pid == NamespaceMode::kTarget) {
    RETURN_IF_ERROR(CheckTarget(*record));
    ASSIGN_OR_RETURN(const ContainerPtr target, state_.FindContainer(record->config.target_id));
    record->config.target_id = target->id;
  }
  operation.Stage("plan");
  // All that may be wrong with it is told now, not at its start.
  ASSIGN_OR_RETURN(const PreparedContainer prepared, PrepareContainer(*record, *pod));
  if (cgroups_.mode() != Cgroups::Mode::kV2 && !record->config.limits.unified.empty()) {
    return absl::InvalidArgumentError(
        "resources.unified: this node has cgroup v1; these are files of cgroup v2");
  }

  const std::string directory = ContainerDir(record->id);
  std::optional<KeyedLocks::Hold> hold;
  LifecyclePlugins::Admission admission;
  Undo undo;
  if (options_.plugins != nullptr) {
    operation.Stage("plugins");
    // In this order, as a removal takes them.
    hold.emplace(locks_.Lock(absl::StrCat("pod/", pod->id)));
    RETURN_IF_ERROR(CheckStillReady(pod->id));
    admission = options_.plugins->HoldAdmission();
    undo.Push([&] { options_.plugins->ContainerRemoved(*pod, *record); });
    RETURN_IF_ERROR(AskPlugins(*pod, prepared.spec, record.get()));
  }

  // The row comes last: a directory without one is swept at the next start, a row without its
  // directory is a container that cannot be started.
  operation.Stage("record");
  undo.Push([&] {
    if (const absl::Status moved = MoveToTrash(directory); !moved.ok())
      log_.Warning("directory of a container that was not made is left",
                   {{"error", moved.message()}});
  });
  RETURN_IF_FAULT("create_container.directory");
  RETURN_IF_ERROR(ready_directories_->Take(ReadyDirectories::Kind::kContainer, directory));
  RETURN_IF_FAULT("create_container.layer");
  if (record->config.readonly_rootfs && !record->image.volumes.empty() &&
      !pod->config.runtime_handler.empty())
    RETURN_IF_ERROR(MakeDirs(directory + "/volumes", 0755));
  const ContainerRow row = {.id = record->id,
                            .pod_id = pod->id,
                            .name = name,
                            .created_at = record->created_at,
                            .config = container.bytes,
                            .image = EncodeContainerImage(record->image),
                            .status = EncodeContainerStatus(record->status)};
  RETURN_IF_ERROR(WriteRecordFile(directory, row));
  RETURN_IF_FAULT("create_container.record");
  if (!hold.has_value()) {
    hold.emplace(locks_.Lock(absl::StrCat("pod/", pod->id)));
    RETURN_IF_ERROR(CheckStillReady(pod->id));
  }
  RETURN_IF_ERROR(InsertContainer(database_, row));
  state_.PutContainer(record);
  undo.Commit();
  admission.reset();
  hold.reset();
  if (options_.plugins != nullptr) options_.plugins->ContainerCreated(*pod, *record);
  RETURN_IF_FAULT("create_container.answer");
  return record->id;
}

}  // namespace berth
