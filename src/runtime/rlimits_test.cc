#include "src/runtime/rlimits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

namespace berth {
namespace {

using ::testing::HasSubstr;

TEST(ParseRlimits, TakesSoftAndHardOrOneForBoth) {
  const auto limits = ParseRlimits("nofile=1024:4096, core=0,MEMLOCK=unlimited");
  ASSERT_TRUE(limits.ok()) << limits.status();
  ASSERT_EQ(limits->size(), 3u);
  EXPECT_EQ((*limits)[0].resource, RLIMIT_NOFILE);
  EXPECT_EQ((*limits)[0].soft, 1024u);
  EXPECT_EQ((*limits)[0].hard, 4096u);
  EXPECT_EQ((*limits)[1].resource, RLIMIT_CORE);
  EXPECT_EQ((*limits)[1].hard, 0u);
  EXPECT_EQ((*limits)[2].soft, RLIM_INFINITY);
  EXPECT_TRUE(ParseRlimits("")->empty());
}

TEST(ParseRlimits, NamesWhatIsWrong) {
  const auto refused = [](absl::string_view text, const char* why) {
    const auto limits = ParseRlimits(text);
    EXPECT_EQ(limits.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(limits.status().message()), HasSubstr(why));
  };
  refused("nofile", "NAME=SOFT:HARD");
  refused("files=3", "\"files\" is no resource limit");
  refused("nofile=x", "\"x\" is no limit");
  refused("nofile=-1", "\"-1\" is no limit");
  refused("nofile=5:4", "above the hard one");
  refused("nofile=1,NOFILE=2", "a second time");
}

TEST(RlimitName, IsTheInverseOfRlimitByName) {
  for (int resource = 0; resource < RLIM_NLIMITS; ++resource) {
    ASSERT_NE(RlimitName(resource), "") << resource;
    EXPECT_EQ(*RlimitByName(RlimitName(resource)), resource);
  }
  EXPECT_EQ(RlimitName(99), "");
}

}  // namespace
}  // namespace berth
