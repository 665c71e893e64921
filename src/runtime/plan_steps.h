// The parts that the plans of containers, execs, pods and external runtimes have in common. Only
// the planner's own files use this. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "src/runtime/container_plan.h"
#include "src/runtime/launch_plan.h"

namespace berth {

class Steps {
 public:
  explicit Steps(LaunchPlan* plan) : plan_(plan) {}
  void Add(wire::Op op, std::vector<std::string> strings = {}, int64_t a = 0, int64_t b = 0,
           int64_t c = 0) {
    plan_->steps.push_back({.op = op, .strings = std::move(strings), .a = a, .b = b, .c = c});
  }

 private:
  LaunchPlan* plan_;
};

void AddJoinCgroups(Steps& steps, int tasks);
// The process's stdio: a terminal, or the descriptors from `first_fd` on, one for each wanted
// stream.
void AddExecStreams(Steps& steps, const ExecStreams& streams, int first_fd);
void AddExec(Steps& steps, const std::vector<std::string>& args,
             const std::vector<std::string>& env);
// kAskHooks is not among them: these are carried out by the process itself.
void AddHooks(Steps& steps, const std::vector<Hook>& hooks, const std::string& state);

// "net.ipv4.ip_forward" is the file sys/net/ipv4/ip_forward. A name with '/' is a path already
// (sysctl(8)): its dots belong to names.
std::string SysctlPath(const std::string& name);

// What only the node's root may do to a process and what it then inherits: before a user namespace
// is entered. Its counterpart is AddIdentity.
void AddPrivilegedIdentity(Steps& steps, const ProcessIdentity& identity, bool user_namespace);
// From root inside the container to the process as it was asked for.
void AddIdentity(Steps& steps, const ProcessIdentity& identity);

// Where the descriptors of a start message are (PlanFds).
inline int VolumeFd(const PlanFds& fds, int index) { return fds.cgroup_tasks + index; }
inline int UserNamespaceFd(const PlanFds& fds) { return fds.cgroup_tasks + fds.volumes; }
inline int HostMountsFd(const PlanFds& fds) {
  return UserNamespaceFd(fds) + (fds.user_namespace ? 1 : 0);
}

std::string LowerDirs(const std::vector<std::string>& layers);

// The names below a bundle (HostView) of what is attached there for an external runtime.
std::string BundleRootfs(const std::string& bundle);
std::string BundleMount(const std::string& bundle, size_t index);

}  // namespace berth
