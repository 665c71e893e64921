// The container's terminal.
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include "src/runtime/monitor/channel.h"
#include "src/runtime/monitor/mount_steps_child.h"
#include "src/runtime/monitor/mount_target_child.h"
#include "src/runtime/monitor/paths_child.h"
#include "src/runtime/monitor/step_result.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

// Until a client tells a size: programs take zero for an error, or for a terminal that shows
// nothing.
constexpr unsigned short kDefaultRows = 24, kDefaultColumns = 80;

}  // namespace

int StepTerminal(const Step& step, StepContext* context, const char** call) {
  // Only the container's own devpts can be at /dev/pts, and its ptmx is 5:2; the image cannot put
  // another there.
  const int path = OpenInRoot(context->root, "/dev/pts/ptmx", Links::kRefuse);
  struct stat info;
  if (path < 0 || fstat(path, &info) != 0 || !S_ISCHR(info.st_mode) ||
      info.st_rdev != makedev(5, 2)) {
    errno = ENODEV;
    return Fail(call, "find /dev/pts/ptmx");
  }
  const int directory = OpenInRoot(context->root, "/dev/pts", Links::kRefuse);
  close(path);
  if (directory < 0) return Fail(call, "open /dev/pts");
  const int master = openat(directory, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
  close(directory);
  if (master < 0) return Fail(call, "open ptmx");
  int unlock = 0;
  if (ioctl(master, TIOCSPTLCK, &unlock) != 0) return Fail(call, "unlock pty");
  const bool known = step.a() != 0 && step.b() != 0;
  const winsize size = {.ws_row = known ? static_cast<unsigned short>(step.a()) : kDefaultRows,
                        .ws_col = known ? static_cast<unsigned short>(step.b()) : kDefaultColumns,
                        .ws_xpixel = 0,
                        .ws_ypixel = 0};
  if (ioctl(master, TIOCSWINSZ, &size) != 0) return Fail(call, "size pty");
  context->terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (context->terminal < 0) return Fail(call, "open pty");
  if (!SendChannel(context->channel, {.tag = ChannelTag::kTerminal, .value = 0}, &master, 1))
    return Fail(call, "hand over pty");
  close(master);
  for (int fd = 0; fd <= 2; ++fd) {
    if (dup2(context->terminal, fd) < 0) return Fail(call, "dup2");
  }
  if (ioctl(0, TIOCSCTTY, 0) != 0) return Fail(call, "set controlling terminal");
  return 0;
}

int StepLinkConsole(const Step&, StepContext* context, const char** call) {
  const int tree = sys::OpenTree(context->terminal, "",
                                 AT_EMPTY_PATH | sys::kOpenTreeClone | sys::kOpenTreeCloexec);
  if (tree < 0) return Fail(call, "clone pty");
  const int target = OpenOrMakeInRoot(context->root, "/dev/console", wire::kFile, Links::kRefuse);
  return AttachClosing(tree, {.directory = target}, call);
}

}  // namespace berth::monitor
