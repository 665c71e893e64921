// What registries answer to a pull, and what they may be told.
#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/image/digest.h"
#include "src/image/image_store.h"
#include "src/image/testing/image_store_fixture.h"
#include "src/image/testing/registry_stub.h"
#include "src/image/testing/tar_writer.h"

namespace berth {
namespace {

using testing::HasSubstr;
using testing::SizeIs;
using testing_image::File;
using testing_image::MakeImage;
using testing_image::RegistryStub;
using testing_image::StubAnswer;
using testing_image::StubImage;
using testing_image::StubRequest;

TEST_F(ImageStoreTest, MissingImageIsNotFoundInTheRegistrysWords) {
  const absl::Status status = Pull("team/none:v1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(registry_.url() + "/v2/team/none/manifests/v1: 404 Not Found"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("repository name not known"));
}

TEST_F(ImageStoreTest, RefusedConnectionIsRegistryUnavailable) {
  std::string gone;
  {
    RegistryStub closed;
    gone = closed.host();
  }
  const absl::Status status = store_->Pull({.reference = gone + "/a"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("RegistryUnavailable"));
}

TEST_F(ImageStoreTest, ServerErrorIsRegistryUnavailable) {
  registry_.Serve("/v2/team/app/manifests/v1", {.status = 503, .body = "sorry\x1b[2J"});
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("503 Service Unavailable: sorry"));
  EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("\x1b")));
}

TEST_F(ImageStoreTest, RegistryThatFallsSilentIsGivenUp) {
  options_.stall_seconds = 1;
  Reopen();
  registry_.Serve("/v2/team/app/manifests/v1", {.hang = true});
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("stalled: no answer"));
}

TEST_F(ImageStoreTest, RegistryThatTricklesIsGivenUp) {
  options_.stall_seconds = 1;
  Reopen();
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}}));
  const std::string blob = testing_image::Gzip(kBaseTar);
  registry_.Serve("/v2/team/app/blobs/" + Digest::Sha256(blob).text(),
                  {.body = blob, .trickle = true});
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("bytes"));
  ExpectNothingLeft();
}

TEST_F(ImageStoreTest, BrokenDownloadIsResumedWhereItBroke) {
  std::string noise;
  for (int i = 0; i < 40000; ++i) absl::StrAppend(&noise, Digest::Sha256(absl::StrCat(i)).text());
  const std::string tar = Tar({File("noise", noise)}), blob = testing_image::Gzip(tar);
  const std::string path = "/v2/team/app/blobs/" + Digest::Sha256(blob).text();
  registry_.Publish("team/app", "v1", MakeImage({{tar}}));
  registry_.Handle(path, [blob](const StubRequest& request) -> StubAnswer {
    const std::string range = request.Header("range");
    if (range.empty()) return {.body = blob, .cut_after = blob.size() / 2};
    const size_t from = std::stoul(range.substr(6));
    return {.status = 206,
            .headers = {absl::StrCat("Content-Range: bytes ", from, "-", blob.size() - 1, "/",
                                     blob.size())},
            .body = blob.substr(from)};
  });
  const auto id = Pull("team/app:v1");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(registry_.CountRequests(path), 2);
  EXPECT_EQ(Stat(store_->Find(*id)->layers[0] + "/noise").st_size,
            static_cast<off_t>(noise.size()));
}

TEST_F(ImageStoreTest, TokenIsFetchedOnceWithTheCredentials) {
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}, {kAppTar}}));
  registry_.Guard([this](const StubRequest& request) -> StubAnswer {
    if (request.path == "/token") {
      const bool ours = request.Header("authorization") == "Basic bWU6c2VjcmV0" &&
                        absl::StrContains(request.target, "scope=repository%3Ateam%2Fapp%3Apull") &&
                        absl::StrContains(request.target, "service=stub");
      return ours ? StubAnswer{.body = R"({"token":"t0ken"})"} : StubAnswer{.status = 401};
    }
    if (request.Header("authorization") == "Bearer t0ken") return {.status = 0};
    return {.status = 401,
            .headers = {absl::StrCat("WWW-Authenticate: Bearer realm=\"", registry_.url(),
                                     "/token\",service=\"stub\",scope=\"repository:other:push\"")}};
  });
  const auto id = store_->Pull(
      {.reference = Ref("team/app:v1"), .auth = {.username = "me", .password = "secret"}});
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(registry_.CountRequests("/token"), 1);
}

