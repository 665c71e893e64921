// The steps of a plan that make and enter namespaces. 0, or -1 with errno and *call naming what
// failed.
#pragma once

#include "src/runtime/monitor/steps_child.h"

namespace berth::monitor {

int StepUnshare(const Step& step, StepContext* context, const char** call);
int StepSetNs(const Step& step, StepContext* context, const char** call);
int StepJoinContainer(const Step& step, StepContext* context, const char** call);
int StepSetHostname(const Step& step, StepContext* context, const char** call);
int StepSetDomainname(const Step& step, StepContext* context, const char** call);
int StepCreateUserNamespace(const Step& step, StepContext* context, const char** call);
int StepEnterUserNamespace(const Step& step, StepContext* context, const char** call);

// Makes the calling process root of the user namespace that it has just entered.
int BecomeRoot(const char** call);

}  // namespace berth::monitor
