#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/cli/commands.h"
#include "src/cli/failure.h"
#include "src/cli/targets.h"
#include "src/cli/timeline.h"

namespace berth::cli {
namespace {

// Exit code 1: the object has failed.
class WhyCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command
        .add_option("OBJECT", object_,
                    "a pod or container (id, name, NAMESPACE/POD[/CONTAINER]), or an image")
        ->required();
    AddFormatOption(command, &list_);
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    // What could not be made has no id: its operations are found by its name.
    const absl::StatusOr<Target> target = ResolveTarget(client, object_, Accept::kBoth);
    ASSIGN_OR_RETURN(const v1::ListOperationsResponse operations,
                     client.ListOperations(target.ok() ? target->id : object_));
    v1::ListOperationsResponse shown = operations;
    if (target.ok()) {  // pulls are known by the pod's name only
      ASSIGN_OR_RETURN(const v1::ListOperationsResponse named, client.ListOperations(object_));
      shown = Together(operations, named);
    }
    if (list_.json()) {
      RETURN_IF_ERROR(PrintJson(shown, invocation.output));
      return 0;
    }
    if (shown.operations_size() == 0 && !target.ok()) {
      return WithHint(absl::NotFoundError(absl::StrCat("nothing is known of \"", object_, "\"")),
                      "`berth events` shows what happened lately; the last operations are kept "
                      "until berthd is restarted");
    }
    const TimelineStyle style{.colour = invocation.output.out_colour,
                              .zone = absl::LocalTimeZone()};
    const std::string verdict = RenderVerdict(shown, style);
    std::vector<cri::ContainerStatus> containers;
    if (target.ok()) {
      ASSIGN_OR_RETURN(containers, Containers(client, *target));
    }
    const bool failed =
        !verdict.empty() || std::any_of(containers.begin(), containers.end(), [](const auto& each) {
          return each.state() == cri::CONTAINER_EXITED && each.exit_code() != 0;
        });
    invocation.output.out << RenderTimeline(shown, style) << "\n"
                          << RenderEnds(containers, style) << verdict;
    if (!failed) invocation.output.out << "nothing has failed\n";
    return failed ? 1 : 0;
  }

 private:
  static v1::ListOperationsResponse Together(const v1::ListOperationsResponse& a,
                                             const v1::ListOperationsResponse& b) {
    std::map<std::pair<int64_t, std::string>, v1::Operation> by_time;
    for (const auto* each : {&a, &b}) {
      for (const v1::Operation& operation : each->operations())
        by_time[{operation.started_at(), operation.kind()}] = operation;
    }
    v1::ListOperationsResponse all;
    for (auto& [time, operation] : by_time) *all.add_operations() = std::move(operation);
    return all;
  }

  static absl::StatusOr<std::vector<cri::ContainerStatus>> Containers(Client& client,
                                                                      const Target& target) {
    cri::ListContainersRequest request;
    if (target.kind == TargetKind::kPod) {
      request.mutable_filter()->set_pod_sandbox_id(target.id);
    } else {
      request.mutable_filter()->set_id(target.id);
    }
    ASSIGN_OR_RETURN(const cri::ListContainersResponse listed, client.ListContainers(request));
    std::vector<cri::ContainerStatus> statuses;
    for (const cri::Container& container : listed.containers()) {
      cri::ContainerStatusRequest asked;
      asked.set_container_id(container.id());
      const auto status = client.ContainerStatus(asked);
      if (absl::IsNotFound(status.status())) continue;
      RETURN_IF_ERROR(status.status());
      statuses.push_back(status->status());
    }
    return statuses;
  }

  std::string object_;
  ListOptions list_;
};

}  // namespace

std::unique_ptr<Command> MakeWhy() { return std::make_unique<WhyCommand>(); }

}  // namespace berth::cli
