#include <nlohmann/json.hpp>
#include "src/server/runtime_service.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

std::string ConfigJson(const Config& config) {
  return nlohmann::json{{"dataDir", config.data_dir},       {"stateDir", config.state_dir},
                        {"socket", config.socket},          {"cgroupRoot", config.cgroup_root},
                        {"certsDirs", config.certs_dirs},   {"networkMode", config.network_mode},
                        {"bridge", config.bridge},          {"ipv4Subnet", config.ipv4_subnet},
                        {"ipv6Subnet", config.ipv6_subnet}, {"cniConfDir", config.cni_conf_dir},
                        {"cniBinDirs", config.cni_bin_dirs}}
      .dump();
}

std::string NodeJson(const Node& node, const RequestPolicy& policy) {
  const std::shared_ptr<const NodeSnapshot> snapshot = node.Snapshot();
  constexpr const char* kModes[] = {"v1", "hybrid", "v2"};
  return nlohmann::json{{"version", kVersion},
                        {"cgroups", kModes[static_cast<int>(node.cgroups().mode())]},
                        {"cgroupDriver", policy.systemd_cgroups ? "systemd" : "cgroupfs"},
                        {"apparmor", policy.apparmor},
                        {"selinux", policy.selinux},
                        {"pods", snapshot->pods.size()},
                        {"containers", snapshot->containers.size()}}
      .dump();
}

// Pods without a RuntimeClass look up the empty name.
void FillHandlers(const RequestPolicy& policy, cri::StatusResponse* response) {
  for (const RequestHandler& handler : policy.handlers) {
    cri::RuntimeHandler& out = *response->add_runtime_handlers();
    out.set_name(handler.name);
    out.mutable_features()->set_recursive_read_only_mounts(handler.recursive_read_only_mounts);
    out.mutable_features()->set_user_namespaces(handler.user_namespaces);
  }
  cri::RuntimeFeatures& features = *response->mutable_features();
  features.set_supplemental_groups_policy(true);
  features.set_mount_options(true);
  features.set_user_namespaces_host_network(policy.user_namespaces_host_network);
}

}  // namespace

grpc::Status RuntimeService::Status(grpc::ServerContext* context, const cri::StatusRequest* request,
                                    cri::StatusResponse* response) {
  return calls_.Serve("Status", context, [&]() -> absl::Status {
    cri::RuntimeCondition* runtime = response->mutable_status()->add_conditions();
    runtime->set_type("RuntimeReady");
    runtime->set_status(true);
    const NetworkReadiness readiness = node_.network().Readiness();
    cri::RuntimeCondition* network = response->mutable_status()->add_conditions();
    network->set_type("NetworkReady");
    network->set_status(readiness.ready);
    if (!readiness.ready) {
      network->set_reason("NetworkPluginNotReady");
      network->set_message(readiness.message);
    }
    FillHandlers(policy_, response);
    if (request->verbose()) {
      (*response->mutable_info())["config"] = ConfigJson(config_);
      (*response->mutable_info())["cni"] = node_.network().Describe();
      (*response->mutable_info())["node"] = NodeJson(node_, policy_);
    }
    return absl::OkStatus();
  });
}

}  // namespace berth
