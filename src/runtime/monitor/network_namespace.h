// A network namespace for a pod that is still to come: made here, so that no thread of berthd ever
// leaves its own.
#pragma once

namespace berth::monitor {

// Makes it, writes `settings` in it (pairs: a path below /proc/sys, a value; what this kernel does
// not have is left out), and sends over fd 3 an int, 0 or an errno, and the descriptors of the
// namespace and of a netlink socket in it. The exit code.
int MakeNetworkNamespace(char** settings, int count);

}  // namespace berth::monitor
