#include "src/runtime/launch_plan.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/base/status_macros.h"

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
    {Op::kJoinContainer, "join-container", false, false, false},
    {Op::kSetHostname, "set-hostname", false, false, false},
    {Op::kNewSession, "new-session", false, false, false},
    {Op::kPrivateMounts, "private-mounts", false, false, false},
    {Op::kMountOverlay, "mount-overlay", true, false, false},
    {Op::kMount, "mount", true, false, false},
    {Op::kBind, "bind", true, false, true},
    {Op::kMakeNode, "make-node", true, true, false},
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
    {Op::kSetCapabilities, "set-capabilities", true, true, false},
    {Op::kNoNewPrivs, "no-new-privileges", false, false, false},
    {Op::kSeccomp, "load-seccomp", false, false, false},
    {Op::kExec, "exec", false, false, false},
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

std::string Operand(const char* name, int64_t value) {
  return absl::StrFormat(" %s=%s%x", name, value < 0 ? "-" : "0x", value < 0 ? -value : value);
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
  if (text && text->a) line += Operand("a", step.a);
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
      // Environment values may be secrets.
      for (int64_t i = 0; i < step.a; ++i) absl::StrAppend(&line, " ", step.strings[i]);
      absl::StrAppend(&line, " (", step.b, " environment variables)");
      break;
    default:
      for (const std::string& operand : step.strings) absl::StrAppend(&line, " ", operand);
  }
  return line;
}

std::vector<std::string> DescribePlan(const LaunchPlan& plan) {
  std::vector<std::string> lines;
  lines.reserve(plan.steps.size());
  for (const PlanStep& step : plan.steps) lines.push_back(DescribeStep(step));
  return lines;
}

absl::StatusOr<UniqueFd> PlanFd(const LaunchPlan& plan) {
  for (const PlanStep& step : plan.steps) {
    if (step.strings.size() <= wire::kStepMaxStrings) continue;
    return absl::ResourceExhaustedError(absl::StrCat(
        "launch plan: ", step.strings.size(), " arguments and environment variables are too many"));
  }
  const std::string bytes = EncodePlan(plan);
  if (bytes.size() > wire::kPlanMaxBytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "launch plan: ", bytes.size(), " bytes; arguments and environment are too large"));
  }
  UniqueFd file(memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.valid()) return ErrnoStatus("memfd_create", "plan");
  if (write(file.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    return ErrnoStatus("write", "plan");
  }
  if (fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) !=
      0) {
    return ErrnoStatus("seal", "plan");
  }
  return file;
}

}  // namespace berth
