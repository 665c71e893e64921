// The steps of a plan that build the container's file system. 0, or -1 with errno and *call naming
// what failed.
#pragma once

#include "src/runtime/monitor/steps_child.h"

namespace berth::monitor {

int StepPrivateMounts(const Step& step, StepContext* context, const char** call);
int StepMountOverlay(const Step& step, StepContext* context, const char** call);
int StepMount(const Step& step, StepContext* context, const char** call);
int StepBind(const Step& step, StepContext* context, const char** call);
int StepMakeNode(const Step& step, StepContext* context, const char** call);
int StepMakeDir(const Step& step, StepContext* context, const char** call);
int StepSymlink(const Step& step, StepContext* context, const char** call);
int StepPivotRoot(const Step& step, StepContext* context, const char** call);
int StepMaskPath(const Step& step, StepContext* context, const char** call);
int StepReadonlyPath(const Step& step, StepContext* context, const char** call);
int StepSetMountAttr(const Step& step, StepContext* context, const char** call);
int StepTerminal(const Step& step, StepContext* context, const char** call);
int StepLinkConsole(const Step& step, StepContext* context, const char** call);

// A detached procfs of the calling process's own pid namespace in context->proc, unless there is
// one.
int EnsureProc(StepContext* context, const char** call);

}  // namespace berth::monitor
