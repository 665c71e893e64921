// The steps of a plan that prepare and exec the process itself. 0, or -1 with errno and *call
// naming what failed.
#pragma once

#include "src/runtime/monitor/steps_child.h"

namespace berth::monitor {

int StepJoinCgroup(const Step& step, StepContext* context, const char** call);
int StepJoinContainerCgroups(const Step& step, StepContext* context, const char** call);
int StepAwaitCgroups(const Step& step, StepContext* context, const char** call);
int StepNewSession(const Step& step, StepContext* context, const char** call);
int StepSetUmask(const Step& step, StepContext* context, const char** call);
int StepStdio(const Step& step, StepContext* context, const char** call);
int StepWriteProc(const Step& step, StepContext* context, const char** call);
int StepSetRlimit(const Step& step, StepContext* context, const char** call);
int StepChdir(const Step& step, StepContext* context, const char** call);
int StepExec(const Step& step, StepContext* context, const char** call);

// What a step that writes the process's oom_score_adj writes; empty for any other.
std::string_view OomScoreAdjOf(const Step& step);

// argv and env of the `count` encoded strings at `strings`, whose memory only the next exec gives
// back. False with errno.
bool MakeArguments(const StepContext& context, const char* strings, uint64_t count, int64_t argc,
                   int64_t envc, char*** argv, char*** env);

}  // namespace berth::monitor
