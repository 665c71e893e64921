// Credentials: every form that the CRI has, the node's own files and helpers, against Debian's
// docker-registry with passwords (htpasswd) and with tokens.
#include <gmock/gmock.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "test/e2e/registry_fixture.h"
#include "test/e2e/token_server.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// What is secret in these tests: must be in no error and in no log.
constexpr char kPassword[] = "password";
constexpr char kWrong[] = "Wr0ngSecret";

class RegistryAuthTest : public RegistryTest {
 protected:
  void SetUp() override {
    RegistryTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    // bcrypt of "password".
    dir().Write("htpasswd", "user:$2y$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu\n");
    basic_ = StartRegistry("basic", {.config = absl::StrCat("auth: {htpasswd: {realm: e2e, path: ",
                                                            dir() / "htpasswd", "}}\n")});
    ASSERT_NE(basic_, nullptr);
    tokens_.emplace(authority());
    bearer_ = StartRegistry(
        "bearer",
        {.config = absl::StrCat(
             "auth: {token: {realm: \"", tokens_->realm(), "\", service: ", TokenServer::kService,
             ", issuer: ", TokenServer::kIssuer, ", rootcertbundle: ", dir() / "ca.pem", "}}\n")});
    ASSERT_NE(bearer_, nullptr);
  }
  void TearDown() override {
    if (basic_ != nullptr) {
      EXPECT_THAT(daemon().Log(), Not(HasSubstr(kWrong)));
      EXPECT_THAT(daemon().Log(), Not(HasSubstr(TokenServer::kIdentityToken)));
    }
    basic_.reset();
    bearer_.reset();
    tokens_.reset();
    RegistryTest::TearDown();
  }
  std::string MoreConfig() override {
    return absl::StrCat("auth_files = \"", dir() / "auth.json", ":", dir() / "more.json",
                        "\"\nhelper_dirs = \"", dir() / "helpers", "\"\n");
  }
  static cri::AuthConfig Auth(const std::string& username, const std::string& password) {
    cri::AuthConfig auth;
    auth.set_username(username);
    auth.set_password(password);
    return auth;
  }
  static std::string Entry(const std::string& text) {
    return absl::StrCat("{\"auth\": \"", absl::Base64Escape(text), "\"}");
  }
  void ExpectRefused(const absl::StatusOr<std::string>& id) {
    EXPECT_CODE(id, kUnauthenticated, kPermissionDenied);
    EXPECT_THAT(std::string(id.status().message()), Not(HasSubstr(kWrong)));
  }
  DockerRegistry& basic() { return *basic_; }
  DockerRegistry& bearer() { return *bearer_; }
  TokenServer& tokens() { return *tokens_; }

 private:
  std::unique_ptr<DockerRegistry> basic_, bearer_;
  std::optional<TokenServer> tokens_;
};

TEST_F(RegistryAuthTest, PasswordsOfTheCallOpenBothKinds) {
  for (DockerRegistry* registry : {&basic(), &bearer()}) {
    const std::string reference = Push("passwords", registry->host());
    ExpectRefused(Pull(reference));
    ExpectRefused(Pull(reference, Auth("user", kWrong)));
    EXPECT_OK(Pull(reference, Auth("user", kPassword)));
    cri::AuthConfig combined;
    combined.set_auth(absl::Base64Escape("user:password"));
    EXPECT_OK(Pull(reference, combined));
    // Nothing of an earlier call is left for the next.
    ExpectRefused(Pull(reference));
  }
}

TEST_F(RegistryAuthTest, CombinedFormThatIsNoBase64IsRefused) {
  cri::AuthConfig auth;
  auth.set_auth(std::string("%%") + kWrong);
  const auto id = Pull(basic().host() + "/any:v1", auth);
  EXPECT_CODE(id, kInvalidArgument);
  EXPECT_THAT(std::string(id.status().message()), Not(HasSubstr(kWrong)));
}

TEST_F(RegistryAuthTest, IdentityTokenIsExchanged) {
  const std::string reference = Push("identity", bearer().host());
  cri::AuthConfig auth;
  auth.set_identity_token(kWrong);
  ExpectRefused(Pull(reference, auth));
  auth.set_identity_token(TokenServer::kIdentityToken);
  EXPECT_OK(Pull(reference, auth));
}

