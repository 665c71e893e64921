// berth-monitor --oci: starts one process for berth-oci (src/oci/launch.h), and ends. The process
// is a child of berth-oci, not of this one, so that it becomes a child of whoever called berth-oci
// when that ends. Messages as in monitor_protocol.h: kHooksDue and kSeccompListener are answered by
// kHooksDone; then kError, or kStarted (with the terminal's master if the plan has kTerminal).
//
//   berth-monitor --oci CLONE_FLAGS FD_COUNT CGROUP PID_NAMESPACE CONTAINER START RESULT KEYRING
//
// CGROUP, PID_NAMESPACE and CONTAINER are indexes among the FD_COUNT plan descriptors, or -1, as
// ChildRequest (child.h) has them. With START (a fifo, open for reading and writing) the process
// waits for a byte there between the first plan and the second, and "started" means that it waits;
// a failure after that is written to RESULT (another fifo) as a wire::ErrorReply, its step counted
// from the second plan's begin, and success is that RESULT is closed. KEYRING 1: a new session
// keyring.
#pragma once

namespace berth::monitor {

// Returns the exit code. `arguments` are the eight after "--oci".
int RunOciLauncher(char** arguments);

}  // namespace berth::monitor
