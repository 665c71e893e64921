#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/cli/age.h"
#include "src/cli/commands.h"
#include "src/cli/container_end.h"
#include "src/cli/failure.h"
#include "src/cli/log_tail.h"
#include "src/cli/targets.h"

namespace berth::cli {
namespace {

class LogsCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("CONTAINER", container_, "by id or name")->required();
    command.add_flag("-f,--follow", follow_, "go on until the container has ended");
    command.add_option("--tail", tail_, "start at the last lines")
        ->check(CLI::NonNegativeNumber)
        ->type_name("LINES");
    command.add_option("--since", since_, "start at a time, or so long ago: 10m")
        ->type_name("TIME");
    command.add_flag("-t,--timestamps", options_.timestamps, "begin each line with its time");
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    if (tail_ >= 0) options_.tail = tail_;
    if (!since_.empty()) {
      const auto since = ParseSince(since_, absl::Now());
      if (!since.ok()) return WithExitCode(InContext(since.status(), "--since"), kExitUsage);
      options_.since = *since;
    }
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    ASSIGN_OR_RETURN(const Target target, ResolveTarget(client, container_, Accept::kContainers));
    const absl::Status status = Show(client, target.id, invocation.output);
    if (!status.ok()) return InContext(status, container_);
    return 0;
  }

 private:
  absl::Status Show(Client& client, const std::string& id, Output& output) const {
    ASSIGN_OR_RETURN(const cri::ContainerStatus status, GetContainerStatus(client, id));
    if (status.log_path().empty()) {
      return WithHint(absl::NotFoundError("the container keeps no log"),
                      "its pod was made without a log directory");
    }
    LogTail log(status.log_path(), options_, output);
    if (follow_) {
      EndWatch watch(client, id);
      return FollowLog(log, {.ended = [&] { return watch.Ended(); }});
    }
    RETURN_IF_ERROR(log.Pump().status());
    log.Finish();
    if (log.opened() || status.state() == cri::CONTAINER_CREATED) return absl::OkStatus();
    return absl::NotFoundError(absl::StrCat("its log file ", status.log_path(), " is not there"));
  }

  std::string container_;
  std::string since_;
  int tail_ = -1;
  bool follow_ = false;
  LogOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeLogs() { return std::make_unique<LogsCommand>(); }

}  // namespace berth::cli
