#include "src/server/convert/verbose_info.h"

#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "src/server/convert/requests.h"
#include "src/server/convert/resources_request.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

using nlohmann::json;

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// null for what is no JSON.
json Parsed(const std::string& text) {
  json value = json::parse(text, nullptr, /*allow_exceptions=*/false);
  return value.is_discarded() ? json() : value;
}

json MessageJson(const google::protobuf::Message& message) {
  std::string text;
  const bool written = google::protobuf::util::MessageToJsonString(message, &text).ok();
  return written ? Parsed(text) : json();
}

json LimitsJson(const CgroupLimits& limits) {
  cri::LinuxContainerResources message;
  FillResources(limits, &message);
  return MessageJson(message);
}

}  // namespace

std::string ContainerInfoJson(const ContainerRecord& container,
                              const std::vector<std::string>& plan, const std::string& oci_spec) {
  json info = {{"sandboxID", container.pod_id},
               {"pid", container.status.pid},
               {"cgroup", container.cgroup},
               {"layers", container.image.layers},
               {"logDroppedBytes", container.status.log_dropped_bytes},
               {"privileged", container.config.privileged},
               {"resources", LimitsJson(LimitsOf(container))},
               {"config", MessageJson(RequestOf(container).config())}};
  if (!plan.empty()) info["plan"] = plan;
  if (!oci_spec.empty()) info["runtimeSpec"] = Parsed(oci_spec);
  return Dump(info);
}

std::string PodInfoJson(const PodRecord& pod) {
  return Dump({{"pid", pod.status.monitor_pid},
               {"cgroup", pod.status.cgroup},
               {"ips", pod.status.ips},
               {"runtimeHandler", pod.config.runtime_handler},
               {"privileged", pod.config.privileged},
               {"selinuxLevel", pod.status.selinux_level},
               {"overhead", LimitsJson(pod.status.overhead.value_or(pod.config.overhead))},
               {"resources", LimitsJson(pod.status.resources.value_or(pod.config.resources))},
               {"config", MessageJson(RequestOf(pod).config())}});
}

}  // namespace berth
