#include "src/command_line/man_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/command_line/example_program.h"

namespace berth {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string ExamplePage() {
  const ExampleProgram example;
  return ManPage(example.app,
                 {.name = "example", .section = 1, .about = "an example", .source = "X 1"},
                 ".SH MORE\n");
}

TEST(Roff, NothingOfTheTextIsARequest) {
  EXPECT_EQ(Roff(".TH\n'br\na.b"), "\\&.TH\n\\&\\(aqbr\na.b");
  EXPECT_EQ(Roff("a\\fB --x \"y\""), "a\\efB \\-\\-x \\(dqy\\(dq");
  EXPECT_EQ(RoffMacro("SH", "SEE ALSO"), ".SH \"SEE ALSO\"\n");
}

TEST(ManPage, BeginsWithTitleNameAndSynopsis) {
  const std::string page = ExamplePage();
  EXPECT_THAT(page, StartsWith(".TH EXAMPLE 1 \"\" \"X 1\" \"Berth\"\n"));
  EXPECT_THAT(page, HasSubstr(".SH \"NAME\"\nexample \\- an example\n"));
  EXPECT_THAT(page, HasSubstr("\\fBexample\\fR [\\fIOPTION\\fR]... \\fICOMMAND\\fR\n"));
  EXPECT_THAT(page, HasSubstr(".SH MORE\n"));
}

TEST(ManPage, ExplainsOptionsWithValueDefaultAndEnvironment) {
  EXPECT_THAT(ExamplePage(),
              HasSubstr(".TP\n\\fB\\-\\-socket\\fR=\\fIPATH\\fR\nwhere it listens; by default "
                        "\\fB/run/x.sock\\fR (environment: \\fBEXAMPLE_SOCKET\\fR)\n"));
}

TEST(ManPage, ExplainsCommandsAndTheirs) {
  const std::string page = ExamplePage();
  EXPECT_THAT(page, HasSubstr(".SS \"example show\"\n\\fBexample show\\fR [\\fIOPTION\\fR]... "
                              "\\fITHING\\fR...\n.PP\nshow things\n"));
  EXPECT_THAT(page, HasSubstr("\\fB\\-o\\fR, \\fB\\-\\-output\\fR=\\fIFORMAT\\fR\n"));
  EXPECT_THAT(page, HasSubstr(".SS \"example tag add\"\n\\fBexample tag add\\fR "
                              "[\\fINAME\\fR]\n"));
  EXPECT_THAT(page, HasSubstr(".PP\n\\&.shown first\n.br\nand then\n"));
  EXPECT_THAT(page, Not(HasSubstr("secret")));
}

TEST(ManPage, ExplainsHelpOnce) {
  const std::string page = ExamplePage();
  const size_t first = page.find("\\-\\-help");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(page.find("\\-\\-help", first + 1), std::string::npos);
}

}  // namespace
}  // namespace berth
