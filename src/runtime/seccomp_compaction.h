// A shorter seccomp filter that answers the same. libseccomp compares the number of a call with
// each number of the profile; neighbours with one answer need one comparison together. The kernel
// converts and compiles the program each time it is loaded, once per container and per exec, which
// for the 1,400 instructions of the default profile takes longer than the exec.
#pragma once

#include <linux/filter.h>

#include <vector>

namespace berth {

// The answer of each call is the same as before, whatever its architecture and arguments. A program
// that cannot be followed, or does not become shorter, is returned as it is.
std::vector<sock_filter> CompactFilter(std::vector<sock_filter> program);

}  // namespace berth
