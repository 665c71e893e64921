#include "src/command_line/completion.h"

#include <gtest/gtest.h>

#include "absl/strings/str_join.h"
#include "src/command_line/example_program.h"

namespace berth {
namespace {

struct Case {
  const char* name;
  std::vector<std::string> words;
  const char* candidates;  // with spaces between
  const char* operand;
};

const Case kCases[] = {
    {"Commands", {""}, "show tag", ""},
    {"CommandsByBeginning", {"s"}, "show", ""},
    {"NothingTyped", {}, "show tag", ""},
    {"CommandAfterAnOption", {"--socket", "x", "t"}, "tag", ""},
    {"CommandAfterAJoinedOption", {"--socket=x", "t"}, "tag", ""},
    {"Operand", {"show", "x"}, "", "THING"},
    {"RepeatedOperand", {"show", "x", "show", ""}, "", "THING"},
    {"OptionsOfCommandAndProgram", {"show", "--"}, "--help --all --output --help --socket", ""},
    {"OptionsAfterOperands", {"show", "x", "--o"}, "--output", ""},
    {"ShortOptions", {"show", "-a"}, "-a", ""},
    {"ChoicesOfAnOption", {"show", "-o", "j"}, "json", ""},
    {"FreeValueOfAnOption", {"--socket", ""}, "", ""},
    {"FlagTakesNoValue", {"show", "-a", ""}, "", "THING"},
    {"NoOptionsAfterTwoDashes", {"show", "--", "-"}, "", "THING"},
    {"CommandOfACommand", {"tag", ""}, "add", ""},
    {"OperandOfIt", {"tag", "add", ""}, "", "NAME"},
    {"OperandIsOnlyOne", {"tag", "add", "x", ""}, "", ""},
    {"HiddenCommandIsNone", {"secret", "-"}, "--help -h --socket", ""},
};

class CompleteTest : public testing::TestWithParam<Case> {};

TEST_P(CompleteTest, KnowsWhatMayFollow) {
  const ExampleProgram example;
  const Completion completion = Complete(example.app, GetParam().words);
  std::vector<std::string> words;
  for (const Candidate& candidate : completion.candidates) words.push_back(candidate.word);
  EXPECT_EQ(absl::StrJoin(words, " "), GetParam().candidates);
  EXPECT_EQ(completion.operand, GetParam().operand);
}

INSTANTIATE_TEST_SUITE_P(Lines, CompleteTest, testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param.name; });

TEST(Complete, SaysWhereTheWordsLead) {
  const ExampleProgram example;
  const Completion completion = Complete(example.app, {"tag", "add", "x", ""});
  EXPECT_EQ(completion.command, "add");
  EXPECT_EQ(completion.operands_given, 1u);
}

TEST(Complete, CandidatesAreExplained) {
  const ExampleProgram example;
  EXPECT_EQ(Complete(example.app, {"sh"}).candidates,
            (std::vector<Candidate>{{"show", "show things"}}));
}

}  // namespace
}  // namespace berth
