// A fixture for tests that ask the probe what one container sees: pods and reports of a client
// that the fixture chooses, and readers for parts of a report.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "test/e2e/e2e_test.h"

namespace berth::e2e {

// One line of mountinfo. proc_pid_mountinfo(5)
struct MountLine {
  std::string root, target, options, fields, type, source, super_options;  // fields: "shared:1 ..."
};
std::vector<MountLine> ParseMountinfo(const std::string& mountinfo);
// The last mount on `target`, or one with an empty target.
MountLine MountAt(const Json& report, const std::string& target);

// The variables of a report. One that is there twice fails the test.
std::map<std::string, std::string> Environment(const Json& report);

// "Max open files" -> {"1024", "524288"}.
std::pair<std::string, std::string> LimitOf(const Json& report, const std::string& name);

class ProbedTest : public E2eTest {
 protected:
  // The report of one container, in a pod of its own with pid namespaces as a kubelet asks for
  // them; Json::object() and a failed test if there is none.
  Json Report(cri::ContainerConfig config);
  Json Report(const cri::PodSandboxConfig& pod, cri::ContainerConfig config);
  // CreateContainer (and, if that succeeds, StartContainer) of `config` in a pod of its own: what
  // the first call that fails says. A pod that is refused fails the test.
  absl::Status Refusal(cri::ContainerConfig config);
  absl::Status Refusal(const cri::PodSandboxConfig& pod, const cri::ContainerConfig& config);
  // What /probe read prints of a file in a running container, or the error.
  std::string ReadInside(const std::string& container, const std::string& path);
  // The exit code of an exec, -1 and a failed test if there is none.
  int ExecCode(const std::string& container, const std::vector<std::string>& arguments);

  static std::string OwnNamespace(const std::string& kind);
  static std::string OwnStatus(const std::string& key);  // of /proc/self/status
  static bool OnV2();
  // One file of the container's cgroup; says so if there is none.
  static std::string CgroupFile(const std::string& id, const std::string& controller,
                                const std::string& file);

 private:
  int containers_ = 0;  // logs of one test are never appended to each other
};

// An image volume's, a device's, a bind mount's request.
cri::Mount* AddMount(cri::ContainerConfig& config, const std::string& container_path,
                     const std::string& host_path);
cri::Device* AddDevice(cri::ContainerConfig& config, const std::string& path,
                       const std::string& permissions);

}  // namespace berth::e2e
