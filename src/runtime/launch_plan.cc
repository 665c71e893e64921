#include "src/runtime/launch_plan.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/kernel/sealed_memory.h"

namespace berth {
namespace {

using wire::Op;

// How a step is shown: its name, and which operands say something to a person.
struct OpText {
  Op op;
  const char* name;
  bool a, b, c;
};

constexpr OpText kOps[] = {
    {Op::kJoinCgroup, "join-cgroup", true, false, false},
    {Op::kUnshare, "unshare", true, false, false},
    {Op::kSetNs, "set-namespace", true, true, false},
    {Op::kJoinContainer, "join-container", true, false, false},
    {Op::kSetHostname, "set-hostname", false, false, false},
    {Op::kNewSession, "new-session", false, false, false},
    {Op::kPrivateMounts, "private-mounts", true, false, false},
    {Op::kMountOverlay, "mount-overlay", true, true, false},
    {Op::kMount, "mount", true, false, false},
    {Op::kBind, "bind", true, true, true},
    {Op::kMakeNode, "make-node", true, true, true},
    {Op::kMakeDir, "make-directory", true, false, false},
    {Op::kSymlink, "symlink", false, false, false},
    {Op::kPivotRoot, "pivot-root", false, false, false},
    {Op::kMaskPath, "mask", false, false, false},
    {Op::kReadonlyPath, "read-only", false, false, false},
    {Op::kSetMountAttr, "set-mount-attributes", true, false, false},
    {Op::kStdio, "stdio", true, true, true},
    {Op::kTerminal, "terminal", false, false, false},
    {Op::kLinkConsole, "link-console", false, false, false},
    {Op::kWriteProc, "write-proc", false, false, false},
    {Op::kSetRlimit, "set-rlimit", true, true, true},
    {Op::kChdir, "chdir", false, false, false},
    {Op::kSetIdentity, "set-identity", true, true, false},
    {Op::kDropBounding, "keep-bounding-capabilities", true, false, false},
    {Op::kSetCapabilities, "set-capabilities", true, true, true},
    {Op::kNoNewPrivs, "no-new-privileges", false, false, false},
    {Op::kSeccomp, "load-seccomp", true, false, false},
    {Op::kExec, "exec", false, false, false},
    {Op::kSetAmbient, "set-ambient-capabilities", true, false, false},
    {Op::kOpenTree, "open-tree", true, true, false},
    {Op::kIdmapTree, "id-map-tree", true, true, false},
    {Op::kEnterUserNamespace, "enter-user-namespace", true, true, false},
    {Op::kBindRoot, "bind-root", true, true, false},
    {Op::kMountImage, "mount-image", true, true, true},
    {Op::kSetUmask, "set-umask", true, false, false},
    {Op::kHook, "hook", false, false, true},
    {Op::kAskHooks, "ask-for-hooks", false, false, false},
    {Op::kSetDomainname, "set-domain-name", false, false, false},
    {Op::kCreateUserNamespace, "create-user-namespace", true, false, false},
    {Op::kJoinContainerCgroups, "join-cgroups-of-container", false, false, false},
    {Op::kAwaitCgroups, "await-and-join-cgroups", false, false, false},
};

std::optional<OpText> TextOf(Op op) {
  for (const OpText& text : kOps) {
    if (text.op == op) return text;
  }
  return std::nullopt;
}

void Append(std::string* out, const void* bytes, size_t size) {
  out->append(static_cast<const char*>(bytes), size);
}

// Lists are ended or parted by newlines; a line is a line.
std::string OneLine(absl::string_view text) {
  return absl::StrReplaceAll(absl::StripSuffix(text, "\n"), {{"\n", ","}});
}

// The arguments, which begin at `first`, and how many variables there are: their values may be
// secrets.
void AppendCommand(std::string* line, const PlanStep& step, size_t first) {
  const size_t end = std::min(step.strings.size(), first + static_cast<size_t>(step.a));
  for (size_t i = first; i < end; ++i)
    absl::StrAppend(line, " ", absl::StrReplaceAll(step.strings[i], {{"\n", "\\n"}}));
  absl::StrAppend(line, " (", step.b, " environment variables)");
}

std::string Operand(const char* name, int64_t value) {
  return absl::StrFormat(" %s=%s%x", name, value < 0 ? "-" : "0x", value < 0 ? -value : value);
}

// Operands that name a tree: a descriptor, or what kOpenTree kept.
bool NamesTree(Op op) { return op == Op::kBind || op == Op::kIdmapTree; }

std::string FirstOperand(const PlanStep& step) {
  if (NamesTree(step.op) && step.a < -1) return absl::StrCat(" a=slot", -2 - step.a);
  return Operand("a", step.a);
}

}  // namespace

std::string EncodePlan(const LaunchPlan& plan) {
  std::string out(sizeof(wire::PlanHeader), '\0');
  for (const PlanStep& step : plan.steps) {
    size_t bytes = sizeof(wire::StepHeader);
    for (const std::string& text : step.strings) bytes += sizeof(uint32_t) + text.size() + 1;
    wire::StepHeader header = {};
    header.op = static_cast<uint16_t>(step.op);
    header.string_count = static_cast<uint32_t>(step.strings.size());
    header.bytes = static_cast<uint32_t>(bytes);
    header.a = step.a;
    header.b = step.b;
    header.c = step.c;
    Append(&out, &header, sizeof(header));
    for (const std::string& text : step.strings) {
      const auto length = static_cast<uint32_t>(text.size());
      Append(&out, &length, sizeof(length));
      Append(&out, text.c_str(), text.size() + 1);
    }
  }
  const wire::PlanHeader header = {.magic = wire::kPlanMagic,
                                   .bytes = static_cast<uint32_t>(out.size()),
                                   .step_count = static_cast<uint32_t>(plan.steps.size()),
                                   .reserved = 0};
  std::memcpy(out.data(), &header, sizeof(header));
  return out;
}

std::string DescribeStep(const PlanStep& step) {
  const std::optional<OpText> text = TextOf(step.op);
  std::string line = text ? text->name : absl::StrCat("step-", static_cast<int>(step.op));
  if (text && text->a) line += FirstOperand(step);
  if (text && text->b) line += Operand("b", step.b);
  if (text && text->c) line += Operand("c", step.c);
  switch (step.op) {
    case Op::kSeccomp:
      absl::StrAppend(&line, " ", step.strings[0].size() / 8, " instructions");
      break;
    case Op::kSetIdentity:
      absl::StrAppend(&line, " ", step.strings[0].size() / 4, " groups");
      break;
    case Op::kExec:
      AppendCommand(&line, step, 0);
      break;
    case Op::kHook:  // the state that it reads comes first
      AppendCommand(&line, step, 1);
      break;
    default:
      for (const std::string& operand : step.strings) absl::StrAppend(&line, " ", OneLine(operand));
  }
  return line;
}

std::vector<std::string> DescribePlan(const LaunchPlan& plan) {
  std::vector<std::string> lines;
  lines.reserve(plan.steps.size());
  for (const PlanStep& step : plan.steps) lines.push_back(DescribeStep(step));
  return lines;
}

absl::StatusOr<std::string> PlanBytes(const LaunchPlan& plan) {
  for (const PlanStep& step : plan.steps) {
    if (step.strings.size() <= wire::kStepMaxStrings) continue;
    return absl::ResourceExhaustedError(absl::StrCat(
        "launch plan: ", step.strings.size(), " arguments and environment variables are too many"));
  }
  std::string bytes = EncodePlan(plan);
  if (bytes.size() > wire::kPlanMaxBytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "launch plan: ", bytes.size(), " bytes; arguments and environment are too large"));
  }
  return bytes;
}

absl::StatusOr<UniqueFd> PlanFd(const LaunchPlan& plan) {
  ASSIGN_OR_RETURN(const std::string bytes, PlanBytes(plan));
  return PlanFd(bytes);
}

absl::StatusOr<UniqueFd> PlanFd(absl::string_view bytes) { return SealedMemory("plan", bytes); }

}  // namespace berth
