// The end of a pod whose record is damaged: what runs of it is killed, wherever that is.
#include <fcntl.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/kernel/file.h"
#include "src/sandbox/node.h"

namespace berth {
namespace {

constexpr absl::Duration kAskPatience = absl::Seconds(2);

}  // namespace

// Where the monitor is: "N:CONTROLLERS:/PATH OF THE POD[/monitor]" in cgroups(7)'s file. Where it
// does not say, where a pod without a cgroup_parent would be.
std::string Node::CgroupOfUnreadable(const PodRecord& pod) const {
  if (const absl::StatusOr<MonitorHello> hello = Monitor(pod.id).Hello({}, kAskPatience);
      hello.ok()) {
    const std::string text =
        ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", hello->pid, "/cgroup")).value_or("");
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
      if (fields.size() < 3) continue;
      const size_t at = fields[2].find(pod.id);
      if (at != std::string::npos) return fields[2].substr(0, fields[2].find('/', at));
    }
  }
  return PodCgroup(pod).value_or("");
}

void Node::ReclaimUnreadable(const PodRecord& pod) {
  const std::string cgroup =
      pod.status.cgroup.empty() ? CgroupOfUnreadable(pod) : pod.status.cgroup;
  state_.UpdatePod(pod.id, [&](PodStatus& status) { status.cgroup = cgroup; });
  for (const ContainerPtr& container : Snapshot()->ContainersOf(pod.id)) {
    state_.UpdateContainer(container->id, [&](ContainerRecord& record) {
      record.cgroup = absl::StrCat(cgroup, "/", record.id);
    });
  }
  Monitor(pod.id).Shutdown(kAskPatience).IgnoreError();
  cgroups_.Kill(cgroup);
  MarkLost(pod, "the pod's record is damaged");
}

}  // namespace berth
