#include "src/image/auth_file.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

AuthFile Parsed(const std::string& text) {
  const auto file = ParseAuthFile(text, "auth file /x");
  EXPECT_TRUE(file.ok()) << file.status();
  return file.value_or(AuthFile());
}

std::string Basic(const std::string& text) {
  return absl::StrCat(R"({"auth":")", absl::Base64Escape(text), "\"}");
}

TEST(AuthFile, LongestPrefixOfWholeComponentsWins) {
  const AuthFile file = Parsed(absl::StrCat(R"({"auths":{"reg.test:5000":)", Basic("host:1"),
                                            R"(,"reg.test:5000/team/app":)", Basic("app:2"),
                                            R"(,"reg.test:5000/team":)", Basic("team:3"), "}}"));
  const struct {
    const char *path, *username;
  } cases[] = {{"team/app", "app"},
               {"team/app/sub", "app"},
               {"team/application", "team"},
               {"team/other", "team"},
               {"else", "host"}};
  for (const auto& c : cases) {
    const auto entry = FindAuth(file, "reg.test:5000", c.path);
    ASSERT_TRUE(entry.has_value()) << c.path;
    EXPECT_EQ(entry->auth.username, c.username) << c.path;
  }
  EXPECT_FALSE(FindAuth(file, "reg.test", "team/app").has_value());
  EXPECT_FALSE(FindAuth(file, "evil-reg.test:5000", "team/app").has_value());
}

TEST(AuthFile, KnowsDockersNamesAndTokens) {
  const AuthFile file = Parsed(absl::StrCat(
      R"({"auths":{"https://index.docker.io/v1/":)", Basic("hub:p:q"),
      R"(,"https://id.test/v2/":{"identitytoken":"i"},"r.test":{"registrytoken":"r"},)",
      R"("u.test":{"username":"u","password":"p"}},"HttpHeaders":{"User-Agent":"x"}})"));
  EXPECT_EQ(FindAuth(file, "docker.io", "library/busybox")->auth.password, "p:q");
  EXPECT_EQ(FindAuth(file, "id.test", "a")->auth.identity_token, "i");
  EXPECT_EQ(FindAuth(file, "r.test", "a")->auth.registry_token, "r");
  EXPECT_EQ(FindAuth(file, "u.test", "a")->auth.username, "u");
}

TEST(AuthFile, HelpersComeFirstAndTheStoreLast) {
  const AuthFile file =
      Parsed(absl::StrCat(R"({"auths":{"a.test":)", Basic("u:p"), R"(,"b.test":)", Basic("u:p"),
                          R"(,"c.test":{}},"credHelpers":{"b.test":"own"},"credsStore":"store"})"));
  EXPECT_EQ(FindAuth(file, "a.test", "x")->helper, "");
  EXPECT_EQ(FindAuth(file, "b.test", "x")->helper, "own");
  EXPECT_EQ(FindAuth(file, "c.test", "x")->helper, "store");
  EXPECT_EQ(FindAuth(file, "d.test", "x")->helper, "store");
}

TEST(AuthFile, RefusesNonsenseWithoutQuotingIt) {
  for (const char* text :
       {"{\"auths\":{\"a\":{\"auth\":\"SECRET%%\"}}}", "{\"auths\":\"SECRET\"}", "[\"SECRET\"]",
        "{\"auths\":{\"a\":{\"auth\":[\"SECRET\"]}}}", "{SECRET", "{\"credHelpers\":[\"SECRET\"]}",
        "{\"auths\":{\"a\":{\"password\":\"SECRET\""}) {
    const auto file = ParseAuthFile(text, "auth file /x");
    EXPECT_TRUE(absl::IsInvalidArgument(file.status())) << text;
    EXPECT_THAT(std::string(file.status().message()), HasSubstr("auth file /x"));
    EXPECT_THAT(std::string(file.status().message()), Not(HasSubstr("SECRET"))) << text;
  }
}

}  // namespace
}  // namespace berth
