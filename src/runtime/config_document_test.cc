#include "src/runtime/config_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace berth {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;

std::string Repeat(absl::string_view text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) absl::StrAppend(&all, text);
  return all;
}

TEST(ParseYamlDocument, ReadsTheSameValueAsJson) {
  const auto yaml =
      ParseYamlDocument("a: 1\nb: [x, 'yes', null, true, -5]\nc:\n  d: \"7\"\n  e: {f: ~}\n");
  const auto json =
      ParseJsonDocument(R"({"a":1,"b":["x","yes",null,true,-5],"c":{"d":"7","e":{"f":null}}})");
  ASSERT_TRUE(yaml.ok()) << yaml.status();
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(*yaml, *json);
}

TEST(ParseYamlDocument, ReadsJson) {
  const std::string text = "{\n\t\"a\": [1, \"b\\u0041\"],\n\t\"c\": {}\n}";
  const auto yaml = ParseYamlDocument(text);
  ASSERT_TRUE(yaml.ok()) << yaml.status();
  EXPECT_EQ(*yaml, *ParseJsonDocument(text));
}

struct ScalarCase {
  const char* text;
  Json value;
};

TEST(ParseYamlDocument, ReadsPlainScalarsAsYaml11) {
  const ScalarCase kCases[] = {
      {"0", 0},
      {"438", 438},
      {"0666", 438},
      {"0o666", 438},
      {"0x1ff", 511},
      {"-3", -3},
      {"+3", 3},
      {"09", "09"},
      {"0x", "0x"},
      {"1.5", "1.5"},
      {"yes", "yes"},
      {"12ab", "12ab"},
      {"False", false},
      {"NULL", Json()},
      {"'1'", "1"},
      {"!!str 1", "1"},
      {"99999999999999999999", "99999999999999999999"},
  };
  for (const ScalarCase& each : kCases) {
    const auto document = ParseYamlDocument(absl::StrCat("v: ", each.text, "\n"));
    ASSERT_TRUE(document.ok()) << each.text << ": " << document.status();
    EXPECT_EQ((*document)["v"], each.value) << each.text;
  }
}

struct BadDocument {
  const char* name;
  std::string text;
  absl::StatusCode code;
  const char* message;
};

