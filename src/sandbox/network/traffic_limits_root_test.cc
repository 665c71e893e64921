// Limits of bandwidth, measured. A slow machine can only be slower than a limit: what is asserted
// is that nothing is faster.
#include <gmock/gmock.h>

#include "src/base/steady_time.h"
#include "src/sandbox/network/host_side.h"
#include "src/sandbox/network/testing/bridge_fixture.h"
#include "src/sandbox/network/testing/exchange.h"
#include "src/sandbox/network/traffic_limits.h"

namespace berth {
namespace {

using ::testing::UnorderedElementsAre;

constexpr char kIngress[] = "kubernetes.io/ingress-bandwidth";
constexpr char kEgress[] = "kubernetes.io/egress-bandwidth";
constexpr double kBytesPerSecond = 1e6;  // 8M
constexpr size_t kBytes = 2'000'000;
constexpr double kBurst = 64 << 10;

class TrafficLimitsRootTest : public BridgeRootTest {
 protected:
  // How long the receiver waits for all the bytes; both ends run TCP.
  static absl::Duration Transfer(int from, int to, const std::string& address) {
    const Listener server(to, address, 5001, SOCK_STREAM);
    const UniqueFd client = SocketIn(from, ParseIpAddress(address)->family, SOCK_STREAM);
    const auto [where, length] = SocketAddress(ParseIpAddress(address).value(), 5001);
    EXPECT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&where), length), 0);
    const UniqueFd accepted(::accept4(server.fd(), nullptr, nullptr, SOCK_CLOEXEC));
    const absl::Time begin = SteadyNow();
    std::thread sender([&] {
      const std::vector<char> data(kBytes, 'x');
      size_t sent = 0;
      while (sent < data.size()) {
        const ssize_t n =
            ::send(client.get(), data.data() + sent, data.size() - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) break;
        if (n > 0) sent += static_cast<size_t>(n);
      }
    });
    std::vector<char> buffer(64 << 10);
    size_t received = 0;
    while (received < kBytes) {
      const ssize_t n = ::recv(accepted.get(), buffer.data(), buffer.size(), 0);
      if (n <= 0) break;
      received += static_cast<size_t>(n);
    }
    sender.join();
    EXPECT_EQ(received, kBytes);
    return SteadyNow() - begin;
  }
  static void ExpectLimited(absl::Duration time) {
    const double seconds = absl::ToDoubleSeconds(time);
    EXPECT_GE(seconds, 0.8 * (kBytes - kBurst) / kBytesPerSecond);
    EXPECT_LE(seconds, 20 * kBytes / kBytesPerSecond);
  }
  // Annotations: what a second may bring, for each direction.
  absl::StatusOr<BegunPod> RunLimited(const std::map<std::string, std::string>& annotations) {
    absl::StatusOr<BegunPod> pod = Run(*network_, {.annotations = annotations});
    kernel_cannot_ = absl::IsFailedPrecondition(pod.status());
    return pod;
  }
  bool kernel_cannot_ = false;
};

TEST_F(TrafficLimitsRootTest, LimitsWhatGoesToThePod) {
  network_ = OpenNetwork();
  auto pod = RunLimited({{kIngress, "8M"}});
  if (kernel_cannot_) GTEST_SKIP() << pod.status();
  ASSERT_TRUE(pod.ok()) << pod.status();
  ExpectLimited(Transfer(host_->fd(), pod->netns(), pod->addresses[0]));
  EXPECT_THAT(LinkNames(), UnorderedElementsAre("lo", "berth0", HostLinkName(pod->id)));
}

TEST_F(TrafficLimitsRootTest, LimitsWhatComesFromThePodAndIsGoneWithIt) {
  network_ = OpenNetwork();
  auto pod = RunLimited({{kEgress, "8M"}});
  if (kernel_cannot_) GTEST_SKIP() << pod.status();
  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_TRUE(Exists(ShaperName(pod->id)));
  ExpectLimited(Transfer(pod->netns(), host_->fd(), "10.88.0.1"));
  ExpectLimited(Transfer(pod->netns(), host_->fd(), "fd88::1"));
  network_->Detach(pod->id).IgnoreError();
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  EXPECT_THAT(LinkNames(), UnorderedElementsAre("lo", "berth0"));
}

TEST_F(TrafficLimitsRootTest, IsGoneAfterARestartToo) {
  network_ = OpenNetwork();
  auto pod = RunLimited({{kIngress, "8M"}, {kEgress, "8M"}});
  if (kernel_cannot_) GTEST_SKIP() << pod.status();
  ASSERT_TRUE(pod.ok()) << pod.status();
  Restart();
  network_->Reconcile({});
  ASSERT_TRUE(network_->WaitUntilReaped(kPatience).ok());
  EXPECT_THAT(LinkNames(), UnorderedElementsAre("lo", "berth0"));
}

TEST_F(TrafficLimitsRootTest, FastLimitsAreNoHindrance) {
  network_ = OpenNetwork();
  auto pod = RunLimited({{kIngress, "1P"}, {kEgress, "1P"}});
  if (kernel_cannot_) GTEST_SKIP() << pod.status();
  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_LT(Transfer(host_->fd(), pod->netns(), pod->addresses[0]), absl::Seconds(20));
  EXPECT_LT(Transfer(pod->netns(), host_->fd(), "10.88.0.1"), absl::Seconds(20));
}

}  // namespace
}  // namespace berth
