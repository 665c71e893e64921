#include "src/cli/verbose_json.h"

#include <gtest/gtest.h>

#include "cri/runtime/v1/api.pb.h"

namespace berth::cli {
namespace {

TEST(InfoJson, NestsWhatIsJsonAndQuotesTheRest) {
  EXPECT_EQ(InfoJson({{"pid", "7"}, {"config", R"({"b":1,"a":[2]})"}, {"text", "{not json"}}),
            "{\n  \"config\": {\n    \"b\": 1,\n    \"a\": [\n      2\n    ]\n  },\n"
            "  \"pid\": 7,\n  \"text\": \"{not json\"\n}");
}

TEST(InfoJson, EscapesWhatSteersATerminal) {
  EXPECT_EQ(InfoJson({{"t", "\x1b[2J\x7f"}}), "{\n  \"t\": \"\\u001b[2J\\u007f\"\n}");
}

TEST(VerboseJson, HasStatusAndInfo) {
  ::runtime::v1::PodIP message;
  message.set_ip("10.0.0.1");
  const auto json = VerboseJson(message, {});
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(*json, "{\n  \"status\": {\n    \"ip\": \"10.0.0.1\"\n  },\n  \"info\": {}\n}");
}

}  // namespace
}  // namespace berth::cli
