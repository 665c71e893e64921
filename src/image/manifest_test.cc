#include "src/image/manifest.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kOciManifest[] = "application/vnd.oci.image.manifest.v1+json";
constexpr char kOciIndex[] = "application/vnd.oci.image.index.v1+json";
constexpr char kOciLayer[] = "application/vnd.oci.image.layer.v1.tar+gzip";

std::string Sha(char c) { return absl::StrCat("sha256:", std::string(64, c)); }

std::string MakeDescriptor(char digest, absl::string_view media_type = "",
                           absl::string_view size = "10", absl::string_view more = "") {
  return absl::StrCat("{\"mediaType\":\"", media_type, "\",\"digest\":\"", Sha(digest),
                      "\",\"size\":", size, more, "}");
}

std::string MakeManifest(absl::string_view layers, absl::string_view more = "") {
  return absl::StrCat("{\"schemaVersion\":2", more, ",\"config\":", MakeDescriptor('c'),
                      ",\"layers\":[", layers, "]}");
}

std::string MakePlatform(absl::string_view os, absl::string_view architecture,
                         absl::string_view variant = "") {
  return absl::StrCat(",\"platform\":{\"os\":\"", os, "\",\"architecture\":\"", architecture,
                      "\",\"variant\":\"", variant, "\"}");
}

std::string MakeIndex(const std::vector<std::string>& entries) {
  return absl::StrCat("{\"schemaVersion\":2,\"manifests\":[", absl::StrJoin(entries, ","), "]}");
}

Index ParseTestIndex(const std::vector<std::string>& entries) {
  const auto parsed = ParseManifest(MakeIndex(entries), kOciIndex);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return std::get<Index>(*parsed);
}

TEST(ParseManifest, ReadsAnOciManifest) {
  const auto parsed = ParseManifest(MakeManifest(absl::StrCat(MakeDescriptor('a', kOciLayer), ",",
                                                              MakeDescriptor('b', kOciLayer))),
                                    kOciManifest);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const auto& manifest = std::get<Manifest>(*parsed);
  EXPECT_EQ(manifest.config.digest.text(), Sha('c'));
  ASSERT_EQ(manifest.layers.size(), 2u);
  EXPECT_EQ(manifest.layers[1].digest.text(), Sha('b'));
  EXPECT_EQ(manifest.layers[1].size, 10);
}

TEST(ParseManifest, ContentTypeParametersAreIgnored) {
  EXPECT_TRUE(ParseManifest(MakeManifest(""), absl::StrCat(kOciManifest, "; charset=utf-8")).ok());
}

TEST(ParseManifest, KindIsInferredWithoutAnyType) {
  EXPECT_TRUE(std::holds_alternative<Manifest>(*ParseManifest(MakeManifest(""), "")));
  EXPECT_TRUE(std::holds_alternative<Index>(*ParseManifest(MakeIndex({}), "text/plain")));
}

struct BadManifest {
  std::string name, text, content_type;
  absl::StatusCode code;
};
void PrintTo(const BadManifest& c, std::ostream* out) { *out << c.name; }
class ParseManifestBad : public testing::TestWithParam<BadManifest> {};
TEST_P(ParseManifestBad, IsRefused) {
  const absl::Status status = ParseManifest(GetParam().text, GetParam().content_type).status();
  EXPECT_EQ(status.code(), GetParam().code) << status;
}

