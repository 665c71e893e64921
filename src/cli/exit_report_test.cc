#include "src/cli/exit_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::cli {
namespace {

using testing::HasSubstr;

TEST(ParseExitReport, Success) {
  EXPECT_EQ(*ParseExitReport(R"({"metadata":{},"status":"Success"})"), 0);
}

TEST(ParseExitReport, ExitCode) {
  EXPECT_EQ(
      *ParseExitReport(
          R"({"status":"Failure","reason":"NonZeroExitCode","message":"command terminated",)"
          R"("details":{"causes":[{"reason":"Other","message":"1"},{"reason":"ExitCode","message":"42"}]}})"),
      42);
}

TEST(ParseExitReport, FailureIsInItsOwnWords) {
  const auto report = ParseExitReport(
      R"({"status":"Failure","reason":"InternalError","code":500,"message":"exec /nope: No such file or directory"})");
  EXPECT_EQ(report.status().message(), "exec /nope: No such file or directory");
}

TEST(ParseExitReport, NeverMakesUpACode) {
  for (
      const char* text :
      {"", "null", "[]", "7", "\"x\"", "{", "{}", R"({"status":3})", R"({"status":"Failure"})",
       R"({"status":"Failure","reason":"NonZeroExitCode"})",
       R"({"status":"Failure","reason":"NonZeroExitCode","details":[]})",
       R"({"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[1,{"reason":"ExitCode"}]}})",
       R"({"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"0"}]}})",
       R"({"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"x"}]}})"})
    EXPECT_FALSE(ParseExitReport(text).ok()) << text;
}

}  // namespace
}  // namespace berth::cli
