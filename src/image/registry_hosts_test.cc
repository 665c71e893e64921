#include "src/image/registry_hosts.h"

#include <fcntl.h>
#include <stdlib.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class RegistryHostsTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-hosts-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { ASSERT_TRUE(RemoveTreeAt(AT_FDCWD, dir_).ok()); }

  void Write(const std::string& host, const std::string& file, const std::string& text) {
    ASSERT_TRUE(MakeDirs(absl::StrCat(dir_, "/", host), 0755).ok());
    ASSERT_TRUE(ReplaceFileAt(AT_FDCWD, absl::StrCat(dir_, "/", host, "/", file), text, 0644).ok());
  }
  absl::StatusOr<std::vector<RegistryEndpoint>> Load(const std::string& host) {
    return LoadRegistryEndpoints(host, {.certs_dirs = {dir_ + "/none", dir_}});
  }
  std::string Refusal(const std::string& text) {
    Write("reg.test", "hosts.toml", text);
    const auto endpoints = Load("reg.test");
    EXPECT_TRUE(absl::IsInvalidArgument(endpoints.status())) << endpoints.status();
    return std::string(endpoints.status().message());
  }

  std::string dir_;
};

TEST_F(RegistryHostsTest, WithoutFilesIsTheRegistryItself) {
  EXPECT_EQ(Load("docker.io")->at(0).url, "https://registry-1.docker.io/v2");
  EXPECT_EQ(Load("reg.test:5000")->at(0).url, "https://reg.test:5000/v2");
  EXPECT_EQ(Load("localhost:5000")->at(0).url, "http://localhost:5000/v2");
  EXPECT_FALSE(Load("docker.io")->at(0).mirror);
}

TEST_F(RegistryHostsTest, MirrorsComeInTheOrderOfTheFileAndTheServerLast) {
  Write("docker.io", "hosts.toml", R"(
server = "https://real.test"
[host."https://z.test"]
  capabilities = ["pull"]
[host."http://a.test:5000/prefix/"]
  capabilities = ["pull", "resolve", "push"]
[host."m.test/exact"]
  override_path = true
)");
  const auto endpoints = Load("docker.io");
  ASSERT_TRUE(endpoints.ok()) << endpoints.status();
  ASSERT_EQ(endpoints->size(), 4u);
  EXPECT_EQ(endpoints->at(0).url, "https://z.test/v2");
  EXPECT_TRUE(endpoints->at(0).can_pull);
  EXPECT_FALSE(endpoints->at(0).can_resolve);
  EXPECT_EQ(endpoints->at(1).url, "http://a.test:5000/prefix/v2");
  EXPECT_TRUE(endpoints->at(1).can_resolve);
  EXPECT_EQ(endpoints->at(2).url, "https://m.test/exact");
  EXPECT_TRUE(endpoints->at(2).mirror);
  EXPECT_EQ(endpoints->at(3).url, "https://real.test/v2");
  EXPECT_FALSE(endpoints->at(3).mirror);
}

TEST_F(RegistryHostsTest, CarriesBytesNotPaths) {
  Write("reg.test", "ca.pem", "CA1");
  Write("reg.test", "both.pem", "BOTH");
  Write("other", "ca.pem", "CA2");
  Write("other", "cert.pem", "CERT");
  Write("other", "key.pem", "KEY");
  Write(
      "reg.test", "hosts.toml",
      absl::StrCat("ca = 'ca.pem'\nclient = 'both.pem'\n[host.'https://m.test']\nca = ['ca.pem', '",
                   dir_, "/other/ca.pem']\nclient = [['../other/cert.pem', '", dir_,
                   "/other/key.pem']]\nskip_verify = true\ndial_timeout = '1m30s'\n",
                   "[host.'https://m.test'.header]\nx-one = 'a'\nx-two = ['b', 'c']\n"));
  const auto endpoints = Load("reg.test");
  ASSERT_TRUE(endpoints.ok()) << endpoints.status();
  const RegistryEndpoint& mirror = endpoints->at(0);
  EXPECT_THAT(mirror.ca, ElementsAre("CA1", "CA2"));
  EXPECT_EQ(mirror.client.certificate, "CERT");
  EXPECT_EQ(mirror.client.key, "KEY");
  EXPECT_TRUE(mirror.skip_verify);
  EXPECT_EQ(mirror.dial_timeout, absl::Seconds(90));
  EXPECT_THAT(mirror.headers,
              ElementsAre(Pair("x-one", "a"), Pair("x-two", "b"), Pair("x-two", "c")));
  const RegistryEndpoint& server = endpoints->at(1);
  EXPECT_EQ(server.url, "https://reg.test/v2");
  EXPECT_THAT(server.ca, ElementsAre("CA1"));
  EXPECT_EQ(server.client.certificate, "BOTH");
  EXPECT_EQ(server.client.key, "");
  EXPECT_THAT(server.headers, IsEmpty());
}

