// A launch plan: the flat ordered list of steps that a monitor carries out to start a process. A
// value: it is built by pure functions (container_plan.h), printed for people, and encoded for the
// wire (launch_plan_wire.h, docs/formats/launch-plan.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"
#include "src/runtime/launch_plan_wire.h"

namespace berth {

struct PlanStep {
  wire::Op op;
  std::vector<std::string> strings;
  int64_t a = 0, b = 0, c = 0;
};

struct LaunchPlan {
  std::vector<PlanStep> steps;
};

std::string EncodePlan(const LaunchPlan& plan);

// One line for each step: its name and operands, binary ones as their size, environment values left
// out.
std::vector<std::string> DescribePlan(const LaunchPlan& plan);
std::string DescribeStep(const PlanStep& step);

// The plan as a monitor takes it: encoded, and in a sealed memfd. ResourceExhausted beyond
// kPlanMaxBytes or kStepMaxStrings.
absl::StatusOr<std::string> PlanBytes(const LaunchPlan& plan);
absl::StatusOr<UniqueFd> PlanFd(absl::string_view bytes);
absl::StatusOr<UniqueFd> PlanFd(const LaunchPlan& plan);

}  // namespace berth
