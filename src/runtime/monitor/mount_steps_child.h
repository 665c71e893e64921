// The steps of a plan that build the container's file system. 0, or -1 with errno and *call naming
// what failed. By topic in root_steps_child.cc, bind_steps_child.cc, mount_steps_child.cc,
// terminal_steps_child.cc.
#pragma once

#include "src/runtime/monitor/steps_child.h"

namespace berth::monitor {

int StepPrivateMounts(const Step& step, StepContext* context, const char** call);
int StepMountOverlay(const Step& step, StepContext* context, const char** call);
int StepBindRoot(const Step& step, StepContext* context, const char** call);
int StepMountImage(const Step& step, StepContext* context, const char** call);
int StepPivotRoot(const Step& step, StepContext* context, const char** call);
int StepOpenTree(const Step& step, StepContext* context, const char** call);
int StepIdmapTree(const Step& step, StepContext* context, const char** call);
int StepBind(const Step& step, StepContext* context, const char** call);
int StepMount(const Step& step, StepContext* context, const char** call);
int StepMakeNode(const Step& step, StepContext* context, const char** call);
int StepMakeDir(const Step& step, StepContext* context, const char** call);
int StepSymlink(const Step& step, StepContext* context, const char** call);
// Of the three above: what they make goes through a descriptor of its directory, which is let go of
// before any other step.
void LeaveParent(StepContext* context);
int StepMaskPath(const Step& step, StepContext* context, const char** call);
int StepReadonlyPath(const Step& step, StepContext* context, const char** call);
int StepSetMountAttr(const Step& step, StepContext* context, const char** call);
int StepTerminal(const Step& step, StepContext* context, const char** call);
int StepLinkConsole(const Step& step, StepContext* context, const char** call);

// A detached procfs of the calling process's own pid namespace in context->proc, unless there is
// one.
int EnsureProc(StepContext* context, const char** call);

// In a copy of the mount namespace that another user namespace owns, all mounts are locked to each
// other, and pivot_root(2) refuses a locked one: puts a clone of the root over the root. The
// present directory is the root: the copy has taken it along, where a path may be closed to the new
// owner.
int ReopenRoot(StepContext* context, const char** call);

// Sets the '\n'-joined options "key=value" or "flag" on a file system context. False with errno.
bool SetOptions(int context, std::string_view options);
// A detached mount of a new file system, or -1.
int NewMount(const char* type, std::string_view options, uint64_t attributes);
// Puts a detached tree, which it takes, into a slot.
int KeepTree(int tree, int64_t slot, StepContext* context, const char** call);
// Is the file on procfs or sysfs?
bool IsOnKernelFs(int fd);

}  // namespace berth::monitor
