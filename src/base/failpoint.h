// Points at which tests make a step fail, wait, or be the last of its process: one before each
// durable step, before each step that takes or gives back a kernel resource, and before each
// answer, in berthd, berth-monitor and berth-pull. Programs that are shipped are compiled without
// BERTH_FAILPOINTS and contain nothing of it but a check of the names by the compiler; those of
// build/PRESET/failpoints have them. Stands alone: berth-monitor, which has no C++ runtime, uses it
// too. Thread-safe.
//
// The fault is in kFailpointDirectory/armed, a file of kFailpointArmedBytes that begins with a
// line:
//
//   SERIAL POINT NTH KIND VALUE TIMES     e.g. "17 run_pod.record 1 fail 28 once"
//
// It strikes when a process comes to POINT for the NTH time since it first saw SERIAL: KIND is fail
// (the step fails with the errno VALUE), delay (it waits VALUE milliseconds before the step) or
// kill (SIGKILL of the own process). TIMES is once, which takes the line away before it strikes, or
// always, from the NTH time on. A strike makes the byte at kFailpointStruckAt a 1. Each point that
// is come to is a line of kFailpointDirectory/hits. Without these files nothing happens. They are
// opened when a process comes to its first point, so a program that confines itself has one before;
// it keeps the first of them, which is mapped.
#pragma once

namespace berth {

inline constexpr char kFailpointDirectory[] = "/run/berth-failpoints";
inline constexpr unsigned kFailpointArmedBytes = 4096, kFailpointStruckAt = 512;

// All points, by program and operation.
inline constexpr const char* kFailpoints[] = {
    // berthd
    "store.begin", "store.commit",  //
    "pull.directory", "pull.spawn", "pull.place_tree", "pull.place_layer", "pull.sync",
    "pull.record", "pull.answer",  //
    "run_pod.record", "run_pod.files", "run_pod.state", "run_pod.cgroup", "run_pod.spawn",
    "run_pod.hello", "run_pod.network", "run_pod.hosts", "run_pod.ready",
    "run_pod.answer",  //
    "network.namespace", "network.link", "network.configure", "network.addresses", "network.up",
    "network.ports", "network.release", "network.reap", "network.forget",  //
    "create_container.directory", "create_container.layer", "create_container.record",
    "create_container.answer",  //
    "start_container.volumes", "start_container.log", "start_container.cgroup",
    "start_container.limits", "start_container.open", "start_container.launch",
    "start_container.launched", "start_container.answer",        //
    "node.persist_pod", "node.persist_container", "node.trash",  //
    "exec.launch", "exec.answer",                                //
    "update_container.limits", "update_container.answer",        //
    "recover.hello", "recover.watch", "recover.orphans",         //
    "stop_container.signal", "stop_container.answer",            //
    "remove_container.forget", "remove_container.cgroup", "remove_container.record",
    "remove_container.answer",                                     //
    "stop_pod.containers", "stop_pod.network", "stop_pod.answer",  //
    "remove_pod.monitor", "remove_pod.cgroup", "remove_pod.state", "remove_pod.record",
    "remove_pod.answer",  //
    "remove_image.record", "remove_image.layers", "remove_image.trash", "remove_image.delete",
    // berth-pull
    "pull_worker.start", "pull_worker.layer", "pull_worker.finish", "pull_worker.sync",
    "pull_worker.answer",
    // berth-monitor
    "monitor.begin", "monitor.setup", "monitor.ready", "monitor.start", "monitor.started",
    "monitor.exec", "monitor.zygote", "monitor.stop", "monitor.exit", "monitor.exit_record",
    "monitor.exit_rename", "monitor.announce", "monitor.forget", "monitor.shutdown",
    // its children
    "launch.step", "launch.exec"};

// `name` as it stands in the table; anything else does not compile.
consteval const char* FailpointNamed(const char* name) {
  for (const char* point : kFailpoints) {
    const char* left = point;
    const char* right = name;
    while (*left != '\0' && *left == *right) ++left, ++right;
    if (*left == *right) return point;
  }
  __builtin_abort();
}

// True, with errno set, if the step behind this point is to fail.
bool HitFailpoint(const char* name);

}  // namespace berth

// In front of a system call: `if (FAULT("node.trash") || ::rename(...) != 0) ...`.
#ifdef BERTH_FAILPOINTS
#define FAULT(name) (::berth::HitFailpoint(::berth::FailpointNamed(name)))
#else
#define FAULT(name) (::berth::FailpointNamed(name) == nullptr)
#endif

// Where nothing can fail, but the process can wait or die.
#define FAILPOINT(name) static_cast<void>(FAULT(name))

// In front of a step of a function that returns a status.
#define RETURN_IF_FAULT(name) \
  if (FAULT(name)) return ::berth::ErrnoStatus("failpoint", name)
