#include <CLI/CLI.hpp>
#include <algorithm>

#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/cli/client.h"
#include "src/cli/commands.h"
#include "src/cli/list_tables.h"

namespace berth::cli {
namespace {

// Addresses of ready pods. A pod that went away meanwhile has none.
absl::StatusOr<std::map<std::string, std::string>> Addresses(
    Client& client, const std::vector<cri::PodSandbox>& pods) {
  std::map<std::string, std::string> addresses;
  for (const cri::PodSandbox& pod : pods) {
    if (pod.state() != cri::SANDBOX_READY) continue;
    cri::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(pod.id());
    const auto reply = client.PodSandboxStatus(request);
    if (absl::IsNotFound(reply.status())) continue;
    RETURN_IF_ERROR(reply.status());
    addresses[pod.id()] = PodAddresses(reply->status());
  }
  return addresses;
}

class PodsCommand : public Command {
 public:
  void Declare(CLI::App& command) override { AddListOptions(command, &list_); }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    ASSIGN_OR_RETURN(const cri::ListPodSandboxResponse reply, client.ListPodSandbox({}));
    if (list_.json()) {
      RETURN_IF_ERROR(PrintJson(reply, invocation.output));
      return 0;
    }
    std::vector<cri::PodSandbox> pods(reply.items().begin(), reply.items().end());
    std::sort(pods.begin(), pods.end(),
              [](const auto& a, const auto& b) { return a.created_at() > b.created_at(); });
    if (list_.quiet) {
      for (const cri::PodSandbox& pod : pods) invocation.output.out << pod.id() << "\n";
      return 0;
    }
    ASSIGN_OR_RETURN(const auto addresses, Addresses(client, pods));
    PrintTable(PodsTable(pods, addresses, {.now = absl::Now(), .no_trunc = list_.no_trunc}),
               invocation.output);
    return 0;
  }

 private:
  ListOptions list_;
};

}  // namespace

std::unique_ptr<Command> MakePods() { return std::make_unique<PodsCommand>(); }

}  // namespace berth::cli
