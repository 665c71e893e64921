// Which events `berth events --filter KEY=VALUE` shows. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "berth/v1/berth.pb.h"

namespace berth::cli {

class EventFilter {
 public:
  // InvalidArgument for a key that is none.
  static absl::StatusOr<EventFilter> Parse(const std::vector<std::string>& filters);
  bool Accepts(const v1::Event& event) const;

 private:
  std::map<std::string, std::vector<std::string>> wanted_;
};

}  // namespace berth::cli
