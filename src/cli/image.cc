// `berth image ACTION`: a small table of commands of its own.
#include <CLI/CLI.hpp>
#include <utility>
#include <vector>

#include "src/cli/commands.h"
#include "src/cli/failure.h"

namespace berth::cli {
namespace {

struct Action {
  const char* name;
  const char* about;
  std::unique_ptr<Command> (*make)();
};

constexpr Action kActions[] = {
    {"ls", "list images", MakeImages},
    {"pull", "download an image", MakePull},
    {"pulls", "show the downloads that run at this moment", MakeImagePulls},
    {"inspect", "show all about an image as JSON", MakeImageInspect},
    {"history", "show what made each layer of an image", MakeImageHistory},
    {"tag", "give an image a further name", MakeImageTag},
    {"untag", "take a name away; the image stays", MakeImageUntag},
    {"rm", "remove images", MakeRmi},
    {"verify", "compare unpacked layers with what was pulled", MakeImageVerify},
    {"gc", "remove what nothing needs any more", MakeImageGc},
};

class ImageCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    for (const Action& action : kActions) {
      CLI::App* app = command.add_subcommand(action.name, action.about)->fallthrough();
      actions_.push_back({app, action.make()});
      actions_.back().second->Declare(*app);
    }
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    for (const auto& [app, action] : actions_) {
      if (!app->parsed()) continue;
      absl::StatusOr<int> code = action->Run(invocation);
      if (!code.ok()) return InContext(code.status(), app->get_name());
      return code;
    }
    return WithExitCode(WithHint(absl::InvalidArgumentError("no action given"),
                                 "berth image --help lists the actions"),
                        kExitUsage);
  }

 private:
  std::vector<std::pair<CLI::App*, std::unique_ptr<Command>>> actions_;
};

}  // namespace

std::unique_ptr<Command> MakeImage() { return std::make_unique<ImageCommand>(); }

}  // namespace berth::cli