std::string ManyLayers(int count) {
  std::string layers = MakeDescriptor('a');
  for (int i = 1; i < count; ++i) absl::StrAppend(&layers, ",", MakeDescriptor('a'));
  return layers;
}

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kTooMuch = absl::StatusCode::kResourceExhausted;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
INSTANTIATE_TEST_SUITE_P(
    All, ParseManifestBad,
    testing::Values(
        BadManifest{"Empty", "", "", kInvalid}, BadManifest{"NotJson", "<html>", "", kInvalid},
        BadManifest{"Array", "[]", "", kInvalid},
        BadManifest{"TrailingBytes", MakeManifest("") + "x", "", kInvalid},
        BadManifest{"DuplicateKey", MakeManifest("", ",\"config\":1"), "", kInvalid},
        BadManifest{"TypeDisagrees",
                    MakeManifest("", absl::StrCat(",\"mediaType\":\"", kOciManifest, "\"")),
                    kOciIndex, kInvalid},
        BadManifest{"Ambiguous", MakeManifest("", ",\"manifests\":[]"), "", kInvalid},
        BadManifest{"SchemaOne", "{\"schemaVersion\":1}", "", kUnimplemented},
        BadManifest{"SchemaOneByType", MakeManifest(""),
                    "application/vnd.docker.distribution.manifest.v1+prettyjws", kUnimplemented},
        BadManifest{"NoSchemaVersion", "{\"manifests\":[]}", "", kInvalid},
        BadManifest{"NegativeSize", MakeManifest(MakeDescriptor('a', "", "-1")), "", kInvalid},
        BadManifest{"FractionalSize", MakeManifest(MakeDescriptor('a', "", "1.5")), "", kInvalid},
        BadManifest{"HugeSize", MakeManifest(MakeDescriptor('a', "", "18446744073709551615")), "",
                    kInvalid},
        BadManifest{"AbsurdSize", MakeManifest(MakeDescriptor('a', "", "4611686018427387904")), "",
                    kTooMuch},
        BadManifest{"ShortDigest", MakeManifest("{\"digest\":\"sha256:a\",\"size\":1}"), "",
                    kInvalid},
        BadManifest{"DigestIsPath",
                    MakeManifest("{\"digest\":\"sha256:../../../../etc/passwd\",\"size\":1}"), "",
                    kInvalid},
        BadManifest{"SizeMissing", MakeManifest(absl::StrCat("{\"digest\":\"", Sha('a'), "\"}")),
                    "", kInvalid},
        BadManifest{"TooManyLayers", MakeManifest(ManyLayers(501)), "", kTooMuch},
        BadManifest{"UnknownLayerType", MakeManifest(MakeDescriptor('a', "application/wasm")), "",
                    kUnimplemented},
        BadManifest{"UnknownOwnType", MakeManifest("", ",\"mediaType\":\"application/x\""), "",
                    kUnimplemented},
        BadManifest{"Deep", std::string(70, '[') + std::string(70, ']'), "", kTooMuch},
        BadManifest{"VeryDeep", std::string(1 << 20, '['), "", kTooMuch},
        BadManifest{"TooLong", std::string((4 << 20) + 1, ' '), "", kTooMuch}),
    [](const auto& info) { return info.param.name; });

TEST(ParseManifest, FiveHundredLayersAreAccepted) {
  EXPECT_TRUE(ParseManifest(MakeManifest(ManyLayers(500)), "").ok());
}

TEST(ParseManifest, ConfigOfAnArtifactIsRefused) {
  const std::string text = absl::StrCat(
      "{\"schemaVersion\":2,\"config\":", MakeDescriptor('c', "application/vnd.oci.empty.v1+json"),
      ",\"layers\":[]}");
  EXPECT_EQ(ParseManifest(text, "").status().code(), kUnimplemented);
}

TEST(ChoosePlatform, TakesTheHostsArchitectureAndSkipsAttestations) {
  const Index index =
      ParseTestIndex({MakeDescriptor('a', "", "1", MakePlatform("unknown", "unknown")),
                      MakeDescriptor('b', "", "1", MakePlatform("linux", "arm64", "v8")),
                      MakeDescriptor('c', "", "1", MakePlatform("linux", "amd64")),
                      MakeDescriptor('d', "", "1", MakePlatform("windows", "amd64"))});
  EXPECT_EQ(ChoosePlatform(index, PlatformOfMachine("x86_64"))->digest.text(), Sha('c'));
  EXPECT_EQ(ChoosePlatform(index, PlatformOfMachine("aarch64"))->digest.text(), Sha('b'));
}

TEST(ChoosePlatform, NoMatchListsWhatThereIs) {
  const Index index =
      ParseTestIndex({MakeDescriptor('b', "", "1", MakePlatform("linux", "s390x"))});
  const absl::Status status = ChoosePlatform(index, PlatformOfMachine("x86_64")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("no match for platform linux/amd64 among: linux/s390x"));
}

TEST(ChoosePlatform, EntryWithoutPlatformIsTheLastResort) {
  const Index both = ParseTestIndex(
      {MakeDescriptor('a'), MakeDescriptor('b', "", "1", MakePlatform("linux", "amd64"))});
  EXPECT_EQ(ChoosePlatform(both, PlatformOfMachine("x86_64"))->digest.text(), Sha('b'));
  EXPECT_EQ(ChoosePlatform(both, PlatformOfMachine("aarch64"))->digest.text(), Sha('a'));
}

TEST(PlatformScore, VariantsRunDownwards) {
  const Platform v7 = PlatformOfMachine("armv7l");
  const auto score = [&](absl::string_view variant) {
    return PlatformScore(v7,
                         {.os = "linux", .architecture = "arm", .variant = std::string(variant)});
  };
  EXPECT_GT(score("v7"), score("v6"));
  EXPECT_GT(score("v6"), score("v5"));
  EXPECT_FALSE(score("v8").has_value());
  EXPECT_FALSE(score("strange").has_value());
}

TEST(PlatformScore, PlainArm64IsVersionEight) {
  EXPECT_TRUE(PlatformScore(PlatformOfMachine("aarch64"), {.os = "linux", .architecture = "arm64"})
                  .has_value());
}

