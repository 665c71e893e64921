// The file system of a container as steps of a plan: its root, mounts, device nodes, and what is
// hidden of it. Only the planner's own files use this. Pure.
#pragma once

#include <map>
#include <string>

#include "src/runtime/plan_steps.h"

namespace berth {

class MountPlan {
 public:
  // All are borrowed for the life of this.
  MountPlan(const ContainerSpec& spec, const NodeFacts& node, const PlanFds& fds, Steps& steps)
      : spec_(spec), node_(node), fds_(fds), steps_(steps) {}

  // Sources that can be had neither in the host's mount namespace (HostView) nor by the root of a
  // user namespace are opened, and mapped, while the plan is still where it began.
  void OpenTrees();
  // The trees of volumes that a user namespace is to see with its own ids.
  void MapVolumes();
  void AddRoot();
  // With PlanFds::late_cgroups the process is in its cgroups behind these, not before.
  void AddMounts();
  void AddDevices();
  void AddProtections();

  // For an external runtime, which mounts by itself: what it is to take is attached below `bundle`.
  // Before AddRoot: the root is still "/".
  void AttachSources(const std::string& bundle);

 private:
  // The operand of kBind for a source, and whether it is a path instead (operand -1).
  struct Source {
    int64_t tree = -1;
    std::string path;
  };
  Source SourceOf(int fd_index, const std::string& view_path) const;
  void OpenTree(const std::string& view_path, bool recursive, bool idmapped);
  void OpenImages();
  void AddBind(const MountSpec& mount, const std::string& target);
  void AddFileSystem(const MountSpec& mount);
  void AddCgroup(const MountSpec& mount);
  void AwaitCgroups();
  int64_t CgroupViewOperand(int hierarchy) const;
  std::string UnifiedOptions(const char* of_own_namespace) const;
  void AddCgroupV1(const MountSpec& mount);
  void AddImage(const MountSpec& mount, const std::string& target, int64_t slot_plus_one);
  void AddDevice(const DeviceSpec& device);
  bool NewDev() const;
  std::string DataDir() const;
  int64_t MappingFd() const { return fds_.user_namespace ? UserNamespaceFd(fds_) : -1; }

  const ContainerSpec& spec_;
  const NodeFacts& node_;
  const PlanFds& fds_;
  Steps& steps_;
  std::map<std::string, int64_t> trees_;        // view path -> slot
  std::map<const MountSpec*, int64_t> images_;  // kImage -> slot
  int next_slot_ = 0;
  bool cgroups_awaited_ = false;
};

}  // namespace berth
