// The built-in bridge network, from outside and from inside pods.
#include <gmock/gmock.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "test/e2e/e2e_test.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class NetworkTest : public E2eTest {
 protected:
  // A pod with a server on port 8080 that answers with the pod's hostname.
  absl::StatusOr<Pod> Serve(const std::string& name) {
    cri::PodSandboxConfig config = MakePodConfig(Name("-" + name));
    config.set_hostname(name);
    auto pod = Pod::Run(client(), config);
    if (!pod.ok()) return pod;
    if (const auto id = pod->RunContainer(MakeProbe("c", {"serve", "8080"})); !id.ok())
      return id.status();
    const bool ready = Eventually(absl::Seconds(30), [&] {
      const auto log = ReadLog(pod->LogPath("c"));
      return log.ok() && Joined(*log, "stdout") == "ready\n";
    });
    if (!ready) return absl::DeadlineExceededError("the server does not get ready");
    return pod;
  }
  std::vector<std::string> Addresses(const Pod& pod) {
    const auto status = client().PodStatus(pod.id());
    EXPECT_OK(status);
    return {status->network().ip(), status->network().additional_ips(0).ip()};
  }
  // What a program in the node's network gets from address:8080.
  std::string Ask(const std::string& address) {
    const std::string out = NodeDir() + "/answer-" + Name();
    unlink(out.c_str());
    auto process = Subprocess::Start(
        {.argv = {BERTH_E2E_PROBE, "connect", address, "8080"}, .output_path = out});
    EXPECT_OK(process);
    EXPECT_EQ(process->Wait(absl::Seconds(30)).value_or(-1), 0) << process->Output();
    return process->Output();
  }
};

TEST_F(NetworkTest, PodHasTheAddressesThatItsStatusTells) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const Json report, pod.RunForJson(MakeProbe("c", {"report"})));
  std::set<std::string> eth0, lo, names;
  for (const Json& interface : report["interfaces"]) {
    names.insert(interface["name"].get<std::string>());
    if (interface["name"] == "eth0") eth0.insert(interface["address"].get<std::string>());
    if (interface["name"] == "lo") lo.insert(interface["address"].get<std::string>());
    EXPECT_EQ(interface["up"], true) << interface;
  }
  EXPECT_EQ(names, (std::set<std::string>{"eth0", "lo"}));
  for (const std::string& address : Addresses(pod)) EXPECT_TRUE(eth0.contains(address)) << address;
  EXPECT_TRUE(lo.contains("127.0.0.1"));
  EXPECT_TRUE(lo.contains("::1"));
  EXPECT_THAT(report["routes4"].get<std::string>(), HasSubstr("eth0\t00000000"));
  EXPECT_THAT(
      report["routes6"].get<std::string>(),
      HasSubstr("00000000000000000000000000000000 00 00000000000000000000000000000000 00 "));
}

TEST_F(NetworkTest, NodeReachesThePodOnBothFamilies) {
  ASSERT_OK_AND_ASSIGN(const Pod pod, Serve("first"));
  for (const std::string& address : Addresses(pod)) EXPECT_EQ(Ask(address), "first\n") << address;
}

TEST_F(NetworkTest, PodsReachEachOther) {
  ASSERT_OK_AND_ASSIGN(Pod first, Serve("first"));
  ASSERT_OK_AND_ASSIGN(Pod second, Pod::Run(client(), MakePodConfig(Name("-second"))));
  ASSERT_OK_AND_ASSIGN(const std::string id, second.RunContainer(MakeProbe("c", {"sleep"})));
  for (const std::string& address : Addresses(first)) {
    ASSERT_OK_AND_ASSIGN(const auto answer,
                         client().Exec(id, {"/probe", "connect", address, "8080"}));
    EXPECT_EQ(answer.stdout(), "first\n") << address << ": " << answer.stderr();
  }
}

TEST_F(NetworkTest, ContainersOfAPodShareLocalhost) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Serve("shared"));
  ASSERT_OK_AND_ASSIGN(const FinishedContainer other,
                       pod.RunToEnd(MakeProbe("d", {"connect", "127.0.0.1", "8080"})));
  EXPECT_EQ(Joined(other.log, "stdout"), "shared\n");
}

TEST_F(NetworkTest, OwnNetworkIsNotTheNodes) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const FinishedContainer other,
                       pod.RunToEnd(MakeProbe("c", {"connect", "127.0.0.1", "8080"})));
  EXPECT_NE(other.status.exit_code(), 0);
}

TEST_F(NetworkTest, UnprivilegedPortsStartAtZero) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const Json report, pod.RunForJson(MakeProbe("c", {"report"})));
  EXPECT_EQ(report["files"]["/proc/sys/net/ipv4/ip_unprivileged_port_start"], "0\n");
}

// A daemon of its own with a pool of 13 addresses.
class SmallPoolTest : public E2eTest {
 protected:
  static Daemon::Options SmallPool() {
    Daemon::Options options = Node::OptionsFor("small", 2);
    options.ipv4_subnet = "10.202.0.0/28";
    options.ipv6_subnet = "fd20:2::/124";
    return options;
  }
  // A pod once there is an address for it: one that was just given back may still be on its way.
  static absl::StatusOr<std::string> RunPatiently(Client& client, const std::string& name) {
    absl::StatusOr<std::string> id;
    Eventually(absl::Seconds(20), [&] {
      id = client.RunPod(MakePodConfig(name));
      return id.status().code() != absl::StatusCode::kResourceExhausted;
    });
    return id;
  }
};

TEST_F(SmallPoolTest, FullPoolIsExhaustedAndGivesBackWhatIsReturned) {
  ASSERT_OK_AND_ASSIGN(Daemon daemon, Daemon::Start(SmallPool()));
  Client small(daemon.socket());
  std::vector<std::string> ids;
  absl::StatusOr<std::string> id;
  for (int i = 0; i < 16; ++i) {
    id = small.RunPod(MakePodConfig(absl::StrCat("pool-", i)));
    if (!id.ok()) break;
    ids.push_back(*id);
  }
  EXPECT_CODE(id, kResourceExhausted);
  EXPECT_GE(ids.size(), 12u);
  EXPECT_LE(ids.size(), 14u);
  ASSERT_OK(small.RemovePod(ids.back()));
  ids.pop_back();
  ASSERT_OK_AND_ASSIGN(const std::string again, RunPatiently(small, "again"));
  ids.push_back(again);
  for (const std::string& each : ids) EXPECT_OK(small.RemovePod(each));
  EXPECT_OK(daemon.Terminate());
  RemoveTraces(daemon);
}

TEST_F(SmallPoolTest, AddressesComeBackAfterAKill) {
  ASSERT_OK_AND_ASSIGN(Daemon daemon, Daemon::Start(SmallPool()));
  for (int round = 0; round < 3; ++round) {
    Client small(daemon.socket());
    std::vector<std::string> ids;
    for (int i = 0; i < 8; ++i) {
      ASSERT_OK_AND_ASSIGN(const std::string id,
                           RunPatiently(small, absl::StrCat("kill-", round, "-", i)));
      ids.push_back(id);
    }
    ASSERT_OK(daemon.Kill());
    ASSERT_OK(daemon.StartAgain());
    Client after(daemon.socket());
    for (const std::string& id : ids) EXPECT_OK(after.RemovePod(id));
  }
  EXPECT_OK(daemon.Terminate());
  RemoveTraces(daemon);
}

}  // namespace
}  // namespace berth::e2e
