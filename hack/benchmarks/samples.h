// The values of one measurement of one runtime, and what is said about them. Not thread-safe.
#pragma once

#include <cstddef>
#include <vector>

namespace berth::bench {

class Samples {
 public:
  void Add(double value) { values_.push_back(value); }

  size_t count() const { return values_.size(); }
  const std::vector<double>& values() const { return values_; }

  // The value below which `fraction` (0 to 1) of the samples lie, interpolated between neighbours.
  // 0 when there are no samples.
  double Quantile(double fraction) const;
  double Median() const { return Quantile(0.5); }
  double Min() const { return Quantile(0); }
  double Max() const { return Quantile(1); }

 private:
  std::vector<double> values_;
};

}  // namespace berth::bench