TEST(ParseYamlDocument, RefusesWhatCouldGrowOrMislead) {
  const BadDocument kCases[] = {
      {"alias", "a: &x [1]\nb: *x\n", absl::StatusCode::kInvalidArgument, "anchor"},
      {"unknown alias", "a: *x\n", absl::StatusCode::kInvalidArgument, ""},
      {"two documents", "a: 1\n---\nb: 2\n", absl::StatusCode::kInvalidArgument, "more than one"},
      {"nothing", "", absl::StatusCode::kInvalidArgument, "no YAML document"},
      {"key twice", "a: 1\na: 2\n", absl::StatusCode::kInvalidArgument, "\"a\" twice"},
      {"list as key", "? [a]\n: 1\n", absl::StatusCode::kInvalidArgument, "no scalar"},
      {"syntax", "a: [1\nb", absl::StatusCode::kInvalidArgument, "no valid YAML"},
      {"tag", "a: !!binary aGk=\n", absl::StatusCode::kInvalidArgument, "tag"},
      {"deep", Repeat("[", 40) + Repeat("]", 40), absl::StatusCode::kResourceExhausted, "deeper"},
      {"many", "a: [" + Repeat("1,", 200'001) + "1]\n", absl::StatusCode::kResourceExhausted,
       "values"},
      {"big", std::string(kDocumentMaxBytes + 1, ' '), absl::StatusCode::kResourceExhausted,
       "bytes"},
  };
  for (const BadDocument& bad : kCases) {
    const auto document = ParseYamlDocument(bad.text);
    EXPECT_EQ(document.status().code(), bad.code) << bad.name << ": " << document.status();
    EXPECT_THAT(document.status().message(), HasSubstr(bad.message)) << bad.name;
  }
}

TEST(ParseJsonDocument, RefusesWhatCouldGrowOrMislead) {
  const BadDocument kCases[] = {
      {"nothing", "", absl::StatusCode::kInvalidArgument, "no valid JSON"},
      {"more behind", "{} {}", absl::StatusCode::kInvalidArgument, "no valid JSON"},
      {"comment", "{/**/}", absl::StatusCode::kInvalidArgument, "no valid JSON"},
      {"key twice", R"({"a":1,"a":1})", absl::StatusCode::kInvalidArgument, "\"a\" twice"},
      {"deep", Repeat("[", 40), absl::StatusCode::kResourceExhausted, "deeper"},
      {"bad UTF-8", "\"\xff\"", absl::StatusCode::kInvalidArgument, "no valid JSON"},
      {"big", std::string(kDocumentMaxBytes + 1, ' '), absl::StatusCode::kResourceExhausted,
       "bytes"},
  };
  for (const BadDocument& bad : kCases) {
    const auto document = ParseJsonDocument(bad.text);
    EXPECT_EQ(document.status().code(), bad.code) << bad.name << ": " << document.status();
    EXPECT_THAT(document.status().message(), HasSubstr(bad.message)) << bad.name;
  }
}

TEST(MemberReader, ReadsEachKindAndLeavesAbsentOnes) {
  const Json json = {{"s", "x"}, {"l", {"a", "b"}}, {"m", {{"k", "v"}}}, {"b", false},
                     {"u", 7u},  {"i", -7},         {"n", nullptr}};
  MemberReader reader(json, "here");
  std::string text, absent = "kept";
  std::vector<std::string> list;
  std::map<std::string, std::string> map;
  std::optional<bool> boolean;
  std::optional<uint32_t> number;
  std::optional<int64_t> negative;
  reader.Read("s", &text);
  reader.Read("l", &list);
  reader.Read("m", &map);
  reader.Read("b", &boolean);
  reader.Read("u", &number);
  reader.Read("i", &negative);
  reader.Read("n", &absent);
  ASSERT_TRUE(reader.Finish().ok()) << reader.Finish();
  EXPECT_EQ(text, "x");
  EXPECT_THAT(list, ::testing::ElementsAre("a", "b"));
  EXPECT_EQ(map["k"], "v");
  EXPECT_EQ(boolean, false);
  EXPECT_EQ(number, 7u);
  EXPECT_EQ(negative, -7);
  EXPECT_EQ(absent, "kept");
}

TEST(MemberReader, NamesTheMemberOfAnotherType) {
  const Json json = {{"v", {1}}};
  const auto fails = [&](auto value) {
    MemberReader reader(json, "here");
    reader.Read("v", &value);
    return std::string(reader.Finish().message());
  };
  EXPECT_EQ(fails(std::string()), "here: v: expected a string");
  EXPECT_EQ(fails(std::vector<std::string>()), "here: v: expected a list of strings");
  EXPECT_EQ(fails(std::optional<uint32_t>()), "here: v: expected a whole number of 32 bits");
  EXPECT_EQ(fails(std::optional<bool>()), "here: v: expected true or false");
}

TEST(MemberReader, RefusesMembersThatNobodyAskedFor) {
  const Json json = {{"known", "x"}, {"typo", 1}};
  MemberReader reader(json, "");
  std::string text;
  reader.Read("known", &text);
  EXPECT_EQ(reader.Finish().message(), "unknown member \"typo\"");
}

TEST(MemberReader, RefusesNumbersOutOfRangeAndNul) {
  for (const Json& value : {Json(-1), Json(1.5), Json(uint64_t{1} << 32)}) {
    const Json json = {{"v", value}};
    MemberReader reader(json, "");
    std::optional<uint32_t> number;
    reader.Read("v", &number);
    EXPECT_FALSE(reader.Finish().ok()) << value;
  }
  const Json json = {{"v", std::string("a\0b", 3)}};
  MemberReader reader(json, "");
  std::string text;
  reader.Read("v", &text);
  EXPECT_FALSE(reader.Finish().ok());
}

}  // namespace
}  // namespace berth
