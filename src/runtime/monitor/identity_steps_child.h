// The steps of a plan that take rights away: user, capabilities, seccomp. 0, or -1 with errno and
// *call naming what failed.
#pragma once

#include "src/runtime/monitor/steps_child.h"

namespace berth::monitor {

int StepSetIdentity(const Step& step, StepContext* context, const char** call);
int StepDropBounding(const Step& step, StepContext* context, const char** call);
int StepSetCapabilities(const Step& step, StepContext* context, const char** call);
int StepSetAmbient(const Step& step, StepContext* context, const char** call);
int StepNoNewPrivs(const Step& step, StepContext* context, const char** call);
int StepSeccomp(const Step& step, StepContext* context, const char** call);

}  // namespace berth::monitor
