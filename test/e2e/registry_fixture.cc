#include "test/e2e/registry_fixture.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace berth::e2e {

void RegistryTest::SetUp() {
  E2eTest::SetUp();
  if (HasFatalFailure() || IsSkipped()) return;
  dir_.emplace(Name("-registry"));
  dir_->MakeDir("certs.d");
  auto open = DockerRegistry::Start(*dir_ / "open");
  ASSERT_OK(open);
  open_ = *std::move(open);
  auto authority = Certificate::Authority("authority of the tests");
  ASSERT_OK(authority);
  authority_ = *std::move(authority);
  dir_->Write("ca.pem", authority_->Pem());
  auto own = OwnNode::Start("registry", absl::StrCat("[registry]\ncerts_dirs = \"",
                                                     *dir_ / "certs.d", "\"\n", MoreConfig()));
  ASSERT_OK(own);
  own_.emplace(*std::move(own));
}

void RegistryTest::TearDown() {
  own_.reset();
  open_.reset();
  dir_.reset();
  E2eTest::TearDown();
}

std::unique_ptr<DockerRegistry> RegistryTest::StartRegistry(const std::string& name,
                                                            DockerRegistry::Options options) {
  options.storage = *dir_ / "open/data";
  auto registry = DockerRegistry::Start(*dir_ / name, options);
  EXPECT_OK(registry);
  return registry.ok() ? *std::move(registry) : nullptr;
}

std::unique_ptr<DockerRegistry> RegistryTest::StartTlsRegistry(const std::string& name,
                                                               const std::string& more_tls,
                                                               const std::string& config) {
  auto certificate = authority_->Sign(name);
  EXPECT_OK(certificate);
  if (!certificate.ok()) return nullptr;
  const std::string pem = dir_->Write(name + "-cert.pem", certificate->Pem());
  const std::string key = dir_->Write(name + "-key.pem", certificate->KeyPem());
  return StartRegistry(
      name, {.http = absl::StrCat("tls: {certificate: ", pem, ", key: ", key, more_tls, "}"),
             .config = config});
}

void RegistryTest::WriteHosts(const std::string& host, const std::string& toml) {
  dir_->Write(absl::StrCat("certs.d/", host, "/hosts.toml"), toml);
}

std::string RegistryTest::Push(const std::string& name, const std::string& host) {
  const auto pushed = open_->Push(name, "v1", Build({.layers = {{{File("content", Name(name))}}}}));
  EXPECT_OK(pushed);
  return absl::StrCat(host, "/", name, ":v1");
}

absl::StatusOr<std::string> RegistryTest::Pull(const std::string& reference,
                                               const cri::AuthConfig& auth) {
  cri::PullImageRequest request;
  request.mutable_image()->set_image(reference);
  *request.mutable_auth() = auth;
  const auto response = berth().Call(&Images::PullImage, request);
  if (!response.ok()) return response.status();
  return response->image_ref();
}

}  // namespace berth::e2e
