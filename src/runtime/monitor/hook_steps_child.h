// The steps of a plan that run hooks, or wait for others who run them. 0, or -1 with errno and
// *call naming what failed.
#pragma once

#include "src/runtime/monitor/steps_child.h"

namespace berth::monitor {

int StepHook(const Step& step, StepContext* context, const char** call);
int StepAskHooks(const Step& step, StepContext* context, const char** call);

}  // namespace berth::monitor