TEST_F(RegistryAuthTest, RegistryTokenIsSentAsItIs) {
  const std::string reference = Push("registry-token", bearer().host());
  cri::AuthConfig auth;
  auth.set_registry_token(tokens().Token("registry-token"));
  EXPECT_OK(Pull(reference, auth));
  EXPECT_EQ(tokens().Requests(), 0);
  auth.set_registry_token(tokens().Token("another"));
  ExpectRefused(Pull(reference, auth));
}

TEST_F(RegistryAuthTest, ServerAddressSaysWhomTheCredentialsAreFor) {
  const std::string reference = Push("address", basic().host());
  cri::AuthConfig auth = Auth("user", kPassword);
  auth.set_server_address("elsewhere.test");
  ExpectRefused(Pull(reference, auth));
  auth.set_server_address("http://" + basic().host() + "/v2/");
  EXPECT_OK(Pull(reference, auth));
}

TEST_F(RegistryAuthTest, NodesFilesServeCallsWithoutCredentials) {
  const std::string reference = Push("team/app", basic().host());
  ExpectRefused(Pull(reference));
  dir().Write("auth.json", absl::StrCat("{\"auths\": {\"", basic().host(),
                                        "/team\": ", Entry("user:password"), ", \"", basic().host(),
                                        "\": ", Entry(absl::StrCat("user:", kWrong)), "}}"));
  EXPECT_OK(Pull(reference));
  ExpectRefused(Pull(Push("other/app", basic().host())));
  // The caller's own come first.
  ExpectRefused(Pull(reference, Auth("user", kWrong)));
  // A second file is read for what the first does not know.
  dir().Write("more.json",
              absl::StrCat("{\"auths\": {\"", bearer().host(), "\": {\"identitytoken\": \"",
                           TokenServer::kIdentityToken, "\"}}}"));
  EXPECT_OK(Pull(Push("team/app", bearer().host())));
}

TEST_F(RegistryAuthTest, MalformedFileIsNamedAndNotQuoted) {
  dir().Write("auth.json", absl::StrCat("{\"auths\": {\"a\": {\"auth\": \"", kWrong, "\"} x"));
  const auto id = Pull(basic().host() + "/any:v1");
  EXPECT_CODE(id, kInvalidArgument);
  EXPECT_THAT(std::string(id.status().message()), HasSubstr(dir() / "auth.json"));
  EXPECT_THAT(std::string(id.status().message()), Not(HasSubstr(kWrong)));
}

TEST_F(RegistryAuthTest, CredentialHelperIsAsked) {
  const std::string reference = Push("helped", basic().host());
  dir().Write("auth.json", absl::StrCat("{\"credHelpers\": {\"", basic().host(), "\": \"e2e\"}}"));
  const auto missing = Pull(reference);
  EXPECT_CODE(missing, kFailedPrecondition);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("docker-credential-e2e"));
  dir().Write(
      "helpers/docker-credential-e2e",
      absl::StrCat("#!/bin/sh\nread host\n[ \"$1 $host\" = \"get ", basic().host(),
                   "\" ] || exit 9\necho '{\"Username\":\"user\",\"Secret\":\"password\"}'\n"),
      0755);
  EXPECT_OK(Pull(reference));
  dir().Write("helpers/docker-credential-e2e", absl::StrCat("#!/bin/sh\necho ", kWrong, "\n"),
              0755);
  const auto nonsense = Pull(reference);
  EXPECT_CODE(nonsense, kFailedPrecondition);
  EXPECT_THAT(std::string(nonsense.status().message()), Not(HasSubstr(kWrong)));
}

TEST_F(RegistryAuthTest, MirrorHasCredentialsOfItsOwn) {
  const std::string reference = Push("mirrored", open_registry().host());
  WriteHosts(
      open_registry().host(),
      absl::StrCat("server = \"http://127.0.0.1:1\"\n[host.\"http://", basic().host(), "\"]\n"));
  EXPECT_CODE(Pull(reference, Auth("user", kPassword)), kUnknown) << "they were for another host";
  dir().Write("auth.json", absl::StrCat("{\"auths\": {\"", basic().host(),
                                        "\": ", Entry("user:password"), "}}"));
  EXPECT_OK(Pull(reference));
}

}  // namespace
}  // namespace berth::e2e
