#include "src/sandbox/records.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/sandbox/container_adjustment.h"

namespace berth {
namespace {

using nlohmann::json;

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// The number at `key`, within 0..last; throws as the accessors do.
int EnumAt(const json& value, const char* key, int last) {
  const int number = value.at(key);
  if (number < 0 || number > last) throw json::out_of_range::create(401, key, &value);
  return number;
}

// nlohmann's accessors throw: this is their one door.
template <typename T>
absl::StatusOr<T> Decode(absl::string_view text, absl::string_view what,
                         void (*fill)(const json&, T*)) {
  const json value = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return absl::DataLossError(absl::StrCat(what, ": not JSON"));
  T result;
  try {
    fill(value, &result);
  } catch (const json::exception& error) {
    return absl::DataLossError(absl::StrCat(what, ": ", error.what()));
  }
  return result;
}

// Keys that came later are not in records of before: those have the default.
template <typename T>
void Take(const json& value, const char* key, T* out) {
  if (const auto found = value.find(key); found != value.end()) found->get_to(*out);
}

struct LimitField {
  const char* key;
  std::optional<int64_t> CgroupLimits::*value;
};
constexpr LimitField kLimitFields[] = {
    {"memory", &CgroupLimits::memory_bytes},      {"swap", &CgroupLimits::memory_swap_bytes},
    {"cpu_shares", &CgroupLimits::cpu_shares},    {"cpu_quota", &CgroupLimits::cpu_quota_us},
    {"cpu_period", &CgroupLimits::cpu_period_us}, {"pids", &CgroupLimits::pids},
};

// What is unset has no key.
json LimitsJson(const CgroupLimits& limits) {
  json value = {{"cpus", limits.cpuset_cpus},
                {"mems", limits.cpuset_mems},
                {"hugepages", limits.hugepages},
                {"unified", limits.unified}};
  for (const LimitField& field : kLimitFields) {
    const std::optional<int64_t>& number = limits.*(field.value);
    if (number.has_value()) value[field.key] = *number;
  }
  return value;
}

CgroupLimits LimitsFrom(const json& value) {
  CgroupLimits limits;
  value.at("cpus").get_to(limits.cpuset_cpus);
  value.at("mems").get_to(limits.cpuset_mems);
  value.at("hugepages").get_to(limits.hugepages);
  value.at("unified").get_to(limits.unified);
  for (const LimitField& field : kLimitFields) {
    if (const auto found = value.find(field.key); found != value.end())
      limits.*(field.value) = found->get<int64_t>();
  }
  return limits;
}

void PutLimits(const char* key, const std::optional<CgroupLimits>& limits, json* out) {
  if (limits.has_value()) (*out)[key] = LimitsJson(*limits);
}

void TakeLimits(const json& value, const char* key, std::optional<CgroupLimits>* out) {
  if (const auto found = value.find(key); found != value.end()) *out = LimitsFrom(*found);
}

json MountedJson(const std::vector<ContainerImage::Mounted>& images) {
  json list = json::array();
  for (const ContainerImage::Mounted& image : images)
    list.push_back({{"id", image.id}, {"reference", image.reference}, {"layers", image.layers}});
  return list;
}

void TakeMounted(const json& value, std::vector<ContainerImage::Mounted>* images) {
  const auto found = value.find("mounted");
  if (found == value.end()) return;
  for (const json& each : *found) {
    ContainerImage::Mounted& image = images->emplace_back();
    each.at("id").get_to(image.id);
    each.at("reference").get_to(image.reference);
    each.at("layers").get_to(image.layers);
  }
}

}  // namespace

absl::Status CheckReady(const PodRecord& pod) {
  if (pod.status.state == PodState::kReady) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("pod sandbox ", pod.id, " is not ready"));
}

absl::Status UnreadError(const ContainerRecord& container) {
  return absl::UnavailableError(
      absl::StrCat("container ", container.id,
                   ": the monitor of its pod has not answered since berthd's start"));
}

absl::Status NotRunningError(const ContainerRecord& container) {
  const bool exited = container.status.state == ContainerState::kExited;
  return absl::FailedPreconditionError(absl::StrCat("container ", container.id, " is not running (",
                                                    exited ? "exited" : "created", ")"));
}

void Adjust(ContainerAdjustment adjustment, ContainerRecord* container) {
  std::map<std::string, std::string>& annotations = container->config.annotations;
  for (const std::string& key : adjustment.removed_annotations) annotations.erase(key);
  for (const auto& [key, value] : adjustment.annotations) annotations[key] = value;
  container->adjustment = std::make_shared<const ContainerAdjustment>(std::move(adjustment));
}

