#include "src/server/convert/resources_request.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/server/convert/text_check.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

constexpr int kMaxOomScore = 1000;                      // proc_pid_oom_score_adj(5)
constexpr int64_t kMinShares = 2, kMaxShares = 262144;  // Documentation/scheduler/sched-design-CFS
constexpr int64_t kMinBandwidthUs = 1000, kMaxPeriodUs = 1'000'000;  // kernel/sched/core.c
constexpr size_t kMaxUnifiedValue = 4096;  // of one write(2) to a cgroup file

absl::Status CheckCpu(const cri::LinuxContainerResources& resources) {
  const int64_t quota = resources.cpu_quota(), period = resources.cpu_period();
  if (resources.cpu_shares() < 0) return Refused("resources.cpu_shares", "is negative");
  if (period != 0 && (period < kMinBandwidthUs || period > kMaxPeriodUs))
    return Refused("resources.cpu_period", "is not within 1000..1000000 us");
  if (quota != 0 && quota != -1 && quota < kMinBandwidthUs)
    return Refused("resources.cpu_quota", "is neither -1 nor at least 1000 us");
  return absl::OkStatus();
}

absl::Status CheckMemory(const cri::LinuxContainerResources& resources) {
  const int64_t memory = resources.memory_limit_in_bytes(),
                swap = resources.memory_swap_limit_in_bytes();
  if (memory < 0) return Refused("resources.memory_limit_in_bytes", "is negative");
  if (swap < -1) return Refused("resources.memory_swap_limit_in_bytes", "is negative, and not -1");
  if (swap > 0 && swap < memory) {
    return Refused("resources.memory_swap_limit_in_bytes",
                   "is less than memory_limit_in_bytes, which it includes");
  }
  return absl::OkStatus();
}

// "0-3,8": cpuset(7), "List format".
absl::Status CheckCpuList(absl::string_view field, absl::string_view list) {
  const bool clean = std::all_of(list.begin(), list.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == ',' || c == '-';
  });
  return clean ? absl::OkStatus() : Refused(field, "is not a list of numbers and ranges");
}

// "2MB", "1GB", "64KB"
absl::Status CheckPageSize(absl::string_view size) {
  absl::string_view number = size;
  const bool unit = absl::ConsumeSuffix(&number, "KB") || absl::ConsumeSuffix(&number, "MB") ||
                    absl::ConsumeSuffix(&number, "GB");
  const bool digits = !number.empty() && number.size() < 8 &&
                      std::all_of(number.begin(), number.end(), absl::ascii_isdigit);
  if (unit && digits) return absl::OkStatus();
  return Refused("resources.hugepage_limits",
                 absl::StrCat("page_size \"", size, "\" is not of the form 2MB"));
}

absl::Status CheckUnified(const std::string& file, const std::string& value) {
  if (file.empty() || file.find('/') != std::string::npos || file.find("..") != std::string::npos ||
      file.find('.') == std::string::npos) {
    return Refused("resources.unified",
                   absl::StrCat("\"", file, "\" is not the name of a cgroup file"));
  }
  RETURN_IF_ERROR(CheckText("resources.unified", file, kMaxName));
  if (value.size() > kMaxUnifiedValue)
    return Refused(absl::StrCat("resources.unified[", file, "]"), "is longer than 4096 bytes");
  return CheckNoNul(absl::StrCat("resources.unified[", file, "]"), value);
}

}  // namespace

CgroupLimits ParseResources(const cri::LinuxContainerResources& resources) {
  CgroupLimits limits;
  if (resources.memory_limit_in_bytes() > 0)
    limits.memory_bytes = resources.memory_limit_in_bytes();
  if (resources.memory_swap_limit_in_bytes() != 0)
    limits.memory_swap_bytes = resources.memory_swap_limit_in_bytes();
  if (resources.cpu_shares() > 0)
    limits.cpu_shares = std::clamp<int64_t>(resources.cpu_shares(), kMinShares, kMaxShares);
  if (resources.cpu_period() > 0) limits.cpu_period_us = resources.cpu_period();
  if (resources.cpu_quota() != 0) limits.cpu_quota_us = resources.cpu_quota();
  limits.cpuset_cpus = resources.cpuset_cpus();
  limits.cpuset_mems = resources.cpuset_mems();
  for (const cri::HugepageLimit& hugepage : resources.hugepage_limits())
    limits.hugepages[hugepage.page_size()] = hugepage.limit();
  limits.unified.insert(resources.unified().begin(), resources.unified().end());
  return limits;
}

int ParseOomScore(const cri::LinuxContainerResources& resources) {
  return static_cast<int>(
      std::clamp<int64_t>(resources.oom_score_adj(), -kMaxOomScore, kMaxOomScore));
}

absl::Status CheckResources(const cri::LinuxContainerResources& resources) {
  RETURN_IF_ERROR(CheckCpu(resources));
  RETURN_IF_ERROR(CheckMemory(resources));
  if (resources.oom_score_adj() < -kMaxOomScore || resources.oom_score_adj() > kMaxOomScore)
    return Refused("resources.oom_score_adj", "is not within -1000..1000");
  RETURN_IF_ERROR(CheckCpuList("resources.cpuset_cpus", resources.cpuset_cpus()));
  RETURN_IF_ERROR(CheckCpuList("resources.cpuset_mems", resources.cpuset_mems()));
  for (const cri::HugepageLimit& hugepage : resources.hugepage_limits())
    RETURN_IF_ERROR(CheckPageSize(hugepage.page_size()));
  for (const auto& [file, value] : resources.unified()) RETURN_IF_ERROR(CheckUnified(file, value));
  return absl::OkStatus();
}

void FillResources(const CgroupLimits& limits, cri::LinuxContainerResources* out) {
  out->set_memory_limit_in_bytes(limits.memory_bytes.value_or(0));
  out->set_memory_swap_limit_in_bytes(limits.memory_swap_bytes.value_or(0));
  out->set_cpu_shares(limits.cpu_shares.value_or(0));
  out->set_cpu_period(limits.cpu_period_us.value_or(0));
  out->set_cpu_quota(limits.cpu_quota_us.value_or(0));
  out->set_cpuset_cpus(limits.cpuset_cpus);
  out->set_cpuset_mems(limits.cpuset_mems);
  for (const auto& [size, bytes] : limits.hugepages) {
    cri::HugepageLimit& limit = *out->add_hugepage_limits();
    limit.set_page_size(size);
    limit.set_limit(bytes);
  }
  out->mutable_unified()->insert(limits.unified.begin(), limits.unified.end());
}

}  // namespace berth
