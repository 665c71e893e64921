// The registries of the harness: what is pushed to Debian's docker-registry is accepted by it,
// digest by digest, and the registry in this process answers and misbehaves as told.
#include <curl/curl.h>
#include <gtest/gtest.h>

#include <memory>

#include "test/e2e/docker_registry.h"
#include "test/e2e/isolation.h"
#include "test/e2e/stub_registry.h"

namespace berth::e2e {
namespace {

struct Answer {
  long status = 0;
  std::string body;
};

size_t Append(char* bytes, size_t size, size_t count, void* out) {
  static_cast<std::string*>(out)->append(bytes, size * count);
  return size * count;
}

Answer Get(const std::string& url, long timeout_ms = 20000) {
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  const std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(
      curl_slist_append(nullptr, "Accept: application/vnd.oci.image.manifest.v1+json"),
      curl_slist_free_all);
  Answer answer;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, Append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, timeout_ms);
  if (curl_easy_perform(curl.get()) != CURLE_OK) return {.status = -1, .body = answer.body};
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  return answer;
}

TEST(DockerRegistry, ServesWhatWasPushed) {
  auto registry = DockerRegistry::Start(NodeDir() + "/registry");
  ASSERT_TRUE(registry.ok()) << registry.status();
  const BuiltImage image = Build(LayersRecipe());
  const auto reference = (*registry)->Push("layers", "v1", image);
  ASSERT_TRUE(reference.ok()) << reference.status();
  EXPECT_EQ(*reference, (*registry)->host() + "/layers:v1");
  const std::string base = "http://" + (*registry)->host() + "/v2/layers";
  EXPECT_EQ(Get(base + "/manifests/v1").body, image.manifests.back().content);
  for (const auto& [digest, blob] : image.blobs)
    EXPECT_EQ(Get(base + "/blobs/" + digest).body, blob.content);
}

class StubRegistryTest : public testing::Test {
 protected:
  void SetUp() override {
    auto registry = StubRegistry::Start();
    ASSERT_TRUE(registry.ok()) << registry.status();
    registry_ = *std::move(registry);
    image_ = Build({.layers = {{{File("f", "content")}}}});
    reference_ = registry_->Add("one", "v1", image_);
    base_ = "http://" + registry_->host() + "/v2/one";
  }
  std::string blob() const { return image_.blobs.begin()->second.content; }
  Answer GetBlob(long timeout_ms = 20000) const {
    return Get(base_ + "/blobs/" + image_.blobs.begin()->first, timeout_ms);
  }

  std::unique_ptr<StubRegistry> registry_;
  BuiltImage image_;
  std::string reference_, base_;
};

TEST_F(StubRegistryTest, ServesManifestByTagAndDigest) {
  EXPECT_EQ(reference_, registry_->host() + "/one:v1");
  EXPECT_EQ(Get(base_ + "/manifests/v1").body, image_.manifests.back().content);
  EXPECT_EQ(Get(base_ + "/manifests/" + image_.ManifestDigest()).body,
            image_.manifests.back().content);
  EXPECT_EQ(GetBlob().body, blob());
}

TEST_F(StubRegistryTest, AnswersNotFoundForWhatItHasNot) {
  EXPECT_EQ(Get(base_ + "/manifests/v2").status, 404);
}

TEST_F(StubRegistryTest, CorruptsOneByte) {
  registry_->SetFault("/blobs/", StubRegistry::Fault::kCorrupt);
  EXPECT_NE(GetBlob().body, blob());
  EXPECT_EQ(GetBlob().body.size(), blob().size());
}

TEST_F(StubRegistryTest, TruncatesABody) {
  registry_->SetFault("/blobs/", StubRegistry::Fault::kTruncate);
  const Answer answer = GetBlob();
  EXPECT_EQ(answer.status, -1);
  EXPECT_EQ(answer.body, blob().substr(0, blob().size() / 2));
}

TEST_F(StubRegistryTest, HangsInTheMiddleOfABody) {
  registry_->SetFault("/blobs/", StubRegistry::Fault::kHang);
  EXPECT_EQ(GetBlob(200).status, -1);
}

TEST_F(StubRegistryTest, WantsATokenThatAPasswordBuys) {
  registry_->SetFault("/v2/one", StubRegistry::Fault::kNeedsToken);
  EXPECT_EQ(GetBlob().status, 401);
  EXPECT_EQ(Get("http://" + registry_->host() + "/token?scope=x").status, 401);
  EXPECT_EQ(Get("http://user:password@" + registry_->host() + "/token?scope=x").body,
            R"({"token":"e2e-token"})");
}

TEST(ImageBuilder, IndexNamesEachPlatform) {
  const BuiltImage amd = Build({.layers = {{{File("f", "amd")}}}});
  const BuiltImage arm = Build({.layers = {{{File("f", "arm")}}}, .architecture = "arm64"});
  const BuiltImage index = BuildIndex({{"linux", "amd64", "", amd}, {"linux", "arm64", "v8", arm}});
  const auto json = nlohmann::json::parse(index.manifests.back().content);
  ASSERT_EQ(json["manifests"].size(), 2u);
  EXPECT_EQ(json["manifests"][0]["digest"], amd.ManifestDigest());
  EXPECT_EQ(json["manifests"][1]["platform"]["variant"], "v8");
  EXPECT_EQ(index.manifests.size(), 3u);
}

}  // namespace
}  // namespace berth::e2e
