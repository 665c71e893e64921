#include "src/cli/port_spec.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

struct Good {
  const char* text;
  std::vector<std::string> addresses;
  int local, remote;
};
const Good kGood[] = {
    {"80", {"127.0.0.1", "::1"}, 80, 80},
    {"8080:80", {"127.0.0.1", "::1"}, 8080, 80},
    {":80", {"127.0.0.1", "::1"}, 0, 80},
    {"localhost:8080:80", {"127.0.0.1", "::1"}, 8080, 80},
    {"localhost::80", {"127.0.0.1", "::1"}, 0, 80},
    {"0.0.0.0:8080:80", {"0.0.0.0"}, 8080, 80},
    {"127.0.0.2::65535", {"127.0.0.2"}, 0, 65535},
    {"[::1]:8080:80", {"::1"}, 8080, 80},
    {"[::]::80", {"::"}, 0, 80},
    {"[::1]:80", {"::1"}, 80, 80},
};

TEST(ParsePortSpec, Good) {
  for (const Good& one : kGood) {
    const auto spec = ParsePortSpec(one.text);
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_EQ(spec->addresses, one.addresses) << one.text;
    EXPECT_EQ(spec->local, one.local) << one.text;
    EXPECT_EQ(spec->remote, one.remote) << one.text;
  }
}

TEST(ParsePortSpec, Bad) {
  for (const char* text : {"",      ":",       "80:",          "0",           "65536",
                           "-1",    "+80",     " 80",          "0x50",        "80:0",
                           "x:80",  "a:b:c:d", "node:8080:80", "1.2.3:80:80", "[127.0.0.1]:80:80",
                           "[::1]", "[::1]80", "[::1:80:80",   "::1:8080:80", "99999999999"})
    EXPECT_EQ(ParsePortSpec(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
}

TEST(FormatEndpoint, PutsIPv6InBrackets) {
  EXPECT_EQ(FormatEndpoint("127.0.0.1", 80), "127.0.0.1:80");
  EXPECT_EQ(FormatEndpoint("::1", 80), "[::1]:80");
}

}  // namespace
}  // namespace berth::cli
