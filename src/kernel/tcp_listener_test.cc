#include "src/kernel/tcp_listener.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"

namespace berth {
namespace {

TEST(ListenTcp, TellsThePortThatItHas) {
  const absl::StatusOr<TcpListener> listener = ListenTcp("127.0.0.1:0");
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE(absl::StartsWith(listener->address, "127.0.0.1:"));
  EXPECT_FALSE(absl::EndsWith(listener->address, ":0"));
  EXPECT_FALSE(listener->any_address);
}

TEST(ListenTcp, PutsAnIpv6AddressInBrackets) {
  const absl::StatusOr<TcpListener> listener = ListenTcp("[::1]:0");
  if (listener.status().code() == absl::StatusCode::kUnavailable ||
      absl::StrContains(listener.status().message(), "assign"))
    GTEST_SKIP() << "no IPv6 here: " << listener.status();
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE(absl::StartsWith(listener->address, "[::1]:"));
}

TEST(ListenTcp, KnowsAnAddressThatNobodyCanConnectTo) {
  const absl::StatusOr<TcpListener> listener = ListenTcp("0.0.0.0:0");
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE(listener->any_address);
}

TEST(ListenTcp, KnowsWhatOnlyThisNodeReaches) {
  for (const char* address : {"127.0.0.1:0", "127.9.9.9:0", "[::1]:0"}) {
    const absl::StatusOr<TcpListener> listener = ListenTcp(address);
    ASSERT_TRUE(listener.ok()) << listener.status();
    EXPECT_TRUE(listener->loopback) << address;
  }
  for (const char* address : {"0.0.0.0:0", "[::]:0"}) {
    const absl::StatusOr<TcpListener> listener = ListenTcp(address);
    ASSERT_TRUE(listener.ok()) << listener.status();
    EXPECT_FALSE(listener->loopback) << address;
  }
}

TEST(ListenTcp, NamesAnAddressThatIsTaken) {
  const absl::StatusOr<TcpListener> first = ListenTcp("127.0.0.1:0");
  ASSERT_TRUE(first.ok());
  const absl::Status second = ListenTcp(first->address).status();
  EXPECT_TRUE(absl::StrContains(second.message(), first->address)) << second;
}

TEST(ListenTcp, RefusesWhatIsNoAddress) {
  for (const char* text : {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:-1",
                           "localhost:80", "::1:80", "[127.0.0.1]:80", "[::1:80", "::1]:80"}) {
    EXPECT_EQ(ListenTcp(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace berth
