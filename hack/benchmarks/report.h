// Collects what was measured and shows it: a table for people, JSON for programs. Not thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "hack/benchmarks/samples.h"
#include "nlohmann/json.hpp"

namespace berth::bench {

// What was measured: "pod cycle, host network: total", "ms", and how the operations followed each
// other.
struct Metric {
  std::string name;
  std::string unit;
  std::string pace;  // "back to back", "50 ms idle", or empty where it does not matter
  auto operator<=>(const Metric&) const = default;
};

class Report {
 public:
  // `peers` in the order of the columns; the first is the one that the ratios are of.
  explicit Report(std::vector<std::string> peers) : peers_(std::move(peers)) {}

  void Add(const Metric& metric, const std::string& peer, double value);
  void AddFailure(std::string message) { failures_.push_back(std::move(message)); }
  const std::vector<std::string>& failures() const { return failures_; }

  // Medians of each peer, and the first peer's median divided by that of each other one.
  std::string Table() const;
  nlohmann::json Json() const;

 private:
  struct Row {
    Metric metric;
    std::map<std::string, Samples> samples;
  };

  Row& RowOf(const Metric& metric);

  const std::vector<std::string> peers_;
  std::vector<Row> rows_;
  std::vector<std::string> failures_;
};

}  // namespace berth::bench
