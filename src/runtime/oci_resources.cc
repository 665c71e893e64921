#include "src/runtime/oci_resources.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace berth {

using Json = nlohmann::ordered_json;

Json OciLimits(const CgroupLimits& limits) {
  Json resources = Json::object();
  const auto put = [&resources](const char* part, const char* name,
                                const std::optional<int64_t>& value) {
    if (value.has_value()) resources[part][name] = *value;
  };
  put("memory", "limit", limits.memory_bytes);
  put("memory", "swap", limits.memory_swap_bytes);
  put("cpu", "shares", limits.cpu_shares);
  put("cpu", "quota", limits.cpu_quota_us);
  put("cpu", "period", limits.cpu_period_us);
  if (!limits.cpuset_cpus.empty()) resources["cpu"]["cpus"] = limits.cpuset_cpus;
  if (!limits.cpuset_mems.empty()) resources["cpu"]["mems"] = limits.cpuset_mems;
  put("pids", "limit", limits.pids);
  for (const auto& [size, bytes] : limits.hugepages)
    resources["hugepageLimits"].push_back({{"pageSize", size}, {"limit", bytes}});
  if (!limits.unified.empty()) resources["unified"] = limits.unified;
  return resources;
}

Json OciDeviceRules(const std::vector<DeviceRule>& more) {
  std::vector<DeviceRule> rules = {{.allow = false}};
  for (const std::vector<DeviceRule>& some : {UsualDeviceRules(), more})
    rules.insert(rules.end(), some.begin(), some.end());
  Json list = Json::array();
  for (const DeviceRule& rule : rules) {
    Json one = {{"allow", rule.allow}};
    if (rule.type != 'a') one["type"] = std::string(1, rule.type);
    if (rule.major.has_value()) one["major"] = *rule.major;
    if (rule.minor.has_value()) one["minor"] = *rule.minor;
    one["access"] = rule.access;
    list.push_back(std::move(one));
  }
  return list;
}

}  // namespace berth