TEST_F(ImageStoreTest, IdentityTokenIsExchangedByPost) {
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}}));
  registry_.Guard([this](const StubRequest& request) -> StubAnswer {
    if (request.path == "/token") {
      const bool ours = request.method == "POST" &&
                        absl::StrContains(request.body, "grant_type=refresh_token") &&
                        absl::StrContains(request.body, "refresh_token=r%26fresh") &&
                        request.Header("authorization").empty();
      return ours ? StubAnswer{.body = R"({"access_token":"t0ken"})"} : StubAnswer{.status = 400};
    }
    if (request.Header("authorization") == "Bearer t0ken") return {.status = 0};
    return {.status = 401,
            .headers = {
                absl::StrCat("WWW-Authenticate: Bearer realm=\"", registry_.url(), "/token\"")}};
  });
  const auto id =
      store_->Pull({.reference = Ref("team/app:v1"), .auth = {.identity_token = "r&fresh"}});
  EXPECT_TRUE(id.ok()) << id.status();
}

TEST_F(ImageStoreTest, TokenThatExpiresInBetweenIsRenewed) {
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}}));
  std::atomic<int> tokens = 0;
  registry_.Guard([&](const StubRequest& request) -> StubAnswer {
    if (request.path == "/token") return {.body = absl::StrCat(R"({"token":"t)", ++tokens, "\"}")};
    // The first token is good for the manifest only.
    const bool manifest = absl::StrContains(request.path, "/manifests/");
    const std::string want = manifest ? "Bearer t1" : "Bearer t2";
    if (request.Header("authorization") == want) return {.status = 0};
    return {.status = 401,
            .headers = {
                absl::StrCat("WWW-Authenticate: Bearer realm=\"", registry_.url(), "/token\"")}};
  });
  const auto id = Pull("team/app:v1");
  EXPECT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(tokens, 2);
}

TEST_F(ImageStoreTest, CredentialsDoNotGoToAStrangersRealm) {
  // The realm is not the registry's own host and plain: it must not even be asked.
  registry_.Guard([](const StubRequest&) -> StubAnswer {
    return {.status = 401,
            .headers = {"WWW-Authenticate: Bearer realm=\"http://169.254.169.254/token\""}};
  });
  const absl::Status status =
      store_->Pull({.reference = Ref("team/app:v1"), .auth = {.username = "me", .password = "p"}})
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("internal address"));
}

TEST_F(ImageStoreTest, WrongCredentialsAreUnauthenticated) {
  registry_.Guard([](const StubRequest&) -> StubAnswer {
    return {.status = 401,
            .headers = {"WWW-Authenticate: Basic realm=\"stub\""},
            .body = R"({"errors":[{"code":"UNAUTHORIZED","message":"no entry"}]})"};
  });
  const absl::Status status = store_
                                  ->Pull({.reference = Ref("team/app:v1"),
                                          .auth = {.username = "me", .password = "hunter2"}})
                                  .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no entry"));
  EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("hunter2")));
}

TEST_F(ImageStoreTest, CredentialsForAnotherServerAreNotSent) {
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}}));
  registry_.Guard([](const StubRequest& request) -> StubAnswer {
    if (request.path != "/v2/team/app/manifests/v1") return {.status = 0};
    return {.status = 401, .headers = {"WWW-Authenticate: Basic realm=\"stub\""}};
  });
  const auto id = store_->Pull(
      {.reference = Ref("team/app:v1"),
       .auth = {.username = "me", .password = "p", .server_address = "other.example"}});
  EXPECT_EQ(id.status().code(), absl::StatusCode::kUnauthenticated);
  for (const StubRequest& request : registry_.requests())
    EXPECT_EQ(request.Header("authorization"), "");
}

