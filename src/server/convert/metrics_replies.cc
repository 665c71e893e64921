#include "src/server/convert/metrics_replies.h"

#include <string>
#include <vector>

namespace berth {
namespace {

namespace cri = runtime::v1;

constexpr const char* kBaseLabels[] = {"id", "image", "namespace", "pod", "container", "name"};
constexpr char kPodContainer[] = "POD";  // what cAdvisor calls the container that is the pod

// In the order of kBaseLabels. Names come from the request's metadata, as everywhere in the CRI.
using BaseValues = std::vector<std::string>;

void Add(const MetricFamily& family, const BaseValues& base, int64_t at,
         std::initializer_list<absl::string_view> extra, uint64_t value, cri::Metric* out) {
  out->set_name(family.name);
  out->set_timestamp(at);
  out->set_metric_type(family.type == MetricFamily::Type::kCounter ? cri::COUNTER : cri::GAUGE);
  for (const std::string& label : base) out->add_label_values(label);
  for (absl::string_view label : extra) out->add_label_values(std::string(label));
  // The CRI has whole numbers only.
  out->mutable_value()->set_value(
      family.unit == MetricFamily::Unit::kNanoseconds ? value / kNanosecondsPerSecond : value);
}

}  // namespace

void FillDescriptor(const MetricFamily& family, cri::MetricDescriptor* out) {
  out->set_name(family.name);
  out->set_help(family.help);
  for (const char* label : kBaseLabels) out->add_label_keys(label);
  for (const char* label : family.extra_labels) out->add_label_keys(label);
}

void FillContainerMetrics(const ContainerFacts& facts, const PodSample& pod,
                          cri::ContainerMetrics* out) {
  const ContainerRecord& container = *facts.sample->container;
  out->set_container_id(container.id);
  const BaseValues base = {
      container.id,         container.image.name,  pod.pod->config.pod_namespace,
      pod.pod->config.name, container.config.name, container.id};
  for (const MetricFamily& family : ContainerMetricFamilies()) {
    if (family.of_container == nullptr) continue;
    family.of_container(facts, [&](std::initializer_list<absl::string_view> extra, uint64_t value) {
      Add(family, base, facts.sample->at, extra, value, out->add_metrics());
    });
  }
}

void FillPodMetrics(const PodSample& pod, cri::PodSandboxMetrics* out) {
  out->set_pod_sandbox_id(pod.pod->id);
  const BaseValues base = {
      pod.pod->id,   "",         pod.pod->config.pod_namespace, pod.pod->config.name,
      kPodContainer, pod.pod->id};
  for (const MetricFamily& family : ContainerMetricFamilies()) {
    if (family.of_pod == nullptr) continue;
    family.of_pod(pod, [&](std::initializer_list<absl::string_view> extra, uint64_t value) {
      Add(family, base, pod.at, extra, value, out->add_metrics());
    });
  }
}

}  // namespace berth
