// CNI networks through many pods, failures, kills and reboots.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <random>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/e2e/cni_fixture.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

int Wanted(const char* variable, int otherwise) {
  const char* wanted = getenv(variable);
  return wanted != nullptr ? atoi(wanted) : otherwise;
}

class CniStormTest : public CniFixture {};

// What plugins may do, for most cycles nothing.
constexpr const char* kModes[] = {"",         "",          "",          "",
                                  "ADD fail", "ADD late",  "ADD crash", "ADD garbage",
                                  "ADD hang", "ADD flood", "DEL fail",  "DEL late",
                                  "DEL hang", "DEL crash", "DEL flood", "ADD late\nDEL fail"};
constexpr int kAddresses = 13;  // of a /28, without its own, the gateway's and the broadcast

// A pool of 13 addresses, failures of all kinds, deaths of the daemon in the middle of them, and
// reboots: in the end each can be had again. Long form: BERTH_E2E_CNI_CYCLES=1000.
TEST_F(CniStormTest, NoAddressIsLostWhateverHappens) {
  const int cycles = Wanted("BERTH_E2E_CNI_CYCLES", 24);
  std::mt19937 random(6);
  WriteNetwork(Json::array({Bridge({"10.77.0.0/28"}), Recording()}));
  ASSERT_NO_FATAL_FAILURE(StartNode("plugin_seconds = \"3\"\n"));
  ASSERT_TRUE(WaitUntilReady());
  int ran = 0, refused = 0, kills = 0, reboots = 0;
  for (int cycle = 0; cycle < cycles; ++cycle) {
    Misbehave(kModes[random() % std::size(kModes)]);
    const auto end = random() % 16;  // of the daemon: 0 reboot, 1 to 3 kill
    std::jthread pod([&, name = Name(absl::StrCat("-", cycle)), socket = daemon().socket()] {
      Client own(socket);  // the other is replaced after a kill
      ++(own.RunPod(MakePodConfig(name)).ok() ? ran : refused);
    });
    if (end <= 3) {
      absl::SleepFor(absl::Milliseconds(random() % 150));
      ASSERT_NO_FATAL_FAILURE(end == 0 ? Reboot() : KillAndStartAgain());
      ++(end == 0 ? reboots : kills);
    }
    pod.join();
    ASSERT_OK_AND_ASSIGN(auto pods, cni().ListPods());
    std::shuffle(pods.begin(), pods.end(), random);
    for (size_t left = random() % 8; pods.size() > left; pods.pop_back())
      cni().RemovePod(pods.back().id()).IgnoreError();  // DEL may fail: it is tried on
  }
  std::cout << cycles << " cycles: " << ran << " pods ran, " << refused << " did not, " << kills
            << " kills, " << reboots << " reboots" << std::endl;
  Misbehave("");
  ASSERT_TRUE(Eventually(absl::Minutes(5), [&] {
    const auto pods = cni().ListPods();
    if (!pods.ok()) return false;
    for (const auto& pod : *pods) cni().RemovePod(pod.id()).IgnoreError();
    return pods->empty() && Leases().empty() && Pins().empty();
  })) << Described();
  std::set<std::string> addresses;
  std::vector<Pod> pods;
  for (int i = 0; i < kAddresses; ++i) {
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(cni(), MakePodConfig(Name(absl::StrCat("-last-", i)))));
    addresses.insert(Addresses(pod)[0]);
    pods.push_back(std::move(pod));
  }
  EXPECT_EQ(addresses.size(), static_cast<size_t>(kAddresses));
  const auto full = cni().RunPod(MakePodConfig(Name("-one-more")));
  EXPECT_THAT(std::string(full.status().message()), HasSubstr("no IP addresses available"));
}

// Long form: BERTH_E2E_STORM_PODS=500.
TEST_F(CniStormTest, ManyPodsLeaveNothing) {
  const int count = Wanted("BERTH_E2E_STORM_PODS", 24);
  constexpr int kAtATime = 6, kReady = 3;  // as daemon.cc configures it
  WriteNetwork(Json::array({Bridge({"10.77.0.0/16", "fd77::/64"}), Portmap()}));
  ASSERT_NO_FATAL_FAILURE(StartNode());
  ASSERT_TRUE(WaitUntilReady());
  const auto run = [&](int i) {
    cri::PodSandboxConfig config = MakePodConfig(Name(absl::StrCat("-", i)));
    cri::PortMapping* port = config.add_port_mappings();
    port->set_host_port(20000 + i);
    port->set_container_port(80);
    const auto id = cni().RunPod(config);
    EXPECT_OK(id);
    if (!id.ok()) return;
    if (i % 2 == 0) {
      EXPECT_OK(cni().StopPod(*id));
    }
    EXPECT_OK(cni().RemovePod(*id));
  };
  const OracleScope scope = {.data_dir = daemon().options().dir};
  // Whether a link is down follows the last pod a little later.
  const auto routes = [] {
    return Shell("(ip route; ip -6 route; ip rule; ip -6 rule) | sed 's/ linkdown//'");
  };
  run(count);  // makes what plugins make once
  ASSERT_TRUE(
      Eventually(absl::Seconds(60), [&] { return Described()["readyNamespaces"] == kReady; }));
  ASSERT_OK_AND_ASSIGN(const Snapshot before, TakeSnapshot(scope));
  ASSERT_OK_AND_ASSIGN(const Snapshot fds_before, TakeSnapshot({.daemon = daemon().pid()}));
  const std::string routes_before = routes();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kAtATime; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = thread; i < count; i += kAtATime) run(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_OK_AND_ASSIGN(const auto left, WaitForSame(scope, before, absl::Seconds(30)));
  EXPECT_THAT(left, IsEmpty());
  // Cgroups that plugins ran in are kept for the next, a few.
  ASSERT_OK_AND_ASSIGN(const Snapshot fds, TakeSnapshot({.daemon = daemon().pid()}));
  std::vector<std::string> more_fds = Differences(fds_before, fds);
  std::erase_if(more_fds, [](const std::string& line) {
    return !absl::StrContains(line, " fd ") || absl::StrContains(line, "cni-cni/");
  });
  EXPECT_THAT(more_fds, IsEmpty());
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return routes() == routes_before; }))
      << routes() << "before:\n"
      << routes_before;
}

}  // namespace
}  // namespace berth::e2e
