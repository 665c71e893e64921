#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "nlohmann/json.hpp"
#include "src/base/status_macros.h"
#include "src/kernel/ip_address.h"
#include "src/sandbox/network/cni_config.h"
#include "src/sandbox/network/cni_network.h"

namespace berth {

absl::StatusOr<std::string> RenderCniTemplate(const std::string& text,
                                              const std::vector<std::string>& cidrs) {
  if (cidrs.empty()) return absl::InvalidArgumentError("pod_cidr: no subnet");
  nlohmann::json ranges = nlohmann::json::array(), routes = nlohmann::json::array();
  for (const std::string& cidr : cidrs) {
    ASSIGN_OR_RETURN(const IpPrefix subnet, ParseSubnet(cidr));
    nlohmann::json range = {{"subnet", cidr}};
    ranges.push_back(nlohmann::json::array({std::move(range)}));
    routes.push_back({{"dst", subnet.address.size() == 4 ? "0.0.0.0/0" : "::/0"}});
  }
  std::string rendered = absl::StrReplaceAll(text, {{"{{.PodCIDR}}", cidrs[0]},
                                                    {"{{.PodCIDRRanges}}", ranges.dump()},
                                                    {"{{.Routes}}", routes.dump()}});
  if (absl::StrContains(rendered, "{{"))
    return absl::InvalidArgumentError("CNI template: it has an unknown \"{{\"");
  absl::StatusOr<CniNetworkList> list = ParseCniConfig(rendered);
  if (!list.ok()) return Annotate(list.status(), "CNI template");
  if (list->plugins.empty()) return absl::InvalidArgumentError("CNI template: it has no plugins");
  return rendered;
}

}  // namespace berth
