#include <CLI/CLI.hpp>

#include "src/base/status_macros.h"
#include "src/cli/commands.h"
#include "src/cli/for_each.h"
#include "src/cli/lifecycle.h"

namespace berth::cli {
namespace {

class RmCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("ID", objects_, "containers or pods, by id or name")->required();
    command.add_flag("-f,--force", force_, "stop first what still runs");
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    ASSIGN_OR_RETURN(const std::vector<Target> targets, ListTargets(client));
    const RemoveOptions options{.force = force_, .socket = invocation.socket};
    return ForEach(
        "rm", objects_, invocation.output, [&](const std::string& object) -> absl::Status {
          ASSIGN_OR_RETURN(const Target target, FindTarget(targets, object, Accept::kBoth));
          return RemoveTarget(client, target, options);
        });
  }

 private:
  std::vector<std::string> objects_;
  bool force_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeRm() { return std::make_unique<RmCommand>(); }

}  // namespace berth::cli
