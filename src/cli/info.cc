#include <CLI/CLI.hpp>

#include "src/base/status_macros.h"
#include "src/cli/client.h"
#include "src/cli/commands.h"
#include "src/cli/verbose_json.h"

namespace berth::cli {
namespace {

Table ConditionsTable(const cri::StatusResponse& reply) {
  Table table({"CONDITION", "STATUS", "REASON", "MESSAGE"});
  for (const cri::RuntimeCondition& condition : reply.status().conditions()) {
    table.AddRow({condition.type(),
                  condition.status() ? Cell("yes", Tone::kGood) : Cell("no", Tone::kBad),
                  condition.reason().empty() ? "-" : condition.reason(),
                  condition.message().empty() ? "-" : condition.message()});
  }
  return table;
}

Table HandlersTable(const cri::StatusResponse& reply) {
  Table table({"RUNTIME HANDLER", "RECURSIVE READ-ONLY MOUNTS", "USER NAMESPACES"});
  for (const cri::RuntimeHandler& handler : reply.runtime_handlers()) {
    table.AddRow({handler.name().empty() ? "default" : handler.name(),
                  handler.features().recursive_read_only_mounts() ? "yes" : "no",
                  handler.features().user_namespaces() ? "yes" : "no"});
  }
  return table;
}

class InfoCommand : public Command {
 public:
  void Declare(CLI::App& command) override { AddFormatOption(command, &list_); }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    Output& output = invocation.output;
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    cri::StatusRequest request;
    request.set_verbose(true);
    ASSIGN_OR_RETURN(const cri::StatusResponse reply, client.Status(request));
    if (list_.json()) {
      RETURN_IF_ERROR(PrintJson(reply, output));
      return 0;
    }
    PrintTable(ConditionsTable(reply), output);
    output.out << "\n";
    PrintTable(HandlersTable(reply), output);
    const InfoMap info(reply.info().begin(), reply.info().end());
    if (!info.empty()) output.out << "\n" << InfoJson(info) << "\n";
    return 0;
  }

 private:
  ListOptions list_;
};

}  // namespace

std::unique_ptr<Command> MakeInfo() { return std::make_unique<InfoCommand>(); }

}  // namespace berth::cli
