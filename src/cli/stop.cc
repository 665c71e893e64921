#include <CLI/CLI.hpp>

#include "src/base/status_macros.h"
#include "src/cli/commands.h"
#include "src/cli/for_each.h"
#include "src/cli/lifecycle.h"

namespace berth::cli {
namespace {

class StopCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("ID", objects_, "containers or pods, by id or name")->required();
    command
        .add_option("-t,--time", grace_seconds_, "how long to wait before a container is killed")
        ->check(CLI::Range(0, 86400))
        ->capture_default_str()
        ->type_name("SECONDS");
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    ASSIGN_OR_RETURN(const std::vector<Target> targets, ListTargets(client));
    return ForEach(
        "stop", objects_, invocation.output, [&](const std::string& object) -> absl::Status {
          ASSIGN_OR_RETURN(const Target target, FindTarget(targets, object, Accept::kBoth));
          return StopTarget(client, target, absl::Seconds(grace_seconds_));
        });
  }

 private:
  std::vector<std::string> objects_;
  int64_t grace_seconds_ = absl::ToInt64Seconds(kDefaultGrace);
};

}  // namespace

std::unique_ptr<Command> MakeStop() { return std::make_unique<StopCommand>(); }

}  // namespace berth::cli
