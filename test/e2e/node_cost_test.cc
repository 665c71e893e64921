// What a container must not cost the node that it runs on: the lock that stalls each fork of the
// machine, and entries in the node's mount table.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "test/e2e/cgroup_writes.h"
#include "test/e2e/cni_fixture.h"
#include "test/e2e/subprocess.h"
#include "test/e2e/volume.h"

namespace berth::e2e {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::EndsWith;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr int kContainers = 4;

class NodeCostTest : public CniFixture {
 protected:
  // What berthd `process` sees mounted, as "<place> <type>".
  static std::multiset<std::string> MountsSeenBy(pid_t process) {
    std::ifstream file(absl::StrCat("/proc/", process, "/mountinfo"));
    std::multiset<std::string> mounts;
    for (std::string line; std::getline(file, line);) {
      const std::vector<std::string> sides = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
      const std::vector<std::string> fields = absl::StrSplit(sides.at(0), ' ');
      const std::vector<std::string> source = absl::StrSplit(sides.at(1), ' ');
      mounts.insert(absl::StrCat(fields.at(4), " ", source.at(0)));
    }
    return mounts;
  }

  static std::vector<std::string> Added(const std::multiset<std::string>& before,
                                        const std::multiset<std::string>& after) {
    std::vector<std::string> added;
    std::set_difference(after.begin(), after.end(), before.begin(), before.end(),
                        std::back_inserter(added));
    return added;
  }

  // Of the program and its libraries what berthd `process` has in memory, in kB.
  static int64_t ResidentProgram(pid_t process) {
    std::ifstream file(absl::StrCat("/proc/", process, "/status"));
    for (std::string word; file >> word;) {
      if (int64_t kilobytes = 0; word == "RssFile:" && file >> kilobytes) return kilobytes;
    }
    ADD_FAILURE() << "no RssFile of " << process;
    return 0;
  }

  // Containers with a volume, and one exec in each.
  void RunContainers(Client& client, Pod& pod) {
    const HostDir volume(Name("-volume"));
    for (int i = 0; i < kContainers; ++i) {
      auto config = MakeKubeletProbe(absl::StrCat("c", i), {"sleep"});
      cri::Mount* mount = config.add_mounts();
      mount->set_container_path("/volume");
      mount->set_host_path(volume.path());
      ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
      ASSERT_OK(client.Exec(id, {"/probe", "exit", "0"}));
    }
  }

  // The writes of which cgroup_threadgroup_rwsem is taken for writing: those that move processes
  // (cgroup_procs_write_start), and those that give the processes there other controllers
  // (cgroup_update_dfl_csses).
  static bool StallsForks(const std::string& path) {
    return absl::EndsWith(path, "/cgroup.procs") || absl::EndsWith(path, "/cgroup.threads") ||
           absl::EndsWith(path, "/cgroup.subtree_control");
  }
};

// Who takes cgroup_threadgroup_rwsem for writing waits for an RCU grace period, and each fork, exec
// and exit of the machine waits for him. CLONE_INTO_CGROUP takes it for reading; on cgroup v1 a
// thread that writes "0" to `tasks` does not take it (cgroup_procs_write_start(),
// kernel/cgroup/cgroup.c). What is counted is the writes that do.
TEST_F(NodeCostTest, NoStartOrExecTakesTheLockThatStallsForks) {
  auto writes = CgroupWrites::Watch();
  if (absl::IsUnavailable(writes.status())) GTEST_SKIP() << writes.status().message();
  ASSERT_OK(writes);
  const std::string directory =
      MakeCgroup(absl::StrCat("/", NodeName(), "/kubepods/moved")).at(0) + "/leaf";
  std::filesystem::create_directory(directory);
  ASSERT_OK_AND_ASSIGN(
      Subprocess moved,
      Subprocess::Start(
          {.argv = {"/bin/sh", "-c", absl::StrCat("echo 0 > ", directory, "/cgroup.procs")},
           .output_path = ""}));
  ASSERT_EQ(moved.Wait(absl::Seconds(30)), 0);
  ASSERT_OK_AND_ASSIGN(const auto seen, writes->Take());
  ASSERT_THAT(seen, Contains(directory + "/cgroup.procs"));

  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK(writes->Take());
  std::vector<std::string> all;
  const auto take = [&] {
    ASSERT_OK_AND_ASSIGN(const auto more, writes->Take());
    all.insert(all.end(), more.begin(), more.end());
  };
  for (int i = 0; i < kContainers; ++i) {
    ASSERT_OK_AND_ASSIGN(const std::string id,
                         pod.RunContainer(MakeKubeletProbe(absl::StrCat("c", i), {"sleep"})));
    take();
    for (int j = 0; j < 4; ++j) {  // the first are forked, the last cloned by a zygote
      ASSERT_OK(client().Exec(id, {"/probe", "exit", "0"}));
      take();
    }
  }
  EXPECT_THAT(all, Not(IsEmpty()));  // the limits of the containers at least
  std::erase_if(all, [](const std::string& path) { return !StallsForks(path); });
  EXPECT_THAT(all, IsEmpty());
}

TEST_F(NodeCostTest, APodOfTheBuiltInNetworkAndItsContainersAreNoMountsOfTheNode) {
  const std::multiset<std::string> before = MountsSeenBy(node().daemon().pid());
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_NO_FATAL_FAILURE(RunContainers(client(), pod));
  EXPECT_EQ(MountsSeenBy(node().daemon().pid()), before);
}

// The network namespace has a name for the plugins.
TEST_F(NodeCostTest, APodOfCniIsOneMountOfTheNodeAndItsContainersAreNone) {
  WriteNetwork(Json::array({Recording()}));
  ASSERT_NO_FATAL_FAILURE(StartNode());
  ASSERT_TRUE(WaitUntilReady());
  // The directory of the names is a mount of its own from the first pod on.
  ASSERT_OK(Pod::Run(cni(), MakeKubeletPodConfig(Name())));
  const std::multiset<std::string> before = MountsSeenBy(daemon().pid());
  std::vector<Pod> pods;
  for (const char* name : {"-a", "-b"}) {
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(cni(), MakeKubeletPodConfig(Name(name))));
    pods.push_back(std::move(pod));
  }
  const std::multiset<std::string> with_pods = MountsSeenBy(daemon().pid());
  EXPECT_THAT(Added(before, with_pods), SizeIs(pods.size()));
  EXPECT_THAT(Added(before, with_pods), Each(EndsWith(" nsfs")));
  for (Pod& pod : pods) {
    ASSERT_NO_FATAL_FAILURE(RunContainers(cni(), pod));
  }
  EXPECT_EQ(MountsSeenBy(daemon().pid()), with_pods);
}

TEST_F(NodeCostTest, WhatOnlyAPullNeededDoesNotStayInMemory) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_NO_FATAL_FAILURE(RunContainers(client(), pod));
  const int64_t before = ResidentProgram(node().daemon().pid());
  const std::string image = node().registry().Add(
      "resident", "v1",
      Build({.layers = {{{File("content", "resident")}}}, .format = Format::kOci}));
  ASSERT_OK(client().Pull(image));
  EXPECT_LT(ResidentProgram(node().daemon().pid()), before);
  ASSERT_OK(client().RemoveImage(image));
}

}  // namespace
}  // namespace berth::e2e