TEST_F(ImageStoreTest, RedirectToAnotherOriginCarriesNoAuthorization) {
  RegistryStub storage;
  const StubImage image = MakeImage({{kBaseTar}});
  registry_.Publish("team/app", "v1", image);
  const std::string blob = testing_image::Gzip(kBaseTar),
                    path = "/v2/team/app/blobs/" + Digest::Sha256(blob).text();
  storage.Serve("/signed", {.body = blob});
  registry_.Serve(path,
                  {.status = 307,
                   .headers = {absl::StrCat("Location: ", storage.url(), "/signed?key=s3cret")}});
  const auto id =
      store_->Pull({.reference = Ref("team/app:v1"), .auth = {.registry_token = "t0ken"}});
  ASSERT_TRUE(id.ok()) << id.status();
  ASSERT_THAT(storage.requests(), SizeIs(1));
  EXPECT_EQ(storage.requests()[0].Header("authorization"), "");
  for (const StubRequest& request : registry_.requests()) {
    EXPECT_EQ(request.Header("authorization"), "Bearer t0ken") << request.path;
  }
}

TEST_F(ImageStoreTest, ErrorsDoNotShowTheSignatureOfALink) {
  RegistryStub storage;
  registry_.Publish("team/app", "v1", MakeImage({{kBaseTar}}));
  const std::string path =
      "/v2/team/app/blobs/" + Digest::Sha256(testing_image::Gzip(kBaseTar)).text();
  registry_.Serve(
      path,
      {.status = 307, .headers = {absl::StrCat("Location: ", storage.url(), "/gone?key=s3cret")}});
  const std::string message(Pull("team/app:v1").status().message());
  EXPECT_THAT(message, HasSubstr("/gone: 404"));
  EXPECT_THAT(message, testing::Not(HasSubstr("s3cret")));
}

TEST_F(ImageStoreTest, RedirectsInACircleEnd) {
  registry_.Serve("/v2/team/app/manifests/v1",
                  {.status = 302, .headers = {"Location: /v2/team/app/manifests/v1"}});
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("more than 5 redirects"));
}

TEST_F(ImageStoreTest, AProxyOfTheEnvironmentIsUsedUnlessTheHostIsExcepted) {
  options_.plain_http = true;
  options_.pull_env = {"http_proxy=" + registry_.url()};
  Reopen();
  const std::string through_proxy = "http://registry.invalid/v2/team/app/manifests/v1";
  const absl::Status asked = store_->Pull({.reference = "registry.invalid/team/app:v1"}).status();
  EXPECT_TRUE(absl::IsNotFound(asked)) << "the proxy's answer: " << asked;
  EXPECT_EQ(registry_.CountRequests(through_proxy), 1);

  options_.pull_env.push_back("no_proxy=registry.invalid");
  Reopen();
  const absl::Status alone = store_->Pull({.reference = "registry.invalid/team/app:v1"}).status();
  EXPECT_TRUE(absl::IsUnavailable(alone)) << alone;
  EXPECT_EQ(registry_.CountRequests(through_proxy), 1);
}

TEST_F(ImageStoreTest, HeadersWithoutEndAreRefused) {
  registry_.Serve("/v2/team/app/manifests/v1",
                  {.headers = {"X-Big: " + std::string(4 << 20, 'a')}, .body = "{}"});
  const absl::Status status = Pull("team/app:v1").status();
  EXPECT_FALSE(status.ok());
  EXPECT_LT(status.message().size(), 2000u) << "it is told, not shown";
  ExpectNothingLeft();
}

}  // namespace
}  // namespace berth
