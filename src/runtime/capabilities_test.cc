#include "src/runtime/capabilities.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/capability.h>

#include <fstream>
#include <string>
#include <vector>

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t Bit(int capability) { return uint64_t{1} << capability; }
uint64_t All() { return (uint64_t{1} << cap_max_bits()) - 1; }

TEST(DefaultCapabilities, AreTheFourteenThatContainersAreUsedTo) {
  EXPECT_EQ(
      CapabilityNames(DefaultCapabilities()),
      "CAP_CHOWN,CAP_DAC_OVERRIDE,CAP_FOWNER,CAP_FSETID,CAP_KILL,CAP_SETGID,CAP_SETUID,CAP_SETPCAP,"
      "CAP_NET_BIND_SERVICE,CAP_NET_RAW,CAP_SYS_CHROOT,CAP_MKNOD,CAP_AUDIT_WRITE,CAP_SETFCAP");
}

struct Case {
  const char* name;
  std::vector<std::string> add, drop;
  uint64_t expected;
};

class ResolveCapabilitiesTest : public testing::TestWithParam<Case> {};

TEST_P(ResolveCapabilitiesTest, GivesTheSet) {
  const absl::StatusOr<uint64_t> set = ResolveCapabilities(GetParam().add, GetParam().drop);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(CapabilityNames(*set), CapabilityNames(GetParam().expected));
}

INSTANTIATE_TEST_SUITE_P(
    Table, ResolveCapabilitiesTest,
    testing::Values(Case{"Nothing", {}, {}, DefaultCapabilities()},
                    Case{"Add", {"NET_ADMIN"}, {}, DefaultCapabilities() | Bit(CAP_NET_ADMIN)},
                    Case{"AddWhatIsThere", {"CHOWN"}, {}, DefaultCapabilities()},
                    Case{"Drop", {}, {"CHOWN"}, DefaultCapabilities() & ~Bit(CAP_CHOWN)},
                    Case{"DropWhatIsNotThere", {}, {"SYS_ADMIN"}, DefaultCapabilities()},
                    Case{"PrefixAndCase",
                         {"cap_Net_Admin", "sys_time"},
                         {"CAP_KILL"},
                         (DefaultCapabilities() | Bit(CAP_NET_ADMIN) | Bit(CAP_SYS_TIME)) &
                             ~Bit(CAP_KILL)},
                    Case{"AddAll", {"ALL"}, {}, All()},
                    Case{"AddAllButOne", {"all"}, {"SYS_MODULE"}, All() & ~Bit(CAP_SYS_MODULE)},
                    Case{"DropAll", {}, {"ALL"}, 0},
                    Case{"DropAllButOne", {"NET_BIND_SERVICE"}, {"ALL"}, Bit(CAP_NET_BIND_SERVICE)},
                    Case{"DropWinsOverAdd", {"SYS_ADMIN"}, {"SYS_ADMIN"}, DefaultCapabilities()},
                    Case{"DropAllWinsOverAddAll", {"ALL"}, {"ALL"}, 0}),
    [](const auto& info) { return info.param.name; });

TEST(ResolveCapabilities, RefusesWhatIsNoCapabilityByItsName) {
  for (const char* name :
       {"", "NOPE", "CAP_", "12", "CAP_12", "CHOWN ", "CAP_CAP_CHOWN", "CHOWN,KILL", "ALL_"}) {
    for (const bool add : {true, false}) {
      const std::vector<std::string> list = {"CHOWN", name};
      const absl::Status status = ResolveCapabilities(add ? list : std::vector<std::string>(),
                                                      add ? std::vector<std::string>() : list)
                                      .status();
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
      EXPECT_THAT(std::string(status.message()), HasSubstr(std::string("\"") + name + "\""));
    }
  }
}

TEST(CapabilityList, HasTheNamesOfTheOciSpecification) {
  EXPECT_THAT(CapabilityList(Bit(CAP_CHOWN) | Bit(CAP_NET_ADMIN)),
              ElementsAre("CAP_CHOWN", "CAP_NET_ADMIN"));
}

TEST(HeldCapabilities, IsTheBoundingSetOfProc) {
  std::ifstream status("/proc/self/status");
  std::string line, bounding;
  while (std::getline(status, line)) {
    if (line.rfind("CapBnd:", 0) == 0) bounding = line.substr(line.find_first_not_of(" \t", 7));
  }
  EXPECT_EQ(HeldCapabilities(), std::stoull(bounding, nullptr, 16));
}

TEST(CapabilityNames, OfTheEmptySetIsEmpty) { EXPECT_EQ(CapabilityNames(0), ""); }

}  // namespace
}  // namespace berth
