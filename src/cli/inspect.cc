#include <CLI/CLI.hpp>

#include "src/base/status_macros.h"
#include "src/cli/commands.h"
#include "src/cli/failure.h"
#include "src/cli/targets.h"
#include "src/cli/terminal_text.h"
#include "src/cli/verbose_json.h"

namespace berth::cli {
namespace {

absl::StatusOr<std::string> ContainerJson(Client& client, const std::string& id) {
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  request.set_verbose(true);
  ASSIGN_OR_RETURN(const cri::ContainerStatusResponse reply, client.ContainerStatus(request));
  return VerboseJson(reply.status(), InfoMap(reply.info().begin(), reply.info().end()));
}

absl::StatusOr<std::string> PodJson(Client& client, const std::string& id) {
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(id);
  request.set_verbose(true);
  ASSIGN_OR_RETURN(const cri::PodSandboxStatusResponse reply, client.PodSandboxStatus(request));
  return VerboseJson(reply.status(), InfoMap(reply.info().begin(), reply.info().end()));
}

class InspectCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("ID", object_, "a container or pod, by id or name")->required();
    command.add_flag("--plan", plan_, "print the steps that started the container");
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    ASSIGN_OR_RETURN(const Target target,
                     ResolveTarget(client, object_, plan_ ? Accept::kContainers : Accept::kBoth));
    const absl::Status status = plan_ ? PrintPlan(client, target.id, invocation.output)
                                      : PrintStatus(client, target, invocation.output);
    if (!status.ok()) return InContext(status, object_);
    return 0;
  }

 private:
  static absl::Status PrintPlan(Client& client, const std::string& id, Output& output) {
    ASSIGN_OR_RETURN(const v1::ContainerPlanResponse plan, client.ContainerPlan(id));
    for (const std::string& step : plan.steps()) output.out << OneLine(step) << "\n";
    return absl::OkStatus();
  }

  static absl::Status PrintStatus(Client& client, const Target& target, Output& output) {
    ASSIGN_OR_RETURN(const std::string json, target.kind == TargetKind::kContainer
                                                 ? ContainerJson(client, target.id)
                                                 : PodJson(client, target.id));
    output.out << json << "\n";
    return absl::OkStatus();
  }

  std::string object_;
  bool plan_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeInspect() { return std::make_unique<InspectCommand>(); }

}  // namespace berth::cli
