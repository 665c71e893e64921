// A node of one's own for a test process: new mount, network, PID, IPC and UTS namespaces, so that
// what the leak oracle sees is what the tests did, and nothing that they do reaches the machine.
// Cgroups are shared with the machine; every directory made there is below one named NodeName().
#pragma once

#include <string>

namespace berth::e2e {

// Of a program whose tests cannot run here; ctest knows it (SKIP_RETURN_CODE).
inline constexpr int kSkippedExitCode = 77;

// True if $BERTH_E2E_OWN_MACHINE is 1: the whole machine is the tests' own (User-mode Linux), and
// they stay in its PID namespace, so that its systemd knows their processes. What they start then
// dies with the machine, not with them.
bool MachineIsOwn();

// Whether the kernel is User-mode Linux (hack/cgroup2): what it counts and what time it is are the
// tests' own to set.
bool KernelIsOwn();

// Called first in main(), before any thread exists. Does not return in the calling process: that
// one waits, removes cgroups and files that are left, and exits with the tests' exit code (or
// kSkippedExitCode with the reason on stderr if it may not create namespaces). Returns in a process
// whose parent is a reaper: pid 1, and everything started from it dies with it, unless
// MachineIsOwn().
void EnterOwnNode();

// "berth-e2e-<pid outside>": unique on this machine.
const std::string& NodeName();

// The directory for everything the tests write: $BERTH_E2E_BASE or /var/tmp, then NodeName().
// Removed at exit.
const std::string& NodeDir();

}  // namespace berth::e2e
