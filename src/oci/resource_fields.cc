// linux.resources of config.json.
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/oci/oci_config.h"

namespace berth::oci {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

void ReadMemory(const FieldReader& resources, CgroupLimits* limits) {
  const FieldReader memory = resources.Child("memory");
  limits->memory_bytes = memory.Int("limit", -1);
  limits->memory_swap_bytes = memory.Int("swap", -1);
  memory.Bool("checkBeforeUpdate");
  // 0 is "not given" to those that write config.json.
  if (limits->memory_bytes == 0) limits->memory_bytes.reset();
  if (limits->memory_swap_bytes == 0) limits->memory_swap_bytes.reset();
}

void ReadCpu(const FieldReader& resources, CgroupLimits* limits) {
  const FieldReader cpu = resources.Child("cpu");
  limits->cpu_shares = cpu.Int("shares", 0, 262144);
  limits->cpu_quota_us = cpu.Int("quota", -1);
  limits->cpu_period_us = cpu.Int("period", 0, 1'000'000);
  if (limits->cpu_shares == 0) limits->cpu_shares.reset();
  if (limits->cpu_quota_us == 0) limits->cpu_quota_us.reset();
  if (limits->cpu_period_us == 0) limits->cpu_period_us.reset();
  limits->cpuset_cpus = cpu.String("cpus");
  limits->cpuset_mems = cpu.String("mems");
}

std::optional<uint32_t> DeviceNumber(const FieldReader& rule, const char* name) {
  const auto number = rule.Int(name, -1, std::numeric_limits<uint32_t>::max());
  if (!number.has_value() || *number < 0) return std::nullopt;  // -1 is any, too
  return static_cast<uint32_t>(*number);
}

}  // namespace

CgroupLimits ReadLimits(const FieldReader& resources) {
  CgroupLimits limits;
  ReadMemory(resources, &limits);
  ReadCpu(resources, &limits);
  const FieldReader pids = resources.Child("pids");
  if (const auto limit = pids.Int("limit", std::numeric_limits<int64_t>::min(), kMost))
    limits.pids = *limit > 0 ? *limit : -1;
  for (const FieldReader& one : resources.List("hugepageLimits")) {
    limits.hugepages[one.String("pageSize")] = one.Unsigned("limit").value_or(0);
  }
  limits.unified = resources.StringMap("unified");
  for (const auto& [file, value] : limits.unified) {
    if (file.find('/') != std::string::npos || absl::StartsWith(file, "."))
      resources.Child("unified").Fail(absl::StrCat("\"", file, "\" is no file of a cgroup"));
  }
  return limits;
}

std::vector<DeviceRule> ReadDeviceRules(const FieldReader& resources) {
  std::vector<DeviceRule> rules;
  for (const FieldReader& one : resources.List("devices")) {
    DeviceRule rule;
    rule.allow = one.Bool("allow");
    const std::string type = one.String("type"), access = one.String("access");
    if (!type.empty() && type != "a" && type != "b" && type != "c")
      one.Fail(absl::StrCat("no devices of type \"", type, "\""));
    rule.type = type.empty() ? 'a' : type[0];
    rule.major = DeviceNumber(one, "major");
    rule.minor = DeviceNumber(one, "minor");
    if (access.find_first_not_of("rwm") != std::string::npos)
      one.Fail(absl::StrCat("access \"", access, "\" is not of r, w and m"));
    if (!access.empty()) rule.access = access;
    rules.push_back(std::move(rule));
  }
  return rules;
}

}  // namespace berth::oci
