#include "src/sandbox/streaming/session_tokens.h"

#include <gtest/gtest.h>

#include <set>

#include "src/base/id.h"

namespace berth {
namespace {

using wire::SessionKind;

const absl::Time kNow = absl::FromUnixSeconds(1000);

TEST(SessionTokens, StandForWhatTheyWereIssuedFor) {
  SessionTokens tokens({});
  const auto token = tokens.Issue({.kind = SessionKind::kExec,
                                   .id = "c1",
                                   .command = {"sh", "-l"},
                                   .streams = {.input = true, .terminal = true}},
                                  kNow);
  ASSERT_TRUE(token.ok());
  const auto request = tokens.Redeem(SessionKind::kExec, *token, kNow);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->id, "c1");
  EXPECT_EQ(request->command, (std::vector<std::string>{"sh", "-l"}));
  EXPECT_TRUE(request->streams.input && request->streams.terminal);
}

TEST(SessionTokens, Are256RandomBits) {
  SessionTokens tokens({});
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const auto token = tokens.Issue({}, kNow);
    ASSERT_TRUE(token.ok());
    EXPECT_TRUE(IsFullId(*token)) << *token;
    EXPECT_TRUE(seen.insert(*token).second);
  }
}

TEST(SessionTokens, AreGoodOnce) {
  SessionTokens tokens({});
  const std::string token = *tokens.Issue({}, kNow);
  EXPECT_TRUE(tokens.Redeem(SessionKind::kExec, token, kNow).ok());
  EXPECT_TRUE(absl::IsNotFound(tokens.Redeem(SessionKind::kExec, token, kNow).status()));
}

TEST(SessionTokens, AreGoodForTheirLifetime) {
  SessionTokens tokens({.lifetime = absl::Seconds(60)});
  const std::string in_time = *tokens.Issue({}, kNow), late = *tokens.Issue({}, kNow);
  EXPECT_TRUE(tokens.Redeem(SessionKind::kExec, in_time, kNow + absl::Seconds(59)).ok());
  EXPECT_TRUE(
      absl::IsNotFound(tokens.Redeem(SessionKind::kExec, late, kNow + absl::Seconds(60)).status()));
}

TEST(SessionTokens, OfAnotherKindAreBurnt) {
  SessionTokens tokens({});
  const std::string token = *tokens.Issue({.kind = SessionKind::kAttach}, kNow);
  EXPECT_TRUE(absl::IsNotFound(tokens.Redeem(SessionKind::kExec, token, kNow).status()));
  EXPECT_TRUE(absl::IsNotFound(tokens.Redeem(SessionKind::kAttach, token, kNow).status()));
}

TEST(SessionTokens, PartsAndStrangersAreUnknown) {
  SessionTokens tokens({});
  const std::string token = *tokens.Issue({}, kNow);
  std::string other = token;
  other.back() = other.back() == '0' ? '1' : '0';
  for (const std::string& wrong : {std::string(), token.substr(1), token + "0", other, NewId()}) {
    EXPECT_TRUE(absl::IsNotFound(tokens.Redeem(SessionKind::kExec, wrong, kNow).status()));
  }
  EXPECT_TRUE(tokens.Redeem(SessionKind::kExec, token, kNow).ok());
}

TEST(SessionTokens, AreBoundedInNumberAndTheOldMakeRoom) {
  SessionTokens tokens({.lifetime = absl::Seconds(60), .most = 3});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(tokens.Issue({}, kNow).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(tokens.Issue({}, kNow + absl::Seconds(59)).status()));
  EXPECT_TRUE(tokens.Issue({}, kNow + absl::Seconds(60)).ok());
}

}  // namespace
}  // namespace berth
