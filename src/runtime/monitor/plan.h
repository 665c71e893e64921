// A launch plan, mapped and checked: every length of launch_plan_wire.h is verified before a step
// is given out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "src/runtime/launch_plan_wire.h"

namespace berth::monitor {

// One step. Strings are NUL-terminated views into the mapping.
class Step {
 public:
  explicit Step(const char* at) : at_(at) { __builtin_memcpy(&header_, at, sizeof(header_)); }
  wire::Op op() const { return static_cast<wire::Op>(header_.op); }
  int64_t a() const { return header_.a; }
  int64_t b() const { return header_.b; }
  int64_t c() const { return header_.c; }
  uint32_t string_count() const { return header_.string_count; }
  uint32_t bytes() const { return header_.bytes; }
  // "" beyond the last string. The first is found in constant time; walk many with `after`.
  std::string_view String(uint32_t index) const;
  const char* strings() const { return at_ + sizeof(header_); }

 private:
  const char* at_;
  wire::StepHeader header_;
};

// The string at `cursor`, which is moved behind it.
std::string_view NextString(const char** cursor);

class Plan {
 public:
  Plan() = default;
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan();

  // Maps and checks the plan in `fd`. False: not a plan (errno EBADMSG) or it cannot be mapped.
  bool Map(int fd);
  // The plan in memory of the caller's, which outlives this. False as above.
  bool View(const char* base, size_t bytes);
  uint32_t step_count() const { return header_.step_count; }
  const char* begin() const { return base_ + sizeof(header_); }

 private:
  bool Check() const;

  const char* base_ = nullptr;
  size_t bytes_ = 0;
  bool mapped_ = false;
  wire::PlanHeader header_ = {};
};

}  // namespace berth::monitor
