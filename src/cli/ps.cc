#include <CLI/CLI.hpp>
#include <algorithm>

#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/cli/client.h"
#include "src/cli/commands.h"
#include "src/cli/list_tables.h"

namespace berth::cli {
namespace {

// What the list does not say: when a container started, how it ended, and its pod's name.
absl::StatusOr<std::vector<ContainerRow>> Complete(Client& client,
                                                   const std::vector<cri::Container>& containers) {
  ASSIGN_OR_RETURN(const cri::ListPodSandboxResponse pods, client.ListPodSandbox({}));
  std::map<std::string, std::string> pod_names;
  for (const cri::PodSandbox& pod : pods.items()) pod_names[pod.id()] = pod.metadata().name();
  std::vector<ContainerRow> rows;
  for (const cri::Container& container : containers) {
    cri::ContainerStatusRequest request;
    request.set_container_id(container.id());
    const auto reply = client.ContainerStatus(request);
    if (absl::IsNotFound(reply.status())) continue;  // removed meanwhile
    RETURN_IF_ERROR(reply.status());
    rows.push_back({.container = container,
                    .status = reply->status(),
                    .pod_name = pod_names[container.pod_sandbox_id()]});
  }
  return rows;
}

class PsCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_flag("-a,--all", all_, "also containers that do not run");
    AddListOptions(command, &list_);
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    cri::ListContainersRequest request;
    if (!all_) request.mutable_filter()->mutable_state()->set_state(cri::CONTAINER_RUNNING);
    ASSIGN_OR_RETURN(const cri::ListContainersResponse reply, client.ListContainers(request));
    if (list_.json()) {
      RETURN_IF_ERROR(PrintJson(reply, invocation.output));
      return 0;
    }
    std::vector<cri::Container> containers(reply.containers().begin(), reply.containers().end());
    std::sort(containers.begin(), containers.end(),
              [](const auto& a, const auto& b) { return a.created_at() > b.created_at(); });
    if (list_.quiet) {
      for (const cri::Container& container : containers)
        invocation.output.out << container.id() << "\n";
      return 0;
    }
    ASSIGN_OR_RETURN(const auto rows, Complete(client, containers));
    PrintTable(ContainersTable(rows, {.now = absl::Now(), .no_trunc = list_.no_trunc}),
               invocation.output);
    return 0;
  }

 private:
  bool all_ = false;
  ListOptions list_;
};

}  // namespace

std::unique_ptr<Command> MakePs() { return std::make_unique<PsCommand>(); }

}  // namespace berth::cli
