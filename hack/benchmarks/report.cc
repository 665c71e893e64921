#include "hack/benchmarks/report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace berth::bench {
namespace {

constexpr int kNameWidth = 44;
constexpr int kPaceWidth = 13;
constexpr int kValueWidth = 18;

std::string FormatValue(const Samples* samples, const std::string& unit) {
  if (samples == nullptr || samples->count() == 0) return "-";
  const double median = samples->Median();
  const std::string number = absl::StrFormat(median < 10 ? "%.2f" : "%.1f", median);
  return unit.empty() ? number : absl::StrCat(number, " ", unit);
}

const Samples* Find(const std::map<std::string, Samples>& samples, const std::string& peer) {
  const auto found = samples.find(peer);
  return found == samples.end() ? nullptr : &found->second;
}

// The ratio of two medians, or "-" where one of them is missing.
std::string FormatRatio(const Samples* first, const Samples* other) {
  if (first == nullptr || other == nullptr || other->Median() == 0) return "-";
  return absl::StrFormat("%.3f", first->Median() / other->Median());
}

}  // namespace

Report::Row& Report::RowOf(const Metric& metric) {
  const auto row = std::find_if(rows_.begin(), rows_.end(),
                                [&](const Row& candidate) { return candidate.metric == metric; });
  if (row != rows_.end()) return *row;
  rows_.push_back({.metric = metric, .samples = {}});
  return rows_.back();
}

void Report::Add(const Metric& metric, const std::string& peer, double value) {
  RowOf(metric).samples[peer].Add(value);
}

std::string Report::Table() const {
  std::string out = absl::StrFormat("%-*s %-*s", kNameWidth, "median of", kPaceWidth, "pace");
  for (const std::string& peer : peers_) {
    absl::StrAppendFormat(&out, " %*s", kValueWidth, peer);
    if (peer != peers_.front()) absl::StrAppendFormat(&out, " %7s", "ratio");
  }
  absl::StrAppend(&out, "\n");
  for (const Row& row : rows_) {
    absl::StrAppendFormat(&out, "%-*s %-*s", kNameWidth, row.metric.name, kPaceWidth,
                          row.metric.pace);
    const Samples* first = Find(row.samples, peers_.front());
    for (const std::string& peer : peers_) {
      const Samples* samples = Find(row.samples, peer);
      absl::StrAppendFormat(&out, " %*s", kValueWidth, FormatValue(samples, row.metric.unit));
      if (peer != peers_.front()) absl::StrAppendFormat(&out, " %7s", FormatRatio(first, samples));
    }
    absl::StrAppend(&out, "\n");
  }
  if (peers_.size() > 1)
    absl::StrAppend(&out, "ratio = ", peers_.front(), " / the peer to its left\n");
  for (const std::string& failure : failures_) absl::StrAppend(&out, "FAILED ", failure, "\n");
  return out;
}

nlohmann::json Report::Json() const {
  nlohmann::json measurements = nlohmann::json::array();
  for (const Row& row : rows_) {
    const Samples* first = Find(row.samples, peers_.front());
    for (const auto& [peer, samples] : row.samples) {
      nlohmann::json entry = {{"metric", row.metric.name},    {"unit", row.metric.unit},
                              {"pace", row.metric.pace},      {"peer", peer},
                              {"count", samples.count()},     {"median", samples.Median()},
                              {"p90", samples.Quantile(0.9)}, {"min", samples.Min()},
                              {"max", samples.Max()},         {"samples", samples.values()}};
      if (first != nullptr && peer != peers_.front() && samples.Median() != 0) {
        entry["ratio"] = first->Median() / samples.Median();
      }
      measurements.push_back(std::move(entry));
    }
  }
  return {{"ratio_of", peers_.front()}, {"measurements", measurements}, {"failures", failures_}};
}

}  // namespace berth::bench
