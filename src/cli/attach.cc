#include <unistd.h>

#include <CLI/CLI.hpp>

#include "src/base/status_macros.h"
#include "src/cli/commands.h"
#include "src/cli/container_streams.h"
#include "src/cli/failure.h"
#include "src/cli/interactive.h"
#include "src/cli/lifecycle.h"
#include "src/cli/targets.h"

namespace berth::cli {
namespace {

class AttachCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("CONTAINER", container_, "by id or name")->required();
    command.add_flag("--no-stdin", no_stdin_, "only look on");
    command.add_flag("--sig-proxy", sig_proxy_,
                     "Ctrl-C and TERM stop the container; else they leave it running");
    AddDetachKeys(command, &detach_keys_);
    command.footer(
        "Shows what the container writes from now on (berth logs shows what it wrote), until it "
        "ends:\nthe exit code is the container's then.");
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    RETURN_IF_ERROR(CheckInteractive({.detach_keys = detach_keys_}));
    Interrupt interrupt;
    SessionSignals signals;
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    ASSIGN_OR_RETURN(const Target target, ResolveTarget(client, container_, Accept::kContainers));
    const auto code =
        Attach(client, target, {.interrupt = interrupt, .signals = signals}, invocation);
    if (code.ok()) return code;
    return InContext(code.status(), container_);
  }

 private:
  absl::StatusOr<int> Attach(Client& client, const Target& target, const SessionEvents& events,
                             Invocation& invocation) const {
    ASSIGN_OR_RETURN(const ContainerStreams streams, GetContainerStreams(client, target.id));
    const InteractiveFlags flags{.stdin_open = streams.stdin_open && !no_stdin_,
                                 .tty = streams.tty,
                                 .detach_keys = detach_keys_};
    RETURN_IF_ERROR(CheckInteractive(flags));
    SessionOptions options = SessionOptionsOf(flags);
    ASSIGN_OR_RETURN(options.url,
                     client.Attach(MakeAttachRequest(target.id, flags.stdin_open, flags.tty)));
    ASSIGN_OR_RETURN(const SessionEnd end, RunSession(options, events, invocation.output));
    switch (end.kind) {
      case SessionEnd::Kind::kFinished:
      case SessionEnd::Kind::kLost:
        if (!end.failure.ok()) return end.failure;
        return AwaitExitCode(client, target.id);
      case SessionEnd::Kind::kDetached:
        return 0;
      case SessionEnd::Kind::kInterrupted:
        break;
    }
    if (!sig_proxy_) return end.exit_code;
    RETURN_IF_ERROR(StopTarget(client, target, kDefaultGrace));
    return AwaitExitCode(client, target.id);
  }

  std::string container_;
  std::string detach_keys_;
  bool no_stdin_ = false;
  bool sig_proxy_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeAttach() { return std::make_unique<AttachCommand>(); }

}  // namespace berth::cli
