#include "src/runtime/monitor/steps_child.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/failpoint.h"
#include "src/runtime/monitor/hook_steps_child.h"
#include "src/runtime/monitor/identity_steps_child.h"
#include "src/runtime/monitor/mount_steps_child.h"
#include "src/runtime/monitor/mount_target_child.h"
#include "src/runtime/monitor/namespace_steps_child.h"
#include "src/runtime/monitor/process_steps_child.h"

namespace berth::monitor {
namespace {

struct Operation {
  wire::Op op;
  int (*run)(const Step& step, StepContext* context, const char** call);
};

constexpr Operation kOperations[] = {
    {wire::Op::kJoinCgroup, StepJoinCgroup},
    {wire::Op::kUnshare, StepUnshare},
    {wire::Op::kSetNs, StepSetNs},
    {wire::Op::kJoinContainer, StepJoinContainer},
    {wire::Op::kSetHostname, StepSetHostname},
    {wire::Op::kNewSession, StepNewSession},
    {wire::Op::kPrivateMounts, StepPrivateMounts},
    {wire::Op::kMountOverlay, StepMountOverlay},
    {wire::Op::kMount, StepMount},
    {wire::Op::kBind, StepBind},
    {wire::Op::kMakeNode, StepMakeNode},
    {wire::Op::kMakeDir, StepMakeDir},
    {wire::Op::kSymlink, StepSymlink},
    {wire::Op::kPivotRoot, StepPivotRoot},
    {wire::Op::kMaskPath, StepMaskPath},
    {wire::Op::kReadonlyPath, StepReadonlyPath},
    {wire::Op::kSetMountAttr, StepSetMountAttr},
    {wire::Op::kStdio, StepStdio},
    {wire::Op::kTerminal, StepTerminal},
    {wire::Op::kLinkConsole, StepLinkConsole},
    {wire::Op::kWriteProc, StepWriteProc},
    {wire::Op::kSetRlimit, StepSetRlimit},
    {wire::Op::kChdir, StepChdir},
    {wire::Op::kSetIdentity, StepSetIdentity},
    {wire::Op::kDropBounding, StepDropBounding},
    {wire::Op::kSetCapabilities, StepSetCapabilities},
    {wire::Op::kNoNewPrivs, StepNoNewPrivs},
    {wire::Op::kSeccomp, StepSeccomp},
    {wire::Op::kExec, StepExec},
    {wire::Op::kSetAmbient, StepSetAmbient},
    {wire::Op::kOpenTree, StepOpenTree},
    {wire::Op::kIdmapTree, StepIdmapTree},
    {wire::Op::kEnterUserNamespace, StepEnterUserNamespace},
    {wire::Op::kBindRoot, StepBindRoot},
    {wire::Op::kMountImage, StepMountImage},
    {wire::Op::kSetUmask, StepSetUmask},
    {wire::Op::kHook, StepHook},
    {wire::Op::kAskHooks, StepAskHooks},
    {wire::Op::kSetDomainname, StepSetDomainname},
    {wire::Op::kCreateUserNamespace, StepCreateUserNamespace},
    {wire::Op::kJoinContainerCgroups, StepJoinContainerCgroups},
    {wire::Op::kAwaitCgroups, StepAwaitCgroups},
};

bool MakesEntry(wire::Op op) {
  return op == wire::Op::kMakeNode || op == wire::Op::kMakeDir || op == wire::Op::kSymlink;
}

bool KnowsWhatItCovers(const Step& step) {
  const wire::Op op = step.op();
  if (op == wire::Op::kUnshare) return (step.a() & CLONE_NEWNS) == 0;
  return MakesEntry(op) || op == wire::Op::kMount || op == wire::Op::kBind ||
         op == wire::Op::kSetMountAttr || op == wire::Op::kAwaitCgroups;
}

int RunStep(const Step& step, StepContext* context, const char** call) {
  if (!MakesEntry(step.op())) LeaveParent(context);
  if (!KnowsWhatItCovers(step)) LeaveOwn(context);
  if (FAULT("launch.step") || (step.op() == wire::Op::kExec && FAULT("launch.exec"))) {
    *call = "failpoint";
    return -1;
  }
  for (const Operation& operation : kOperations) {
    if (operation.op == step.op()) return operation.run(step, context, call);
  }
  errno = ENOSYS;
  *call = "unknown step";
  return -1;
}

char call_text[48];

}  // namespace

char* CallText(const char* what, long number) {
  size_t at = strlen(what);
  memcpy(call_text, what, at);
  char digits[20];
  int count = 0;
  do {
    digits[count++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number > 0);
  while (count > 0 && at + 1 < sizeof(call_text)) call_text[at++] = digits[--count];
  call_text[at] = '\0';
  return call_text;
}

StepFailure RunSteps(const Plan& plan, StepContext* context) {
  const mode_t old_mask = umask(0);
  const char* at = plan.begin();
  for (uint32_t i = 0; i < plan.step_count(); ++i) {
    const Step step(at);
    if (step.op() == wire::Op::kExec) umask(context->umask);
    const char* call = "";
    if (RunStep(step, context, &call) != 0) {
      StepFailure failure = {.step = static_cast<int>(i), .error = errno, .call = call};
      LeaveParent(context);
      LeaveOwn(context);
      umask(old_mask);
      return failure;
    }
    at += step.bytes();
  }
  LeaveParent(context);
  LeaveOwn(context);
  umask(old_mask);
  return {};
}

}  // namespace berth::monitor
