#include "src/sandbox/network/address_pool.h"

#include <gtest/gtest.h>

#include <optional>

namespace berth {
namespace {

AddressPool Pool(absl::string_view ipv4, absl::string_view ipv6 = "") {
  std::optional<IpPrefix> second;
  if (!ipv6.empty()) second = ParseSubnet(ipv6).value();
  return AddressPool::Create(ParseSubnet(ipv4).value(), second).value();
}

TEST(AddressPool, KeepsNetworkGatewayAndBroadcastForItself) {
  AddressPool pool = Pool("10.0.0.8/29");
  EXPECT_EQ(pool.Gateways()[0].ToString(), "10.0.0.9/29");
  for (const char* expected :
       {"10.0.0.10/29", "10.0.0.11/29", "10.0.0.12/29", "10.0.0.13/29", "10.0.0.14/29"}) {
    EXPECT_EQ(pool.AddressesOf(pool.Take().value())[0].ToString(), expected);
  }
  EXPECT_EQ(pool.Take().status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(AddressPool, GivesBothFamiliesTheSameNumber) {
  AddressPool pool = Pool("10.88.0.0/16", "fd88::/64");
  pool.Hold(ParseIpAddress("10.88.1.6").value());
  const auto addresses = pool.AddressesOf(pool.Take().value());
  ASSERT_EQ(addresses.size(), 2u);
  EXPECT_EQ(addresses[0].ToString(), "10.88.1.7/16");
  EXPECT_EQ(addresses[1].ToString(), "fd88::107/64");
}

TEST(AddressPool, LetsAnAddressRestBeforeItIsUsedAgain) {
  AddressPool pool = Pool("10.0.0.0/29");
  const uint32_t first = pool.Take().value();
  pool.GiveBack(first);
  for (int i = 0; i < 4; ++i) EXPECT_NE(pool.Take().value(), first);
  EXPECT_EQ(pool.Take().value(), first);
}

TEST(AddressPool, EndsWhereTheSmallerSubnetEnds) {
  AddressPool pool = Pool("10.88.0.0/16", "fd88::/126");
  EXPECT_TRUE(pool.Take().ok());
  EXPECT_TRUE(pool.Take().ok());
  EXPECT_EQ(pool.Take().status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(AddressPool, HoldsByEitherAddressAndSkipsForeignOnes) {
  AddressPool pool = Pool("10.0.0.0/30", "fd88::/64");
  EXPECT_EQ(pool.Hold(ParseIpAddress("192.0.2.2").value()), std::nullopt);
  EXPECT_EQ(pool.Hold(ParseIpAddress("10.0.0.1").value()), std::nullopt);
  EXPECT_EQ(pool.Hold(ParseIpAddress("10.0.0.3").value()), std::nullopt);
  EXPECT_EQ(pool.Hold(ParseIpAddress("fd88::2").value()), 2u);
  EXPECT_EQ(pool.Take().status().code(), absl::StatusCode::kResourceExhausted);
  pool.GiveBack(2);
  EXPECT_EQ(pool.Take().value(), 2u);
}

TEST(AddressPool, RefusesSubnetsThatCannotServe) {
  const IpPrefix ipv4 = ParseSubnet("10.0.0.0/24").value(), ipv6 = ParseSubnet("fd88::/64").value();
  const IpPrefix tiny = ParseSubnet("10.0.0.0/31").value(),
                 tiny6 = ParseSubnet("fd88::/127").value();
  for (const auto& result :
       {AddressPool::Create(ipv6, std::nullopt), AddressPool::Create(ipv4, ipv4),
        AddressPool::Create(tiny, std::nullopt), AddressPool::Create(ipv4, tiny6)}) {
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace berth
