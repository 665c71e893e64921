#include <poll.h>

#include <CLI/CLI.hpp>

#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/cli/commands.h"
#include "src/cli/interrupt.h"
#include "src/cli/list_tables.h"
#include "src/cli/targets.h"

namespace berth::cli {
namespace {

constexpr absl::Duration kBetweenSamples = absl::Seconds(1);

class StatsCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("CONTAINER", container_, "one container only, by id or name");
    command.add_flag("--watch", watch_, "go on until Ctrl-C");
    command.add_flag("--no-trunc", list_.no_trunc, "do not shorten ids");
    AddFormatOption(command, &list_);
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    Interrupt interrupt;
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    cri::ListContainerStatsRequest request;
    if (!container_.empty()) {
      ASSIGN_OR_RETURN(const Target target, ResolveTarget(client, container_, Accept::kContainers));
      request.mutable_filter()->set_id(target.id);
    }
    ASSIGN_OR_RETURN(cri::ListContainerStatsResponse before, client.ListContainerStats(request));
    if (list_.json()) {
      RETURN_IF_ERROR(PrintJson(before, invocation.output));
      return 0;
    }
    do {
      if (Wait(interrupt)) return 0;
      ASSIGN_OR_RETURN(cri::ListContainerStatsResponse after, client.ListContainerStats(request));
      if (watch_ && invocation.output.out_live) invocation.output.out << "\x1b[H\x1b[2J";
      PrintTable(StatsTable(before, after, {.now = absl::Now(), .no_trunc = list_.no_trunc}),
                 invocation.output);
      invocation.output.out.flush();
      before = std::move(after);
    } while (watch_);
    return 0;
  }

 private:
  // True if the user wants to end.
  static bool Wait(Interrupt& interrupt) {
    pollfd fd = {.fd = interrupt.fd(), .events = POLLIN};
    poll(&fd, 1, static_cast<int>(absl::ToInt64Milliseconds(kBetweenSamples)));
    return interrupt.Take();
  }

  std::string container_;
  bool watch_ = false;
  ListOptions list_;
};

}  // namespace

std::unique_ptr<Command> MakeStats() { return std::make_unique<StatsCommand>(); }

}  // namespace berth::cli