TEST(PlatformScore, BaselineAmd64DoesNotRunVersionThree) {
  EXPECT_FALSE(PlatformScore(PlatformOfMachine("x86_64"),
                             {.os = "linux", .architecture = "amd64", .variant = "v3"})
                   .has_value());
}

std::string MakeConfig(absl::string_view config, absl::string_view diff_ids = "") {
  return absl::StrCat("{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":", config,
                      ",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[", diff_ids, "]}}");
}

TEST(ParseImageConfig, ReadsWhatAContainerNeeds) {
  const auto document = ParseImageConfig(MakeConfig(
      R"({"Env":["A=1","B="],"Entrypoint":["/e"],"Cmd":["c","d"],"User":"u:g","WorkingDir":"/w",)"
      R"("StopSignal":"SIGQUIT","Volumes":{"/v":{}},"Labels":{"k":"v"},)"
      R"("ExposedPorts":{"80/tcp":{}}})",
      absl::StrCat("\"", Sha('a'), "\"")));
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_THAT(document->config.env, ElementsAre("A=1", "B="));
  EXPECT_THAT(document->config.entrypoint, ElementsAre("/e"));
  EXPECT_THAT(document->config.cmd, ElementsAre("c", "d"));
  EXPECT_EQ(document->config.user, "u:g");
  EXPECT_EQ(document->config.working_dir, "/w");
  EXPECT_EQ(document->config.stop_signal, "SIGQUIT");
  EXPECT_THAT(document->config.volumes, ElementsAre("/v"));
  EXPECT_THAT(document->config.labels, ElementsAre(testing::Pair("k", "v")));
  EXPECT_EQ(document->platform.architecture, "amd64");
  ASSERT_EQ(document->diff_ids.size(), 1u);
  EXPECT_EQ(document->diff_ids[0].text(), Sha('a'));
}

TEST(ParseImageConfig, NullListsAreEmpty) {
  const auto document = ParseImageConfig(MakeConfig(R"({"Env":null,"Cmd":null,"Volumes":null})"));
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_TRUE(document->config.env.empty());
}

struct BadConfig {
  std::string name, text;
  absl::StatusCode code;
};
void PrintTo(const BadConfig& c, std::ostream* out) { *out << c.name; }
class ParseImageConfigBad : public testing::TestWithParam<BadConfig> {};
TEST_P(ParseImageConfigBad, IsRefused) {
  const absl::Status status = ParseImageConfig(GetParam().text).status();
  EXPECT_EQ(status.code(), GetParam().code) << status;
}

std::string ManyItems(int count, absl::string_view item) {
  std::vector<absl::string_view> items(count, item);
  return absl::StrCat("[", absl::StrJoin(items, ","), "]");
}

std::string ManyVolumes(int count) {
  std::vector<std::string> items;
  items.reserve(count);
  for (int i = 0; i < count; ++i) items.push_back(absl::StrCat("\"/", i, "\":{}"));
  return absl::StrCat("{\"Volumes\":{", absl::StrJoin(items, ","), "}}");
}

INSTANTIATE_TEST_SUITE_P(
    All, ParseImageConfigBad,
    testing::Values(
        BadConfig{"NoRootfs", "{}", kInvalid},
        BadConfig{"EnvIsText", MakeConfig(R"({"Env":"A=1"})"), kInvalid},
        BadConfig{"CmdOfNumbers", MakeConfig(R"({"Cmd":[1]})"), kInvalid},
        BadConfig{"NulInCmd", MakeConfig("{\"Cmd\":[\"a\\u0000b\"]}"), kInvalid},
        BadConfig{"NulInUser", MakeConfig("{\"User\":\"a\\u0000b\"}"), kInvalid},
        BadConfig{"LabelIsNumber", MakeConfig(R"({"Labels":{"a":1}})"), kInvalid},
        BadConfig{"ManyEnv",
                  MakeConfig(absl::StrCat("{\"Env\":", ManyItems(10001, "\"A=1\""), "}")),
                  kTooMuch},
        BadConfig{
            "HugeEntrypoint",
            MakeConfig(absl::StrCat("{\"Entrypoint\":[\"", std::string(2 << 20, 'x'), "\"]}")),
            kTooMuch},
        BadConfig{"LongUser",
                  MakeConfig(absl::StrCat("{\"User\":\"", std::string(5000, 'x'), "\"}")),
                  kTooMuch},
        BadConfig{"ManyVolumes", MakeConfig(ManyVolumes(65)), kTooMuch},
        BadConfig{"BadDiffId", MakeConfig("{}", "\"sha256:zz\""), kInvalid},
        BadConfig{"OtherDiffId",
                  MakeConfig("{}", absl::StrCat("\"sha512:", std::string(128, 'a'), "\"")),
                  kUnimplemented},
        BadConfig{"TooLong", std::string((8 << 20) + 1, ' '), kTooMuch}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace berth
