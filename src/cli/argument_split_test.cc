#include "src/cli/argument_split.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

// -e and --env take a value, all others do not.
bool EnvTakesValue(absl::string_view option) { return option == "-e" || option == "--env"; }

struct SplitCase {
  const char* name;
  std::vector<std::string> arguments;
  size_t positional;
};

class FindPositionalTest : public testing::TestWithParam<SplitCase> {};

TEST_P(FindPositionalTest, SkipsOptionsAndTheirValues) {
  EXPECT_EQ(FindPositional(GetParam().arguments, 0, EnvTakesValue), GetParam().positional);
}

INSTANTIATE_TEST_SUITE_P(
    Lines, FindPositionalTest,
    testing::Values(SplitCase{"First", {"image", "-e"}, 0},
                    SplitCase{"AfterFlag", {"-d", "image"}, 1},
                    SplitCase{"AfterValue", {"-e", "A=1", "image"}, 2},
                    SplitCase{"LongWithEquals", {"--env=A=1", "image"}, 1},
                    SplitCase{"LongWithValue", {"--env", "A=1", "image"}, 2},
                    SplitCase{"ClusterEndsInValue", {"-de", "A=1", "image"}, 2},
                    SplitCase{"ValueInTheSameWord", {"-eA=1", "image"}, 1},
                    SplitCase{"DoubleDash", {"-d", "--", "-image"}, 2},
                    SplitCase{"SingleDash", {"-"}, 0}, SplitCase{"None", {"-d"}, 1},
                    SplitCase{"ValueMissing", {"-e"}, 1}, SplitCase{"Empty", {}, 0},
                    SplitCase{"DoubleDashLast", {"--"}, 1}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace berth::cli
