#include "src/image/credential_program.h"

#include <fcntl.h>
#include <stdlib.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class CredentialHelperTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-helper-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { ASSERT_TRUE(RemoveTreeAt(AT_FDCWD, dir_).ok()); }

  absl::StatusOr<std::optional<RegistryAuth>> Ask(const std::string& script,
                                                  const std::string& host = "reg.test:5000") {
    EXPECT_TRUE(
        ReplaceFileAt(AT_FDCWD, dir_ + "/docker-credential-x", "#!/bin/sh\n" + script, 0755).ok());
    return AskCredentialHelper({.name = "x", .dirs = {"/nonexistent", dir_}, .env = {"EXTRA=e"}},
                               host);
  }
  std::string Refusal(const std::string& script) {
    const auto auth = Ask(script);
    EXPECT_TRUE(absl::IsFailedPrecondition(auth.status())) << auth.status();
    EXPECT_THAT(std::string(auth.status().message()),
                AllOf(HasSubstr("docker-credential-x"), Not(HasSubstr("SECRET"))));
    return std::string(auth.status().message());
  }

  std::string dir_;
};

TEST_F(CredentialHelperTest, IsAskedForTheHostWithAFixedEnvironment) {
  ASSERT_EQ(::setenv("BERTH_LEAK", "leak", 1), 0);
  const auto auth =
      Ask("read host\n"
          "echo \"{\\\"ServerURL\\\":\\\"s\\\",\\\"Username\\\":\\\"$1 $host\\\","
          "\\\"Secret\\\":\\\"$HOME,$EXTRA,$BERTH_LEAK\\\"}\"\n");
  ASSERT_TRUE(auth.ok()) << auth.status();
  ASSERT_TRUE(auth->has_value());
  EXPECT_EQ((*auth)->username, "get reg.test:5000");
  EXPECT_EQ((*auth)->password, "/root,e,");
}

TEST_F(CredentialHelperTest, DockersHubHasItsOldName) {
  const auto auth =
      Ask("read host; echo \"{\\\"Username\\\":\\\"u\\\",\\\"Secret\\\":\\\"$host\\\"}\"\n",
          "docker.io");
  ASSERT_TRUE(auth.ok()) << auth.status();
  EXPECT_EQ((*auth)->password, "https://index.docker.io/v1/");
}

TEST_F(CredentialHelperTest, TokenAsUserNameMeansAnIdentityToken) {
  const auto auth = Ask("echo '{\"Username\":\"<token>\",\"Secret\":\"i\"}'\n");
  ASSERT_TRUE(auth.ok()) << auth.status();
  EXPECT_EQ((*auth)->identity_token, "i");
  EXPECT_EQ((*auth)->password, "");
}

TEST_F(CredentialHelperTest, KnowingNoneIsNoError) {
  const auto auth = Ask("echo 'credentials not found in native keychain'; exit 1\n");
  ASSERT_TRUE(auth.ok()) << auth.status();
  EXPECT_FALSE(auth->has_value());
}

TEST_F(CredentialHelperTest, FailuresAreNamedWithoutTheOutput) {
  EXPECT_THAT(Refusal("echo SECRET; exit 7\n"), HasSubstr("exit code 7"));
  EXPECT_THAT(Refusal("echo SECRET\n"), HasSubstr("no JSON object"));
  EXPECT_THAT(Refusal("echo '{\"Username\":\"SECRET\"}'\n"), HasSubstr("no Username and Secret"));
  EXPECT_THAT(Refusal("head -c 100000 /dev/zero\n"), HasSubstr("bytes of output"));
}

TEST_F(CredentialHelperTest, MissingOrMisnamedIsNamed) {
  const auto missing = AskCredentialHelper({.name = "none", .dirs = {dir_}}, "h");
  EXPECT_THAT(std::string(missing.status().message()),
              AllOf(HasSubstr("docker-credential-none"), HasSubstr(dir_)));
  EXPECT_FALSE(AskCredentialHelper({.name = "../x", .dirs = {dir_}}, "h").ok());
}

}  // namespace
}  // namespace berth