std::string EncodePodStatus(const PodStatus& status) {
  json value = {{"state", static_cast<int>(status.state)},
                {"ips", status.ips},
                {"cgroup", status.cgroup},
                {"boot_id", status.boot_id},
                {"monitor_pid", status.monitor_pid},
                {"pod_init_pid", status.pod_init_pid},
                {"selinux_level", status.selinux_level}};
  PutLimits("overhead", status.overhead, &value);
  PutLimits("resources", status.resources, &value);
  return Dump(value);
}

absl::StatusOr<PodStatus> DecodePodStatus(absl::string_view text) {
  return Decode<PodStatus>(text, "pod status", [](const json& value, PodStatus* status) {
    status->state =
        static_cast<PodState>(EnumAt(value, "state", static_cast<int>(PodState::kNotReady)));
    value.at("ips").get_to(status->ips);
    value.at("cgroup").get_to(status->cgroup);
    value.at("boot_id").get_to(status->boot_id);
    value.at("monitor_pid").get_to(status->monitor_pid);
    Take(value, "pod_init_pid", &status->pod_init_pid);
    Take(value, "selinux_level", &status->selinux_level);
    TakeLimits(value, "overhead", &status->overhead);
    TakeLimits(value, "resources", &status->resources);
  });
}

std::string EncodeContainerStatus(const ContainerStatus& status) {
  json value = {{"state", static_cast<int>(status.state)},
                {"started_at", status.started_at},
                {"finished_at", status.finished_at},
                {"exit_code", status.exit_code},
                {"reason", status.reason},
                {"message", status.message},
                {"pid", status.pid},
                {"log_dropped_bytes", status.log_dropped_bytes}};
  if (status.poststop_due) value["poststop_due"] = true;
  PutLimits("limits", status.limits, &value);
  if (!status.adjustment.empty()) value["adjustment"] = absl::Base64Escape(status.adjustment);
  return Dump(value);
}

absl::StatusOr<ContainerStatus> DecodeContainerStatus(absl::string_view text) {
  return Decode<ContainerStatus>(
      text, "container status", [](const json& value, ContainerStatus* status) {
        status->state = static_cast<ContainerState>(
            EnumAt(value, "state", static_cast<int>(ContainerState::kExited)));
        value.at("started_at").get_to(status->started_at);
        value.at("finished_at").get_to(status->finished_at);
        value.at("exit_code").get_to(status->exit_code);
        value.at("reason").get_to(status->reason);
        value.at("message").get_to(status->message);
        value.at("pid").get_to(status->pid);
        value.at("log_dropped_bytes").get_to(status->log_dropped_bytes);
        Take(value, "poststop_due", &status->poststop_due);
        TakeLimits(value, "limits", &status->limits);
        std::string adjustment;
        Take(value, "adjustment", &adjustment);
        if (!absl::Base64Unescape(adjustment, &status->adjustment))
          throw json::other_error::create(501, "adjustment is not in Base64", &value);
      });
}

std::string EncodeContainerImage(const ContainerImage& image) {
  return Dump({{"id", image.id},
               {"name", image.name},
               {"reference", image.reference},
               {"layers", image.layers},
               {"env", image.env},
               {"entrypoint", image.entrypoint},
               {"cmd", image.cmd},
               {"working_dir", image.working_dir},
               {"stop_signal", image.stop_signal},
               {"uid", image.uid},
               {"gid", image.gid},
               {"groups", image.groups},
               {"home", image.home},
               {"volumes", image.volumes},
               {"mounted", MountedJson(image.mounted)}});
}

absl::StatusOr<ContainerImage> DecodeContainerImage(absl::string_view text) {
  return Decode<ContainerImage>(text, "container image",
                                [](const json& value, ContainerImage* image) {
                                  value.at("id").get_to(image->id);
                                  value.at("name").get_to(image->name);
                                  value.at("reference").get_to(image->reference);
                                  value.at("layers").get_to(image->layers);
                                  value.at("env").get_to(image->env);
                                  value.at("entrypoint").get_to(image->entrypoint);
                                  value.at("cmd").get_to(image->cmd);
                                  value.at("working_dir").get_to(image->working_dir);
                                  value.at("stop_signal").get_to(image->stop_signal);
                                  value.at("uid").get_to(image->uid);
                                  value.at("gid").get_to(image->gid);
                                  value.at("groups").get_to(image->groups);
                                  value.at("home").get_to(image->home);
                                  Take(value, "volumes", &image->volumes);
                                  TakeMounted(value, &image->mounted);
                                });
}

std::string UniqueName(const PodConfig& pod) {
  return absl::StrCat(pod.name, "/", pod.pod_namespace, "/", pod.uid, "/", pod.attempt);
}

std::string SubjectOf(const PodConfig& pod) {
  return absl::StrCat(pod.pod_namespace.empty() ? "" : absl::StrCat(pod.pod_namespace, "/"),
                      pod.name);
}

std::string SubjectOf(const PodConfig& pod, const ContainerConfig& container) {
  return absl::StrCat(SubjectOf(pod), "/", container.name);
}

}  // namespace berth
