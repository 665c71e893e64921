// Where steps attach mounts and make entries: in a file system that the plan itself has just
// mounted, or where a path leads below the container's root.
#pragma once

#include "src/runtime/monitor/steps_child.h"

namespace berth::monitor {

struct MountTarget {
  int directory = -1;  // -1 with errno: there is none
  const char* name =
      "";  // in a directory of the plan's own; "": the directory itself, to be closed
};

// The root of a tmpfs that the plan has mounted at `path`, borrowed; -1 if it has none there, or
// has let go of it.
int OwnDirectory(const StepContext& context, std::string_view path);
// Makes the last component of `path` in the plan's own directory that holds it, where nothing of
// that name may be yet: no link can lead elsewhere, and no mount be there. False if there is no
// such directory, or something is there.
bool MakeInOwn(const StepContext& context, std::string_view path, wire::PathKind kind,
               MountTarget* target);
// Takes the mount of a tmpfs that was attached at `path`, which no link led to.
void KeepOwn(int mount, std::string_view path, StepContext* context);
// Lets go of what a mount at `path` has covered.
void LeaveCovered(std::string_view path, StepContext* context);
// Lets go of all: what is done next may cover them.
void LeaveOwn(StepContext* context);

// Mounts `tree` on `target`, which is let go of.
int Attach(int tree, const MountTarget& target, const char** call);
// The same; `tree` is closed.
int AttachClosing(int tree, const MountTarget& target, const char** call);

}  // namespace berth::monitor
