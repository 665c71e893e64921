#include "src/runtime/monitor/mount_target_child.h"

#include <sys/stat.h>

#include "src/runtime/monitor/step_result.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

bool IsAtOrBelow(std::string_view path, std::string_view directory) {
  return path.substr(0, directory.size()) == directory &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

void Leave(OwnMount* own) {
  CloseKeepingErrno(own->root);
  own->root = -1;
}

}  // namespace

int OwnDirectory(const StepContext& context, std::string_view path) {
  for (const OwnMount& own : context.own) {
    if (own.root >= 0 && own.path == path) return own.root;
  }
  return -1;
}

bool MakeInOwn(const StepContext& context, std::string_view path, wire::PathKind kind,
               MountTarget* target) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return false;
  const int directory = OwnDirectory(context, path.substr(0, slash));
  if (directory < 0) return false;
  const char* name = path.data() + slash + 1;
  const int made = kind == wire::kFile ? mknodat(directory, name, S_IFREG | 0644, 0)
                                       : mkdirat(directory, name, 0755);
  if (made != 0) return false;
  *target = {.directory = directory, .name = name};
  return true;
}

void KeepOwn(int mount, std::string_view path, StepContext* context) {
  for (OwnMount& own : context->own) {
    if (own.root >= 0) continue;
    own = {.root = mount, .path = path};
    return;
  }
  close(mount);
}

void LeaveCovered(std::string_view path, StepContext* context) {
  for (OwnMount& own : context->own) {
    if (own.root >= 0 && IsAtOrBelow(own.path, path)) Leave(&own);
  }
}

void LeaveOwn(StepContext* context) {
  for (OwnMount& own : context->own) Leave(&own);
}

int Attach(int tree, const MountTarget& target, const char** call) {
  if (target.directory < 0) return Fail(call, "open target");
  const int moved = sys::MoveMount(tree, target.directory, target.name);
  if (*target.name == '\0') CloseKeepingErrno(target.directory);
  return moved == 0 ? 0 : Fail(call, "move_mount");
}

int AttachClosing(int tree, const MountTarget& target, const char** call) {
  const int attached = Attach(tree, target, call);
  CloseKeepingErrno(tree);
  return attached;
}

}  // namespace berth::monitor
