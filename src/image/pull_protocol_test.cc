#include "src/image/pull_protocol.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/image/digest.h"

namespace berth {
namespace {

using testing::SizeIs;

const std::string kDiff = Digest::Sha256("layer").text();

PulledImage MakePulled() {
  PulledImage image;
  image.config = absl::StrCat(R"({"rootfs":{"type":"layers","diff_ids":[")", kDiff, "\"]}}");
  image.id = Digest::Sha256(image.config).text();
  image.target_digest = Digest::Sha256("manifest").text();
  image.size_bytes = 12;
  image.layers = {{.diff_id = kDiff,
                   .digest = Digest::Sha256("blob").text(),
                   .key = kDiff,
                   .dir = "0123456789abcdef",
                   .size_bytes = 4096,
                   .inodes = 3}};
  return image;
}

TEST(PullProtocol, JobComesBack) {
  const PullJob job{.reference = "a.example/b:c",
                    .auth = {.username = "u\"\n",
                             .password = "p",
                             .identity_token = "i",
                             .registry_token = "r",
                             .server_address = "s"},
                    .endpoints = {{.url = "https://m.test/v2",
                                   .mirror = true,
                                   .can_resolve = false,
                                   .skip_verify = true,
                                   .ca = {"A", "B"},
                                   .client = {.certificate = "C", .key = "K"},
                                   .headers = {{"x", "1"}, {"x", "2"}},
                                   .dial_timeout = absl::Seconds(7),
                                   .auth = {.username = "eu"}},
                                  {.url = "https://a.example/v2"}},
                    .platform = {"linux", "arm", "v7"},
                    .existing = {{"key1", "1"}, {"key2", "22", true}},
                    .plain_http = true,
                    .parallel_layers = 3,
                    .bytes_per_second = 77,
                    .stall_seconds = 9};
  const std::string line = EncodePullJob(job);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto decoded = DecodeHelperJob(line);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  const auto* back = std::get_if<PullJob>(&*decoded);
  ASSERT_NE(back, nullptr);
  EXPECT_EQ(back->reference, job.reference);
  EXPECT_EQ(back->auth.username, job.auth.username);
  EXPECT_EQ(back->auth.password, "p");
  EXPECT_EQ(back->auth.identity_token, "i");
  EXPECT_EQ(back->auth.registry_token, "r");
  EXPECT_EQ(back->auth.server_address, "s");
  EXPECT_EQ(back->platform.variant, "v7");
  ASSERT_THAT(back->endpoints, SizeIs(2));
  const RegistryEndpoint& mirror = back->endpoints[0];
  EXPECT_EQ(mirror.url, "https://m.test/v2");
  EXPECT_TRUE(mirror.mirror && mirror.can_pull && !mirror.can_resolve && mirror.skip_verify);
  EXPECT_EQ(mirror.ca, job.endpoints[0].ca);
  EXPECT_EQ(mirror.client.certificate, "C");
  EXPECT_EQ(mirror.client.key, "K");
  EXPECT_EQ(mirror.headers, job.endpoints[0].headers);
  EXPECT_EQ(mirror.dial_timeout, absl::Seconds(7));
  EXPECT_EQ(mirror.auth.username, "eu");
  EXPECT_FALSE(back->endpoints[1].mirror);
  ASSERT_THAT(back->existing, SizeIs(2));
  EXPECT_EQ(back->existing[1].key, "key2");
  EXPECT_EQ(back->existing[1].dir, "22");
  EXPECT_FALSE(back->existing[0].opaque_root);
  EXPECT_TRUE(back->existing[1].opaque_root);
  EXPECT_TRUE(back->plain_http);
  EXPECT_EQ(back->parallel_layers, 3);
  EXPECT_EQ(back->stall_seconds, 9);
  EXPECT_EQ(back->bytes_per_second, 77);
}

TEST(PullProtocol, JobOfAnotherVersionIsRefused) {
  const std::string line = absl::StrReplaceAll(
      EncodePullJob({}), {{absl::StrCat("\"version\":", kPullProtocolVersion), "\"version\":1"}});
  EXPECT_EQ(DecodeHelperJob(line).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(PullProtocol, ProgressComesBack) {
  const auto back = DecodePullMessage(EncodePullMessage(
      PullProgress{.layer = "sha256:x", .state = "downloading", .bytes = 5, .total_bytes = 10}));
  ASSERT_TRUE(back.ok()) << back.status();
  const auto& progress = std::get<PullProgress>(*back);
  EXPECT_EQ(progress.layer, "sha256:x");
  EXPECT_EQ(progress.state, "downloading");
  EXPECT_EQ(progress.bytes, 5);
  EXPECT_EQ(progress.total_bytes, 10);
}

TEST(PullProtocol, ErrorComesBackWithItsCode) {
  const auto back = DecodePullMessage(EncodePullMessage(absl::DataLossError("wrong \"digest\"")));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(std::get<absl::Status>(*back), absl::DataLossError("wrong \"digest\""));
}

TEST(PullProtocol, TextThatIsNoUtf8DoesNotBreakTheLine) {
  const auto back = DecodePullMessage(EncodePullMessage(absl::UnknownError("a\xff\xfe b")));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(std::get<absl::Status>(*back).code(), absl::StatusCode::kUnknown);
}

TEST(PullProtocol, ResultComesBack) {
  const PulledImage image = MakePulled();
  const auto back = DecodePullMessage(EncodePullMessage(image));
  ASSERT_TRUE(back.ok()) << back.status();
  const auto& result = std::get<PulledImage>(*back);
  EXPECT_EQ(result.id, image.id);
  EXPECT_EQ(result.config, image.config);
  EXPECT_EQ(result.target_digest, image.target_digest);
  ASSERT_THAT(result.layers, SizeIs(1));
  EXPECT_EQ(result.layers[0].dir, "0123456789abcdef");
  EXPECT_EQ(result.layers[0].inodes, 3);
}

TEST(PullProtocol, BoundKeysAreAccepted) {
  PulledImage image = MakePulled();
  for (const std::string& below : {Digest::Sha256("below").text(), std::string()}) {
    image.layers[0].key = BoundLayerKey(kDiff, below);
    EXPECT_TRUE(DecodePullMessage(EncodePullMessage(image)).ok()) << image.layers[0].key;
  }
}

// What a helper that fell to a hostile image might say.
struct Lie {
  std::string name;
  void (*tell)(PulledImage&);
};
void PrintTo(const Lie& lie, std::ostream* out) { *out << lie.name; }
class PullProtocolLies : public testing::TestWithParam<Lie> {};

TEST_P(PullProtocolLies, AreRefused) {
  PulledImage image = MakePulled();
  GetParam().tell(image);
  EXPECT_EQ(DecodePullMessage(EncodePullMessage(image)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(
    All, PullProtocolLies,
    testing::Values(
        Lie{"DirIsAPath", [](PulledImage& i) { i.layers[0].dir = "../../layers/123"; }},
        Lie{"DirIsDot", [](PulledImage& i) { i.layers[0].dir = "."; }},
        Lie{"IdOfAnother", [](PulledImage& i) { i.id = Digest::Sha256("other").text(); }},
        Lie{"LayerMissing", [](PulledImage& i) { i.layers.clear(); }},
        Lie{"LayerTooMany", [](PulledImage& i) { i.layers.push_back(i.layers[0]); }},
        Lie{"OtherDiffId", [](PulledImage& i) { i.layers[0].diff_id = i.layers[0].key = i.id; }},
        Lie{"KeyOfAnother",
            [](PulledImage& i) { i.layers[0].key = Digest::Sha256("other").text(); }},
        Lie{"KeyWithTail", [](PulledImage& i) { i.layers[0].key += "@x"; }},
        Lie{"NegativeSize", [](PulledImage& i) { i.layers[0].size_bytes = -1; }},
        Lie{"TargetIsText", [](PulledImage& i) { i.target_digest = "latest"; }},
        Lie{"ConfigIsText",
            [](PulledImage& i) {
              i.config = "no json";
              i.id = Digest::Sha256(i.config).text();
            }}),
    [](const auto& info) { return info.param.name; });

TEST(PullProtocol, MalformedMessages) {
  for (const char* line :
       {"", "{}", "[]", "null", "{\"error\":{\"code\":0}}", "{\"error\":{\"code\":99}}",
        "{\"progress\":{\"bytes\":-1}}", "{\"result\":{}}"}) {
    EXPECT_EQ(DecodePullMessage(line).status().code(), absl::StatusCode::kInvalidArgument) << line;
  }
}

TEST(ChainId, FollowsTheImageSpecification) {
  EXPECT_EQ(ChainId("", kDiff), kDiff);
  EXPECT_EQ(ChainId(kDiff, kDiff), Digest::Sha256(kDiff + " " + kDiff).text());
}

TEST(PullProtocol, AnOrderThereAndBack) {
  const auto order = DecodePullOrder(EncodePullOrder(
      {.bytes_per_second = 1 << 20,
       .fetch = {kDiff},
       .present = {{.key = kDiff + "@" + kDiff, .dir = "7", .opaque_root = true}}}));
  ASSERT_TRUE(order.ok()) << order.status();
  EXPECT_EQ(order->bytes_per_second, 1 << 20);
  EXPECT_THAT(order->fetch, testing::ElementsAre(kDiff));
  ASSERT_EQ(order->present.size(), 1u);
  EXPECT_EQ(order->present[0].key, kDiff + "@" + kDiff);
  EXPECT_EQ(order->present[0].dir, "7");
  EXPECT_TRUE(order->present[0].opaque_root);

  EXPECT_FALSE(DecodePullOrder(EncodePullOrder({}))->bytes_per_second.has_value());
  EXPECT_FALSE(DecodePullOrder(R"({"bytes_per_second":-1})").ok());
  EXPECT_FALSE(DecodePullOrder(R"({"fetch":[7]})").ok());
  EXPECT_FALSE(DecodePullOrder("[").ok());
}

TEST(PullProtocol, APlanAndACompleteLayerThereAndBack) {
  const auto plan = DecodePullMessage(EncodePullMessage(
      PullPlan{.target_digest = kDiff,
               .target_type = "application/x",
               .target_bytes = 12,
               .layers = {{.diff_id = kDiff, .bound_key = kDiff + "@" + kDiff}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(std::get<PullPlan>(*plan).target_type, "application/x");
  EXPECT_EQ(std::get<PullPlan>(*plan).target_bytes, 12);
  EXPECT_EQ(std::get<PullPlan>(*plan).layers.at(0).bound_key, kDiff + "@" + kDiff);

  PulledLayer layer{.diff_id = kDiff, .digest = kDiff, .key = kDiff, .dir = "0123456789abcdef"};
  const auto told = DecodePullMessage(EncodePullMessage(layer));
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(std::get<PulledLayer>(*told).dir, layer.dir);
  layer.dir = "../escape";
  EXPECT_FALSE(DecodePullMessage(EncodePullMessage(layer)).ok());
  layer.dir = "";
  EXPECT_FALSE(DecodePullMessage(EncodePullMessage(layer)).ok()) << "nothing to store";
  layer.dir = "0123456789abcdef";
  layer.key = kDiff + "@" + kDiff;
  EXPECT_FALSE(DecodePullMessage(EncodePullMessage(layer)).ok()) << "needs what is below it";
}

TEST(PullProtocol, AVerificationThereAndBack) {
  const auto job = DecodeHelperJob(EncodeVerifyJob({.dir = "12"}));
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(std::holds_alternative<VerifyJob>(*job));
  EXPECT_EQ(std::get<VerifyJob>(*job).dir, "12");

  const auto message = DecodePullMessage(EncodePullMessage(LayerVerification{
      .entries = 3, .bytes = 8, .differences = 1, .first = {{.path = "a", .what = "is missing"}}}));
  ASSERT_TRUE(message.ok()) << message.status();
  const auto& layer = std::get<LayerVerification>(*message);
  EXPECT_EQ(layer.entries, 3);
  EXPECT_EQ(layer.bytes, 8);
  EXPECT_FALSE(layer.ok());
  ASSERT_EQ(layer.first.size(), 1u);
  EXPECT_EQ(layer.first[0].path, "a");
  EXPECT_EQ(layer.first[0].what, "is missing");
}

}  // namespace
}  // namespace berth
