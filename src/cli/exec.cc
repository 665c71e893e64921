#include <CLI/CLI.hpp>

#include "src/base/status_macros.h"
#include "src/cli/commands.h"
#include "src/cli/failure.h"
#include "src/cli/interactive.h"
#include "src/cli/targets.h"

namespace berth::cli {
namespace {

class ExecCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("CONTAINER", container_, "by id or name")->required();
    command
        .add_option("--timeout", timeout_seconds_, "kill the command after this time; 0 for never")
        ->check(CLI::Range(0, 86400))
        ->type_name("SECONDS");
    AddInteractiveFlags(command, &interactive_);
    command.footer("What follows CONTAINER is the command: berth exec web cat /etc/hosts");
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    RETURN_IF_ERROR(RefuseInteractive(interactive_));
    if (invocation.container_command.empty()) {
      return WithExitCode(WithHint(absl::InvalidArgumentError("no command given"),
                                   "berth exec CONTAINER COMMAND [ARGUMENT...]"),
                          kExitUsage);
    }
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    ASSIGN_OR_RETURN(const Target target, ResolveTarget(client, container_, Accept::kContainers));
    cri::ExecSyncRequest request;
    request.set_container_id(target.id);
    request.set_timeout(timeout_seconds_);
    for (const std::string& word : invocation.container_command) request.add_cmd(word);
    const auto reply = client.ExecSync(request);
    if (!reply.ok()) return Explain(reply.status(), target);
    invocation.output.out << reply->stdout() << std::flush;
    invocation.output.err << reply->stderr() << std::flush;
    return reply->exit_code();
  }

 private:
  absl::Status Explain(const absl::Status& status, const Target& target) const {
    absl::Status failure = WithExitCode(InContext(status, container_), LaunchExitCode(status));
    if (target.running) return failure;
    return WithHint(failure, "the container does not run; berth ps lists those that do");
  }

  std::string container_;
  int64_t timeout_seconds_ = 0;
  InteractiveFlags interactive_;
};

}  // namespace

std::unique_ptr<Command> MakeExec() { return std::make_unique<ExecCommand>(); }

}  // namespace berth::cli
