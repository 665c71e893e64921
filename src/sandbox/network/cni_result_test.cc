#include "src/sandbox/network/cni_result.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ParseCniResult, ReadsEachVersion) {
  for (const char* version : {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
    const auto result = ParseCniResult(
        absl::StrCat(R"({"cniVersion": ")", version, R"(", "interfaces": [{"name": "cni0"},
            {"name": "veth1", "sandbox": ""}, {"name": "eth0", "sandbox": "/run/netns/a"}],
            "ips": [{"version": "6", "address": "fd00::7/64", "interface": 2},
                    {"version": "4", "address": "10.1.2.3/24", "interface": 2}]})"),
        "eth0");
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_THAT(result->addresses, ElementsAre("fd00::7", "10.1.2.3")) << version;
  }
  const auto pair = ParseCniResult(
      R"({"cniVersion": "0.2.0", "ip4": {"ip": "10.1.2.3/24"}, "ip6": {"ip": "fd00::7/64"}})",
      "eth0");
  ASSERT_TRUE(pair.ok()) << pair.status();
  EXPECT_THAT(pair->addresses, ElementsAre("10.1.2.3", "fd00::7"));
}

TEST(ParseCniResult, TakesOnlyAddressesOfThePodsInterface) {
  const auto result = ParseCniResult(
      R"({"cniVersion": "1.0.0",
          "interfaces": [{"name": "eth0"}, {"name": "net1", "sandbox": "/n"}, {"name": "eth0", "sandbox": "/n"}],
          "ips": [{"address": "10.0.0.1/24", "interface": 0}, {"address": "10.0.0.2/24", "interface": 1},
                  {"address": "10.0.0.3/24", "interface": 2}, {"address": "10.0.0.3/24", "interface": 2},
                  {"address": "10.0.0.4/24"}]})",
      "eth0");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->addresses, ElementsAre("10.0.0.3", "10.0.0.4"));
}

TEST(ParseCniResult, RefusesWhatContradictsItself) {
  for (
      const char* text :
      {"", "null", "[]", "{", R"({"cniVersion": "7.0.0"})", R"({"cniVersion": 1})",
       R"({"cniVersion": "1.0.0", "ips": {}})", R"({"cniVersion": "1.0.0", "ips": [1]})",
       R"({"cniVersion": "1.0.0", "ips": [{}]})",
       R"({"cniVersion": "1.0.0", "ips": [{"address": "10.1.2.3"}]})",
       R"({"cniVersion": "1.0.0", "ips": [{"address": "10.1.2.3/33"}]})",
       R"({"cniVersion": "1.0.0", "ips": [{"address": "10.1.2.3/-1"}]})",
       R"({"cniVersion": "1.0.0", "ips": [{"address": "10.1.2.3/24/1"}]})",
       R"({"cniVersion": "1.0.0", "ips": [{"address": 7}]})",
       R"({"cniVersion": "1.0.0", "interfaces": [{}], "ips": [{"address": "10.1.2.3/24", "interface": 1}]})",
       R"({"cniVersion": "1.0.0", "interfaces": [{}], "ips": [{"address": "10.1.2.3/24", "interface": -1}]})",
       R"({"cniVersion": "1.0.0", "interfaces": [{}], "ips": [{"address": "10.1.2.3/24", "interface": "0"}]})",
       R"({"cniVersion": "1.0.0", "interfaces": [7], "ips": [{"address": "10.1.2.3/24", "interface": 0}]})",
       R"({"cniVersion": "0.2.0", "ip4": "10.1.2.3/24"})"}) {
    EXPECT_EQ(ParseCniResult(text, "eth0").status().code(), absl::StatusCode::kDataLoss) << text;
  }
  std::string many = R"({"cniVersion": "1.0.0", "ips": [{"address": "10.1.2.3/24"})";
  for (int i = 0; i < 100; ++i) many += R"(, {"address": "10.1.2.3/24"})";
  EXPECT_FALSE(ParseCniResult(many + "]}", "eth0").ok());
  EXPECT_FALSE(ParseCniResult(std::string(kMaxCniOutput + 1, ' '), "eth0").ok());
  EXPECT_FALSE(ParseCniResult(std::string(1000, '['), "eth0").ok());
}

TEST(OrderAddresses, PutsThePreferredFamilyFirst) {
  const std::vector<std::string> given = {"fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2"};
  EXPECT_THAT(OrderAddresses(given, AddressPreference::kIpv4),
              ElementsAre("10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"));
  EXPECT_THAT(OrderAddresses(given, AddressPreference::kIpv6),
              ElementsAre("fd00::1", "fd00::2", "10.0.0.1", "10.0.0.2"));
  EXPECT_EQ(OrderAddresses(given, AddressPreference::kAsGiven), given);
}

TEST(CniErrorOf, TellsThePluginsWordsAndItsCode) {
  const auto error = [](const char* output) { return CniErrorOf("bridge", 1, output, "stderr\n"); };
  EXPECT_EQ(error(R"({"code": 11, "msg": "later"})").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(error(R"({"code": 50, "msg": "not yet"})").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(error(R"({"code": 3, "msg": "who?"})").code(), absl::StatusCode::kNotFound);
  const absl::Status full = error(R"({"code": 100, "msg": "no\nroom", "details": "in the /28"})");
  EXPECT_EQ(full.code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(full.message(), "CNI plugin bridge: no\\x0aroom; in the /28");
  EXPECT_THAT(std::string(error("panic").message()), HasSubstr("ended with 1: stderr"));
  EXPECT_THAT(std::string(CniErrorOf("x", 139, "", "").message()), HasSubstr("said nothing"));
  EXPECT_LT(CniErrorOf("x", 1, "", std::string(100'000, '\n')).message().size(), 4096u);
}

}  // namespace
}  // namespace berth
