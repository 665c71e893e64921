#include "src/cli/terminal_text.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

struct OneLineCase {
  const char* name;
  std::string text;
  std::string safe;
};

class OneLineTest : public testing::TestWithParam<OneLineCase> {};

TEST_P(OneLineTest, KeepsOnlyWhatIsHarmless) {
  EXPECT_EQ(OneLine(GetParam().text), GetParam().safe);
}

INSTANTIATE_TEST_SUITE_P(Texts, OneLineTest,
                         testing::Values(OneLineCase{"Plain", "localhost:5000/a",
                                                     "localhost:5000/a"},
                                         OneLineCase{"EscapeSequence", "a\x1b[31mb", "a[31mb"},
                                         OneLineCase{"TitleSequence", "\x1b]0;x\x07y", "]0;xy"},
                                         OneLineCase{"NewlineAndTab", "a\nb\tc\r", "a b c"},
                                         OneLineCase{"C1Control",
                                                     "a\xc2\x9b"
                                                     "2Jb",
                                                     "a2Jb"},
                                         OneLineCase{"RawC1Byte",
                                                     "a\x9b"
                                                     "2J",
                                                     "a?2J"},
                                         OneLineCase{"BidirectionalOverride",
                                                     "a\xe2\x80\xae"
                                                     "b",
                                                     "ab"},
                                         OneLineCase{"Utf8", "größe 日本", "größe 日本"},
                                         OneLineCase{"Overlong", "\xc0\x9b[", "??["},
                                         OneLineCase{"CutSequence", "a\xe2\x80", "a??"},
                                         OneLineCase{"Nul", std::string("a\0b", 3), "ab"}),
                         [](const auto& info) { return info.param.name; });

TEST(EscapeJsonForTerminal, WritesControlsAsJsonEscapes) {
  EXPECT_EQ(EscapeJsonForTerminal("{\n \"a\": \"x\x7f\xc2\x9b\xe2\x80\xae\"}"),
            "{\n \"a\": \"x\\u007f\\u009b\\u202e\"}");
}

TEST(DisplayWidth, CountsColumnsAndNotBytes) {
  EXPECT_EQ(DisplayWidth("abc"), 3u);
  EXPECT_EQ(DisplayWidth("ö"), 1u);
  EXPECT_EQ(DisplayWidth("日本"), 4u);
  EXPECT_EQ(DisplayWidth("e\xcc\x81"), 1u);
}

TEST(Shorten, EndsInAnEllipsisWithinTheWidth) {
  EXPECT_EQ(Shorten("abcdef", 6), "abcdef");
  EXPECT_EQ(Shorten("abcdef", 4), "abc…");
  EXPECT_EQ(Shorten("日本語", 4), "日…");
  EXPECT_EQ(Shorten("abc", 0), "");
}

}  // namespace
}  // namespace berth::cli
