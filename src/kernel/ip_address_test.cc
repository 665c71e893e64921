#include "src/kernel/ip_address.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

IpPrefix Subnet(absl::string_view text) { return ParseSubnet(text).value(); }
IpAddress Address(absl::string_view text) { return ParseIpAddress(text).value(); }

TEST(ParseSubnet, PrintsWhatItRead) {
  for (const char* text :
       {"10.88.0.0/16", "192.0.2.128/25", "0.0.0.0/0", "10.0.0.1/32", "fd88::/64", "::/0"}) {
    EXPECT_EQ(Subnet(text).ToString(), text);
  }
}

TEST(ParseSubnet, RefusesWhatIsNoNetwork) {
  for (const char* text :
       {"", "/", "10.88.0.0", "10.88.0.0/", "10.88.0.0/33", "10.88.0.0/-1", "10.88.0/16",
        "10.88.0.0/16 ", "fd88::/129", "fd88::%eth0/64", "berth/16", "10.88.0.0/1x"}) {
    EXPECT_EQ(ParseSubnet(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ParseSubnet, RefusesANulByte) {
  EXPECT_FALSE(ParseIpAddress(absl::string_view("10.88.0.0\0x", 11)).ok());
  EXPECT_FALSE(ParseSubnet(absl::string_view("10.88.0.0\0/16", 13)).ok());
}

TEST(ParseSubnet, NamesTheNetworkWhenHostBitsAreSet) {
  EXPECT_EQ(
      ParseSubnet("10.88.3.1/16").status().message(),
      "parse subnet \"10.88.3.1/16\": bits beyond the prefix are set; the network is 10.88.0.0/16");
}

TEST(AddressAt, CountsAcrossBytes) {
  EXPECT_EQ(AddressAt(Subnet("10.88.0.0/16"), 1).ToString(), "10.88.0.1");
  EXPECT_EQ(AddressAt(Subnet("10.88.0.0/16"), 0x1ff).ToString(), "10.88.1.255");
  EXPECT_EQ(AddressAt(Subnet("fd88::/64"), 0x12345).ToString(), "fd88::1:2345");
}

TEST(IndexOf, IsTheInverseOfAddressAt) {
  for (const char* subnet : {"10.88.0.0/16", "10.0.0.0/8", "fd88::/64", "fd88::ff00:0/104"}) {
    for (const uint32_t index : {0u, 1u, 255u, 256u, 65535u}) {
      EXPECT_EQ(IndexOf(Subnet(subnet), AddressAt(Subnet(subnet), index)).value(), index) << subnet;
    }
  }
}

TEST(IndexOf, IsNotFoundOutsideTheNetwork) {
  EXPECT_EQ(IndexOf(Subnet("10.88.0.0/16"), Address("10.89.0.1")).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(IndexOf(Subnet("10.88.0.0/16"), Address("fd88::1")).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(IndexOf(Subnet("fd88::/64"), Address("fd88::1:0:0:1")).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(IpPrefix, OverlapsWhenOneContainsTheOther) {
  EXPECT_TRUE(Subnet("10.0.0.0/8").Overlaps(Subnet("10.88.0.0/16")));
  EXPECT_TRUE(Subnet("10.88.0.0/16").Overlaps(Subnet("10.0.0.0/8")));
  EXPECT_TRUE(Subnet("10.88.0.0/16").Overlaps({.address = Address("10.88.7.7"), .length = 24}));
  EXPECT_FALSE(Subnet("10.88.0.0/16").Overlaps(Subnet("10.89.0.0/16")));
  EXPECT_FALSE(Subnet("10.88.0.0/16").Overlaps(Subnet("fd88::/64")));
  EXPECT_FALSE(Subnet("0.0.0.0/0").Overlaps(Subnet("::/0")));
}

TEST(IpPrefix, MasksAtAnyBit) {
  EXPECT_EQ(Subnet("10.0.0.0/9").Mask().ToString(), "255.128.0.0");
  EXPECT_EQ(Subnet("0.0.0.0/0").Mask().ToString(), "0.0.0.0");
  EXPECT_EQ((IpPrefix{.address = Address("fd88::ffff"), .length = 113}.Network().ToString()),
            "fd88::8000");
}

}  // namespace
}  // namespace berth
