#include "src/cli/timeline.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/cli/hints.h"
#include "src/cli/table.h"
#include "src/cli/terminal_text.h"

namespace berth::cli {
namespace {

constexpr char kOk[] = "OK";

std::string FailedStage(const v1::Operation& operation) {
  return operation.stages_size() == 0 ? "" : operation.stages(operation.stages_size() - 1).name();
}

std::string Stages(const v1::Operation& operation) {
  std::string text;
  for (const v1::OperationStage& stage : operation.stages()) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", OneLine(stage.name()), " ",
                    ShortDuration(absl::Nanoseconds(stage.took())));
  }
  return text;
}

std::string Time(int64_t at, const TimelineStyle& style) {
  return absl::FormatTime("%H:%M:%E3S", absl::FromUnixNanos(at), style.zone);
}

Cell Result(const v1::Operation& operation) {
  if (operation.running()) return {"running", Tone::kPlain};
  if (operation.code() == kOk) return {"ok", Tone::kGood};
  const std::string stage = FailedStage(operation);
  return {stage.empty() ? "FAILED" : absl::StrCat("FAILED in ", stage), Tone::kBad};
}

}  // namespace

std::string ShortDuration(absl::Duration duration) {
  if (duration < absl::Milliseconds(1000))
    return absl::StrFormat("%.1f ms", absl::ToDoubleMilliseconds(duration));
  return absl::StrFormat("%.1f s", absl::ToDoubleSeconds(duration));
}

std::string RenderTimeline(const v1::ListOperationsResponse& operations,
                           const TimelineStyle& style) {
  Table table({"TIME", "OPERATION", "OF", "TOOK", "RESULT", "STAGES"});
  for (const v1::Operation& operation : operations.operations()) {
    table.AddRow({Time(operation.started_at(), style),
                  operation.kind(),
                  operation.subject(),
                  operation.running() ? "-" : ShortDuration(absl::Nanoseconds(operation.took())),
                  Result(operation),
                  {Stages(operation), Tone::kFaint}});
  }
  return table.Render(style.colour);
}

std::string RenderVerdict(const v1::ListOperationsResponse& operations,
                          const TimelineStyle& style) {
  const v1::Operation* failure = nullptr;
  std::map<std::pair<std::string, std::string>, bool> made_good;
  for (int i = operations.operations_size() - 1; i >= 0 && failure == nullptr; --i) {
    const v1::Operation& operation = operations.operations(i);
    if (operation.running()) continue;
    bool& good = made_good[{operation.kind(), operation.subject()}];
    if (operation.code() != kOk && !good) failure = &operation;
    good = good || operation.code() == kOk;
  }
  if (failure == nullptr) return "";
  const std::string stage = FailedStage(*failure);
  std::string text = absl::StrCat(
      Paint(absl::StrCat(failure->kind(), " of ", OneLine(failure->subject()), " failed",
                         stage.empty() ? "" : absl::StrCat(" in its step \"", stage, "\"")),
            Tone::kBad, style.colour),
      "\n  cause: ", OneLine(failure->message()), "\n");
  const std::string hint = HintFor(failure->kind(), stage, failure->message());
  if (!hint.empty()) absl::StrAppend(&text, "  hint:  ", hint, "\n");
  return text;
}

std::string RenderEnds(const std::vector<cri::ContainerStatus>& containers,
                       const TimelineStyle& style) {
  std::string text;
  for (const cri::ContainerStatus& status : containers) {
    absl::StrAppend(&text, "container ", OneLine(status.metadata().name()), ": ");
    if (status.state() != cri::CONTAINER_EXITED) {
      absl::StrAppend(&text, status.state() == cri::CONTAINER_RUNNING ? "runs" : "is created",
                      "\n");
      continue;
    }
    const bool failed = status.exit_code() != 0;
    absl::StrAppend(
        &text,
        Paint(absl::StrCat("exited with ", status.exit_code(), " (", OneLine(status.reason()), ")"),
              failed ? Tone::kBad : Tone::kPlain, style.colour),
        " at ", Time(status.finished_at(), style),
        status.started_at() == 0
            ? ", never started"
            : absl::StrCat(", after ", ShortDuration(absl::Nanoseconds(status.finished_at() -
                                                                       status.started_at()))),
        "\n");
    if (!status.message().empty())
      absl::StrAppend(&text, "  cause: ", OneLine(status.message()), "\n");
    const std::string hint =
        status.reason() == "StartError" ? "" : HintForEnd(status.reason(), status.exit_code());
    if (!hint.empty()) absl::StrAppend(&text, "  hint:  ", hint, "\n");
  }
  return text;
}

}  // namespace berth::cli
