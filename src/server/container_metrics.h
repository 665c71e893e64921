// The table of metrics of containers and pods: the names, labels and units that cAdvisor has made
// usual, each with where its value comes from. ListPodSandboxMetrics and /metrics both walk it.
// Pure.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "src/sandbox/node.h"
#include "src/sandbox/stats_sampler.h"

namespace berth {

inline constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;

// What is known of a container beyond its sample; absent parts give no series.
struct ContainerFacts {
  const ContainerSample* sample = nullptr;
  const ContainerDetails* details = nullptr;
  std::optional<Node::LayerUsage> layer;
  const FileSystemFacts* file_system = nullptr;  // that writable layers are on
};

using AddValue =
    absl::FunctionRef<void(std::initializer_list<absl::string_view> extra_labels, uint64_t value)>;

struct MetricFamily {
  enum class Type { kCounter, kGauge };
  enum class Unit { kOne, kNanoseconds };  // kNanoseconds: told in seconds
  const char* name;
  const char* help;
  Type type = Type::kGauge;
  Unit unit = Unit::kOne;
  absl::Span<const char* const> extra_labels;
  // One of them is set: what the series is of.
  void (*of_container)(const ContainerFacts& facts, AddValue add) = nullptr;
  void (*of_pod)(const PodSample& pod, AddValue add) = nullptr;
  // Comes from the sample alone, so that a scrape can afford it for each container.
  bool cheap = false;
};

absl::Span<const MetricFamily> ContainerMetricFamilies();

}  // namespace berth
