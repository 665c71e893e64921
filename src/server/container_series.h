// The series of pods and containers on /metrics: the table of container_metrics.h written straight
// into the text format, piece by piece, from samples that are there already. What tenants choose
// (names, numbers of containers and interfaces) is bounded, and no two series are the same.
// Of one scrape, one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/server/container_metrics.h"

namespace berth {

enum class MetricsFormat { kText, kOpenMetrics };

class ContainerSeries {
 public:
  struct Options {
    std::shared_ptr<const ContainerSamples> containers;
    std::shared_ptr<const PodSamples> pods;
    std::function<std::optional<Node::LayerUsage>(absl::string_view container_id)> layer;
    FileSystemFacts file_system;
    size_t max_containers = 2000;  // and as many pods
    MetricsFormat format = MetricsFormat::kText;
  };
  explicit ContainerSeries(Options options);

  // Appends some 64 KiB of whole lines; false once nothing is left.
  bool Next(std::string* piece);

 private:
  template <typename Sample>
  struct Labelled {
    std::shared_ptr<const Sample> sample;
    std::string labels;
  };
  void BeginFamily(const MetricFamily& family, std::string* piece) const;
  void AppendNotShown(std::string* piece) const;

  Options options_;
  std::vector<Labelled<ContainerSample>> containers_;
  std::vector<Labelled<PodSample>> pods_;
  size_t not_shown_ = 0;
  size_t family_ = 0, next_ = 0;
};

// `text` between the quotes of a label: at most 253 bytes of it, a name's length in Kubernetes.
std::string LabelValue(absl::string_view text);

}  // namespace berth
