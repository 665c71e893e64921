#include "src/stream/session_outcome.h"

#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "src/stream/resize_parser.h"

namespace berth {
namespace {

TEST(OutcomeText, IsAStatusFromV4On) {
  for (const CommandProtocol protocol : {CommandProtocol::kV4, CommandProtocol::kV5}) {
    EXPECT_EQ(OutcomeText({}, protocol), R"({"metadata":{},"status":"Success"})");
    EXPECT_EQ(OutcomeText({.exit_code = 137}, protocol),
              R"({"metadata":{},"status":"Failure","message":"command terminated with non-zero )"
              R"(exit code: exit status 137","reason":"NonZeroExitCode","details":{"causes":)"
              R"([{"reason":"ExitCode","message":"137"}]}})");
    EXPECT_EQ(OutcomeText({.failure = absl::UnavailableError("gone")}, protocol),
              R"({"metadata":{},"status":"Failure","message":"Internal error occurred: gone",)"
              R"("reason":"InternalError","details":{"causes":[{"message":"gone"}]},"code":500})");
  }
}

TEST(OutcomeText, IsALineOrNothingBeforeV4) {
  for (const CommandProtocol protocol :
       {CommandProtocol::kV1, CommandProtocol::kV2, CommandProtocol::kV3}) {
    EXPECT_EQ(OutcomeText({}, protocol), "");
    EXPECT_EQ(OutcomeText({.exit_code = 3}, protocol),
              "command terminated with non-zero exit code: exit status 3");
    EXPECT_EQ(OutcomeText({.failure = absl::UnavailableError("gone")}, protocol),
              "Internal error occurred: gone");
  }
}

TEST(OutcomeText, OfWhatCouldNotRunIsAnExitCode) {
  const SessionOutcome outcome = {.exit_code = 127, .failure = absl::NotFoundError("no such file")};
  EXPECT_EQ(OutcomeText(outcome, CommandProtocol::kV4),
            R"({"metadata":{},"status":"Failure","message":"no such file",)"
            R"("reason":"NonZeroExitCode","details":{"causes":)"
            R"([{"reason":"ExitCode","message":"127"}]}})");
  EXPECT_EQ(OutcomeText(outcome, CommandProtocol::kV1), "no such file");
}

TEST(OutcomeText, ReplacesWhatIsNoUtf8) {
  EXPECT_NE(OutcomeText({.failure = absl::InternalError("\xff")}, CommandProtocol::kV4)
                .find("\xef\xbf\xbd"),
            std::string::npos);
}

TEST(ResizeParser, TellsTheLastSizeHoweverItIsCut) {
  const std::string stream = R"({"Width":80,"Height":24}{"Width":100,"Height":30})";
  for (size_t step = 1; step <= stream.size(); ++step) {
    ResizeParser parser;
    std::optional<TerminalSize> size;
    for (size_t at = 0; at < stream.size(); at += step) {
      if (const auto next = parser.Feed(stream.substr(at, step))) size = next;
    }
    EXPECT_EQ(size, (TerminalSize{.rows = 30, .columns = 100})) << step;
  }
}

TEST(ResizeParser, ReadsNamesInAnyCase) {
  ResizeParser parser;
  EXPECT_EQ(parser.Feed(R"({"width": 1, "height": 2})"), (TerminalSize{.rows = 2, .columns = 1}));
}

TEST(ResizeParser, SkipsWhatIsNoSize) {
  for (const std::string& bad :
       {std::string("{}"), std::string("null"), std::string(R"({"Width":0,"Height":5})"),
        std::string(R"({"Width":-1,"Height":5})"), std::string(R"({"Width":70000,"Height":5})"),
        std::string(R"({"Width":"80","Height":5})"), std::string("{{{{}}}}"),
        "{" + std::string(5000, 'x') + "}"}) {
    ResizeParser parser;
    EXPECT_EQ(parser.Feed(bad), std::nullopt) << bad.substr(0, 40);
    // What comes behind it counts again.
    EXPECT_TRUE(parser.Feed(R"({"Width":80,"Height":24})").has_value()) << bad.substr(0, 40);
  }
}

}  // namespace
}  // namespace berth
