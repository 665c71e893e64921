#include <CLI/CLI.hpp>
#include <list>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/cli/age.h"
#include "src/cli/commands.h"
#include "src/cli/container_end.h"
#include "src/cli/failure.h"
#include "src/cli/log_tail.h"
#include "src/cli/previous_log.h"
#include "src/cli/targets.h"

namespace berth::cli {
namespace {

class LogsCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("CONTAINER", container_, "by id or name; of a pod, all its containers")
        ->required();
    command.add_flag("-f,--follow", follow_, "go on until the container has ended");
    command.add_option("-n,--tail", tail_, "start at the last lines")
        ->check(CLI::NonNegativeNumber)
        ->type_name("LINES");
    command.add_option("--since", since_, "start at a time, or so long ago: 10m")
        ->type_name("TIME");
    command.add_option("--until", until_, "end before a time, or so long ago")->type_name("TIME");
    command.add_flag("-t,--timestamps", options_.timestamps, "begin each line with its time");
    command.add_flag("-p,--previous", previous_, "of the container before it, of the same name");
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    if (tail_ >= 0) options_.tail = tail_;
    RETURN_IF_ERROR(ReadTime("--since", since_, &options_.since));
    RETURN_IF_ERROR(ReadTime("--until", until_, &options_.until));
    if (follow_ && previous_) {
      return WithExitCode(absl::InvalidArgumentError("-f with -p: nothing is added to that log"),
                          kExitUsage);
    }
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    ASSIGN_OR_RETURN(const std::vector<Target> targets, ListTargets(client));
    ASSIGN_OR_RETURN(const Target target, FindTarget(targets, container_, Accept::kBoth));
    const absl::Status status = Show(client, ContainersOf(target, targets), invocation.output);
    if (!status.ok()) return InContext(status, container_);
    return 0;
  }

 private:
  static absl::Status ReadTime(const char* option, const std::string& text, absl::Time* time) {
    if (text.empty()) return absl::OkStatus();
    const auto read = ParseSince(text, absl::Now());
    if (!read.ok()) return WithExitCode(InContext(read.status(), option), kExitUsage);
    *time = *read;
    return absl::OkStatus();
  }

  static std::vector<Target> ContainersOf(const Target& target,
                                          const std::vector<Target>& targets) {
    if (target.kind == TargetKind::kContainer) return {target};
    std::vector<Target> containers;
    for (const Target& one : targets) {
      if (one.kind == TargetKind::kContainer && one.pod_id == target.id) containers.push_back(one);
    }
    return containers;
  }

  absl::Status Show(Client& client, const std::vector<Target>& containers, Output& output) const {
    std::list<LogTail> logs;
    std::list<EndWatch> watches;
    std::vector<FollowedLog> followed;
    for (const Target& container : containers) {
      ASSIGN_OR_RETURN(const cri::ContainerStatus status, GetContainerStatus(client, container.id));
      ASSIGN_OR_RETURN(const std::string path, LogPathOf(client, container, status));
      LogOptions options = options_;
      if (containers.size() > 1) options.prefix = absl::StrCat(container.name, " | ");
      LogTail& log = logs.emplace_back(path, options, output);
      EndWatch& watch = watches.emplace_back(client, container.id);
      followed.push_back({.log = &log, .ended = [&watch] { return watch.Ended(); }});
      if (!follow_) RETURN_IF_ERROR(ShowNow(log, path, status));
    }
    return follow_ ? FollowLogs(std::move(followed), {}) : absl::OkStatus();
  }

  absl::StatusOr<std::string> LogPathOf(Client& client, const Target& container,
                                        const cri::ContainerStatus& status) const {
    if (status.log_path().empty()) {
      return WithHint(absl::NotFoundError("the container keeps no log"),
                      "its pod was made without a log directory");
    }
    if (!previous_) return status.log_path();
    return PreviousLogPath(client, container.pod_id, status);
  }

  absl::Status ShowNow(LogTail& log, const std::string& path,
                       const cri::ContainerStatus& status) const {
    RETURN_IF_ERROR(log.Pump().status());
    log.Finish();
    const bool may_be_missing = status.state() == cri::CONTAINER_CREATED && !previous_;
    if (log.opened() || may_be_missing) return absl::OkStatus();
    return absl::NotFoundError(absl::StrCat("its log file ", path, " is not there"));
  }

  std::string container_;
  std::string since_, until_;
  int tail_ = -1;
  bool follow_ = false, previous_ = false;
  LogOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeLogs() { return std::make_unique<LogsCommand>(); }

}  // namespace berth::cli
