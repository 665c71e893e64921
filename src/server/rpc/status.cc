#include <nlohmann/json.hpp>
#include "src/base/status_macros.h"
#include "src/server/convert/replies.h"
#include "src/server/convert/requests.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

std::string ConfigJson(const Config& config) {
  return nlohmann::json{{"dataDir", config.data_dir},      {"stateDir", config.data_dir},
                        {"socket", config.socket},         {"cgroupRoot", config.cgroup_root},
                        {"bridge", config.bridge},         {"ipv4Subnet", config.ipv4_subnet},
                        {"ipv6Subnet", config.ipv6_subnet}}
      .dump();
}

std::string NodeJson(const Node& node) {
  const std::shared_ptr<const NodeSnapshot> snapshot = node.Snapshot();
  constexpr const char* kModes[] = {"v1", "hybrid", "v2"};
  return nlohmann::json{{"version", kVersion},
                        {"cgroups", kModes[static_cast<int>(node.cgroups().mode())]},
                        {"pods", snapshot->pods.size()},
                        {"containers", snapshot->containers.size()}}
      .dump();
}

}  // namespace

grpc::Status RuntimeService::Status(grpc::ServerContext* context, const cri::StatusRequest* request,
                                    cri::StatusResponse* response) {
  return calls_.Serve("Status", context, [&]() -> absl::Status {
    for (const char* type : {"RuntimeReady", "NetworkReady"}) {
      cri::RuntimeCondition* condition = response->mutable_status()->add_conditions();
      condition->set_type(type);
      condition->set_status(true);
    }
    // The default handler, by the empty name that pods without a RuntimeClass look up.
    response->add_runtime_handlers()->mutable_features();
    response->mutable_features()->set_supplemental_groups_policy(true);
    if (request->verbose()) {
      (*response->mutable_info())["config"] = ConfigJson(config_);
      (*response->mutable_info())["node"] = NodeJson(node_);
    }
    return absl::OkStatus();
  });
}

}  // namespace berth
