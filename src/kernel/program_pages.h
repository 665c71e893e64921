// What this process holds in memory of the files that it runs: the program and its libraries.
#pragma once

#include "absl/status/status.h"

namespace berth {

// Takes out of the page tables what was read or executed of the program and its libraries so far.
// What is needed again comes back at its next touch by a minor fault, 16 pages at a time (100 to
// 160 faults for the first calls after it, 0.4 ms together).
//
// No memory is free at once by it: these pages are the page cache's, and stay there until the
// kernel wants them for something else. But the resident set is then what is in use, and what only
// a start needed is no longer protected from reclaim by being mapped.
//
// Safe while other threads run. A segment with a page that is this process's own is left as it is,
// since that page would be lost: relocated text, or a breakpoint of a debugger or a uprobe. Fails
// where /proc/self/pagemap cannot be read, which tells those apart.
absl::Status ReleaseProgramPages();

}  // namespace berth