TEST_F(RegistryHostsTest, DefaultServesHostsWithoutTheirOwnFolder) {
  Write("_default", "hosts.toml", "[host.'https://m.test']\n");
  Write("own.test", "hosts.toml", "");
  EXPECT_EQ(Load("any.test")->at(0).url, "https://m.test/v2");
  EXPECT_EQ(Load("any.test")->at(1).url, "https://any.test/v2");
  EXPECT_EQ(Load("own.test")->size(), 1u);
}

TEST_F(RegistryHostsTest, ReadsDockersCertificatesWhereNoFileIs) {
  Write("localhost:5000", "ca.crt", "CA");
  Write("localhost:5000", "client.cert", "CERT");
  Write("localhost:5000", "client.key", "KEY");
  const auto endpoints = Load("localhost:5000");
  ASSERT_TRUE(endpoints.ok()) << endpoints.status();
  ASSERT_EQ(endpoints->size(), 1u);
  EXPECT_EQ(endpoints->at(0).url, "https://localhost:5000/v2");
  EXPECT_THAT(endpoints->at(0).ca, ElementsAre("CA"));
  EXPECT_EQ(endpoints->at(0).client.certificate, "CERT");
  EXPECT_EQ(endpoints->at(0).client.key, "KEY");
}

TEST_F(RegistryHostsTest, NamesFileLineAndKeyOfWhatItRefuses) {
  EXPECT_THAT(Refusal("\nca_file = 'x'"),
              HasSubstr("/reg.test/hosts.toml:2: unknown key \"ca_file\""));
  EXPECT_THAT(Refusal("server = ["), HasSubstr("/reg.test/hosts.toml:1"));
  EXPECT_THAT(Refusal("server = 7"), HasSubstr("server is no string"));
  EXPECT_THAT(Refusal("host = 7"), HasSubstr("host is no table"));
  EXPECT_THAT(Refusal("capabilities = ['fly']"), HasSubstr("\"fly\" is unknown"));
  EXPECT_THAT(Refusal("skip_verify = 'yes'"), HasSubstr("skip_verify is no boolean"));
  EXPECT_THAT(Refusal("dial_timeout = '-1s'"), HasSubstr("dial_timeout"));
  EXPECT_THAT(Refusal("client = [['a', 'b', 'c']]"), HasSubstr("client: a pair"));
  EXPECT_THAT(Refusal("client = ['a', 'b']"), HasSubstr("more than one certificate"));
  EXPECT_THAT(Refusal("[header]\nx = \"a\\r\\nHost: b\""), HasSubstr("HTTP does not allow"));
  EXPECT_THAT(Refusal("[host.'ftp://m.test']"), HasSubstr("no http or https URL"));
  EXPECT_THAT(Refusal("[host.'https://u:p@m.test']"), HasSubstr("no http or https URL"));
}

TEST_F(RegistryHostsTest, ACertificateThatIsMissingIsAnError) {
  Write("reg.test", "hosts.toml", "ca = 'missing.pem'");
  const auto endpoints = Load("reg.test");
  EXPECT_TRUE(absl::IsNotFound(endpoints.status())) << endpoints.status();
  EXPECT_THAT(std::string(endpoints.status().message()), HasSubstr("missing.pem"));
  EXPECT_FALSE(Load("../etc").ok());
}

}  // namespace
}  // namespace berth
