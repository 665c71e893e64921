#include "src/server/convert/replies.h"

#include <signal.h>
#include <string.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/server/convert/requests.h"
#include "src/server/convert/resources_request.h"

namespace berth {
namespace {

namespace cri = runtime::v1;

cri::ContainerState StateOf(const ContainerStatus& status) {
  if (status.unread && status.state != ContainerState::kExited) return cri::CONTAINER_UNKNOWN;
  switch (status.state) {
    case ContainerState::kCreated:
      return cri::CONTAINER_CREATED;
    case ContainerState::kRunning:
      return cri::CONTAINER_RUNNING;
    case ContainerState::kExited:
      return cri::CONTAINER_EXITED;
  }
  return cri::CONTAINER_UNKNOWN;
}

cri::PodSandboxState StateOf(PodState state) {
  return state == PodState::kReady ? cri::SANDBOX_READY : cri::SANDBOX_NOTREADY;
}

cri::Signal SignalOf(int number) {
  const char* name = sigabbrev_np(number);
  cri::Signal signal;
  std::string wanted = name != nullptr ? absl::StrCat("SIGNAL_SIG", name) : "";
  if (number == SIGRTMIN) wanted = "SIGNAL_SIGRTMIN";
  if (number > SIGRTMIN && number < SIGRTMAX) {
    const int from_min = number - SIGRTMIN, from_max = SIGRTMAX - number;
    wanted = from_min <= from_max ? absl::StrCat("SIGNAL_SIGRTMINPLUS", from_min)
                                  : absl::StrCat("SIGNAL_SIGRTMAXMINUS", from_max);
  }
  if (number == SIGRTMAX) wanted = "SIGNAL_SIGRTMAX";
  return cri::Signal_Parse(wanted, &signal) ? signal : cri::SIGNAL_RUNTIME_DEFAULT;
}

template <typename Selector, typename Labels>
bool LabelsMatch(const Selector& selector, const Labels& labels) {
  for (const auto& [key, value] : selector) {
    const auto found = labels.find(key);
    if (found == labels.end() || found->second != value) return false;
  }
  return true;
}

// Exactly as asked for, but each image mount says which image was found.
void FillMountsAsked(const ContainerRecord& container, cri::ContainerStatus* out) {
  *out->mutable_mounts() = RequestOf(container).config().mounts();
  size_t images = 0;
  for (cri::Mount& mount : *out->mutable_mounts()) {
    if (mount.image().image().empty() || images >= container.image.mounted.size()) continue;
    mount.mutable_image()->set_image_ref(container.image.mounted[images++].id);
  }
}

// As asked for, until they are changed.
void FillResourcesNow(const ContainerRecord& container, cri::ContainerStatus* out) {
  const cri::LinuxContainerConfig& asked = RequestOf(container).config().linux();
  if (container.status.limits.has_value()) {
    cri::LinuxContainerResources* now = out->mutable_resources()->mutable_linux();
    FillResources(*container.status.limits, now);
    now->set_oom_score_adj(asked.resources().oom_score_adj());
  } else if (asked.has_resources()) {
    *out->mutable_resources()->mutable_linux() = asked.resources();
  }
}

}  // namespace

void FillPodSandbox(const PodRecord& pod, cri::PodSandbox* out) {
  const cri::RunPodSandboxRequest& request = RequestOf(pod);
  out->set_id(pod.id);
  *out->mutable_metadata() = request.config().metadata();
  out->set_state(StateOf(pod.status.state));
  out->set_created_at(pod.created_at);
  *out->mutable_labels() = request.config().labels();
  *out->mutable_annotations() = request.config().annotations();
  out->set_runtime_handler(request.runtime_handler());
}

void FillPodSandboxStatus(const PodRecord& pod, cri::PodSandboxStatus* out) {
  const cri::RunPodSandboxRequest& request = RequestOf(pod);
  out->set_id(pod.id);
  *out->mutable_metadata() = request.config().metadata();
  out->set_state(StateOf(pod.status.state));
  out->set_created_at(pod.created_at);
  *out->mutable_labels() = request.config().labels();
  *out->mutable_annotations() = request.config().annotations();
  out->set_runtime_handler(request.runtime_handler());
  *out->mutable_linux()->mutable_namespaces()->mutable_options() =
      request.config().linux().security_context().namespace_options();
  cri::PodSandboxNetworkStatus* network = out->mutable_network();
  for (size_t i = 0; i < pod.status.ips.size(); ++i) {
    if (i == 0) {
      network->set_ip(pod.status.ips[0]);
    } else {
      network->add_additional_ips()->set_ip(pod.status.ips[i]);
    }
  }
}

void FillContainer(const ContainerRecord& container, cri::Container* out) {
  const cri::ContainerConfig& config = RequestOf(container).config();
  out->set_id(container.id);
  out->set_pod_sandbox_id(container.pod_id);
  *out->mutable_metadata() = config.metadata();
  *out->mutable_image() = config.image();
  out->set_image_ref(container.image.reference);
  out->set_image_id(container.image.id);
  out->set_state(StateOf(container.status));
  out->set_created_at(container.created_at);
  *out->mutable_labels() = config.labels();
  *out->mutable_annotations() = config.annotations();
}

void FillContainerStatus(const ContainerRecord& container, cri::ContainerStatus* out) {
  const cri::ContainerConfig& config = RequestOf(container).config();
  const ContainerStatus& status = container.status;
  out->set_id(container.id);
  *out->mutable_metadata() = config.metadata();
  out->set_state(StateOf(status));
  out->set_created_at(container.created_at);
  out->set_started_at(status.started_at);
  out->set_finished_at(status.finished_at);
  out->set_exit_code(status.exit_code);
  *out->mutable_image() = config.image();
  out->mutable_image()->set_image(container.image.name);
  out->set_image_ref(container.image.reference);
  out->set_image_id(container.image.id);
  out->set_reason(status.reason);
  out->set_message(status.message);
  *out->mutable_labels() = config.labels();
  *out->mutable_annotations() = config.annotations();
  FillMountsAsked(container, out);
  out->set_log_path(container.log_path);
  FillResourcesNow(container, out);
  cri::LinuxContainerUser* user = out->mutable_user()->mutable_linux();
  user->set_uid(container.image.uid);
  user->set_gid(container.image.gid);
  for (const uint32_t group : container.image.groups) user->add_supplemental_groups(group);
  out->set_stop_signal(SignalOf(container.stop_signal));
}

std::vector<Image> ImagesFor(const ImageStore& images, const cri::ImageFilter& filter) {
  const std::string& wanted = filter.image().image();
  if (wanted.empty()) return images.List();
  absl::StatusOr<Image> image = images.Find(wanted);
  return image.ok() ? std::vector<Image>{*std::move(image)} : std::vector<Image>();
}

void FillImage(const Image& image, cri::Image* out) {
  out->set_id(image.id);
  for (const std::string& tag : image.repo_tags) out->add_repo_tags(tag);
  for (const std::string& digest : image.repo_digests) out->add_repo_digests(digest);
  out->set_size(static_cast<uint64_t>(image.size_bytes));
  out->set_pinned(image.pinned);
  out->mutable_spec()->set_image(image.id);
  out->mutable_spec()->mutable_annotations()->insert(image.annotations.begin(),
                                                     image.annotations.end());
  const std::pair<absl::string_view, absl::string_view> user =
      absl::StrSplit(image.config.user, absl::MaxSplits(':', 1));
  int64_t uid;
  if (absl::SimpleAtoi(user.first, &uid)) {
    out->mutable_uid()->set_value(uid);
  } else {
    out->set_username(std::string(user.first.data(), user.first.size()));
  }
}

bool Matches(const cri::PodSandboxFilter& filter, const PodRecord& pod) {
  return absl::StartsWith(pod.id, filter.id()) &&
         (!filter.has_state() || filter.state().state() == StateOf(pod.status.state)) &&
         LabelsMatch(filter.label_selector(), RequestOf(pod).config().labels());
}

bool Matches(const cri::ContainerFilter& filter, const ContainerRecord& container) {
  return absl::StartsWith(container.id, filter.id()) &&
         absl::StartsWith(container.pod_id, filter.pod_sandbox_id()) &&
         (!filter.has_state() || filter.state().state() == StateOf(container.status)) &&
         LabelsMatch(filter.label_selector(), RequestOf(container).config().labels());
}

bool Matches(const cri::ContainerStatsFilter& filter, const ContainerRecord& container) {
  return absl::StartsWith(container.id, filter.id()) &&
         absl::StartsWith(container.pod_id, filter.pod_sandbox_id()) &&
         LabelsMatch(filter.label_selector(), RequestOf(container).config().labels());
}

}  // namespace berth
