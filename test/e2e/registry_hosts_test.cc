// hosts.toml: private authorities, client certificates, mirrors and their order, with Debian's
// docker-registry behind TLS.
#include <gmock/gmock.h>

#include "absl/strings/str_cat.h"
#include "test/e2e/registry_fixture.h"
#include "test/e2e/stub_registry.h"

namespace berth::e2e {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class RegistryHostsTest : public RegistryTest {
 protected:
  void SetUp() override {
    RegistryTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    auto mirror = StubRegistry::Start();
    ASSERT_OK(mirror);
    mirror_ = *std::move(mirror);
  }
  StubRegistry& mirror() { return *mirror_; }
  // hosts.toml of `host` with the mirror first.
  void WriteMirror(const std::string& host, const std::string& keys = "") {
    WriteHosts(host, absl::StrCat("server = \"http://", host, "\"\n[host.\"http://",
                                  mirror_->host(), "\"]\n", keys));
  }

 private:
  std::unique_ptr<StubRegistry> mirror_;
};

TEST_F(RegistryHostsTest, PrivateAuthorityIsTrustedOnceItIsNamed) {
  const auto registry = StartTlsRegistry("tls");
  ASSERT_NE(registry, nullptr);
  const std::string reference = Push("private", registry->host());
  const std::string https = absl::StrCat("server = \"https://", registry->host(), "\"\n");
  WriteHosts(registry->host(), https);
  const auto refused = Pull(reference);
  EXPECT_CODE(refused, kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("certificate"));
  // Read at each pull: no restart in between.
  WriteHosts(registry->host(), absl::StrCat(https, "ca = \"", dir() / "ca.pem", "\"\n"));
  EXPECT_OK(Pull(reference));
}

TEST_F(RegistryHostsTest, SkipVerifyTakesAnyCertificate) {
  const auto registry = StartTlsRegistry("tls");
  ASSERT_NE(registry, nullptr);
  const std::string reference = Push("any", registry->host());
  WriteHosts(registry->host(),
             absl::StrCat("server = \"https://", registry->host(), "\"\nskip_verify = true\n"));
  EXPECT_OK(Pull(reference));
}

TEST_F(RegistryHostsTest, ClientCertificateOpensARegistryThatAsksForOne) {
  const auto registry =
      StartTlsRegistry("mutual", absl::StrCat(", clientcas: [", dir() / "ca.pem", "]"));
  ASSERT_NE(registry, nullptr);
  const std::string reference = Push("mutual", registry->host());
  const std::string base = absl::StrCat("server = \"https://", registry->host(), "\"\nca = \"",
                                        dir() / "ca.pem", "\"\n");
  WriteHosts(registry->host(), base);
  EXPECT_CODE(Pull(reference), kUnknown);
  ASSERT_OK_AND_ASSIGN(const Certificate client, authority().Sign("client"));
  dir().Write("client.pem", client.Pem());
  dir().Write("client.key", client.KeyPem());
  dir().Write("both.pem", client.Pem() + client.KeyPem());
  WriteHosts(registry->host(), absl::StrCat(base, "client = [[\"", dir() / "client.pem", "\", \"",
                                            dir() / "client.key", "\"]]\n"));
  EXPECT_OK(Pull(reference));
  WriteHosts(registry->host(), absl::StrCat(base, "client = \"", dir() / "both.pem", "\"\n"));
  EXPECT_OK(Pull(reference));
}

TEST_F(RegistryHostsTest, DockersCertificateFilesAreReadToo) {
  const auto registry = StartTlsRegistry("docker");
  ASSERT_NE(registry, nullptr);
  const std::string reference = Push("docker-files", registry->host());
  dir().Write(absl::StrCat("certs.d/", registry->host(), "/ca.crt"), authority().Pem());
  EXPECT_OK(Pull(reference));
}

TEST_F(RegistryHostsTest, MirrorIsAskedFirstAndToldForWhom) {
  const BuiltImage image = Build({.layers = {{{File("content", "mirrored")}}}});
  mirror().Add("app", "v1", image);
  const std::string host = open_registry().host();
  WriteMirror(host, "capabilities = [\"pull\", \"resolve\"]\nheader = {X-One = \"1\"}\n");
  cri::AuthConfig auth;
  auth.set_username("user");
  auth.set_password("password");
  ASSERT_OK_AND_ASSIGN(const std::string id, Pull(host + "/app:v1", auth));
  EXPECT_EQ(id, image.id);
  EXPECT_THAT(mirror().Requests(), Contains(HasSubstr("/v2/app/manifests/v1?ns=" + host)));
  EXPECT_THAT(mirror().Authorizations(), Each(IsEmpty())) << "the registry's credentials";
}

TEST_F(RegistryHostsTest, MirrorThatDoesNotHaveItOrFailsGivesWayToTheRegistry) {
  const std::string host = open_registry().host();
  WriteMirror(host);
  EXPECT_OK(Pull(Push("not-there", host)));
  EXPECT_THAT(mirror().Requests(), Contains(HasSubstr("/v2/not-there/manifests/v1")));
  mirror().SetFault("/v2/fails/", StubRegistry::Fault::kServerError);
  EXPECT_OK(Pull(Push("fails", host)));
  // The manifest is fine there, the layers are not.
  const BuiltImage image = Build({.layers = {{{File("content", "half")}}}});
  mirror().Add("half", "v1", image);
  mirror().SetFault("/v2/half/blobs/", StubRegistry::Fault::kServerError);
  ASSERT_OK(open_registry().Push("half", "v1", image));
  EXPECT_OK(Pull(host + "/half:v1"));
  // Nobody listens.
  WriteHosts(host, "server = \"http://" + host + "\"\n[host.\"http://127.0.0.1:1\"]\n");
  EXPECT_OK(Pull(Push("nobody", host)));
}

TEST_F(RegistryHostsTest, MirrorWithoutResolveIsAskedForContentAlone) {
  const BuiltImage image = Build({.layers = {{{File("content", "pull only")}}}});
  mirror().Add("pull-only", "v1", image);
  const std::string host = open_registry().host();
  WriteMirror(host, "capabilities = [\"pull\"]\n");
  ASSERT_OK(open_registry().Push("pull-only", "v1", image));
  ASSERT_OK(Pull(host + "/pull-only:v1"));
  EXPECT_THAT(mirror().Requests(), Each(Not(HasSubstr("/manifests/v1"))));
  EXPECT_THAT(mirror().Requests(), Contains(HasSubstr("/blobs/")));
}

TEST_F(RegistryHostsTest, OverridePathIsTakenAsItIs) {
  const std::string host = open_registry().host();
  WriteHosts(host, "server = \"http://" + host + "\"\n[host.\"http://" + mirror().host() +
                       "/cache/v2\"]\n[host.\"http://" + mirror().host() +
                       "/other\"]\noverride_path = true\n");
  ASSERT_OK(Pull(Push("path", host)));
  EXPECT_THAT(mirror().Requests(), Contains(HasSubstr("GET /cache/v2/path/manifests/v1")));
  EXPECT_THAT(mirror().Requests(), Contains(HasSubstr("GET /other/path/manifests/v1")));
}

TEST_F(RegistryHostsTest, FinalMessageNamesEveryEndpointAndItsCause) {
  const std::string host = open_registry().host();
  WriteHosts(host, "server = \"http://" + host +
                       "\"\n[host.\"http://127.0.0.1:1\"]\n[host.\"http://" + mirror().host() +
                       "\"]\n");
  mirror().SetFault("/v2/", StubRegistry::Fault::kDenied);
  const auto id = Pull(host + "/nowhere:v1");
  EXPECT_CODE(id, kNotFound);
  EXPECT_THAT(
      std::string(id.status().message()),
      AllOf(HasSubstr("http://127.0.0.1:1/v2/nowhere"), HasSubstr(mirror().host()),
            HasSubstr("401"), HasSubstr("http://" + host + "/v2/nowhere"), HasSubstr("404")));
}

TEST_F(RegistryHostsTest, WrongFileFailsThePullWithFileAndLine) {
  const std::string host = open_registry().host();
  WriteHosts(host, "\nno_such_key = 1\n");
  const auto id = Pull(host + "/any:v1");
  EXPECT_CODE(id, kInvalidArgument);
  EXPECT_THAT(std::string(id.status().message()),
              AllOf(HasSubstr("hosts.toml:2"), HasSubstr("no_such_key")));
}

}  // namespace
}  // namespace berth::e2e
