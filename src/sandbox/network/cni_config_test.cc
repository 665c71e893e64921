#include "src/sandbox/network/cni_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

TEST(ParseCniConfig, ReadsAListAndOnePluginAlone) {
  const auto list = ParseCniConfig(
      R"({"name": "pods", "cniVersion": "1.0.0", "disableCheck": true, "plugins": [
          {"type": "bridge", "bridge": "cni0"},
          {"type": "portmap", "capabilities": {"portMappings": true, "dns": false}}]})");
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->name, "pods");
  EXPECT_EQ(list->version, "1.0.0");
  EXPECT_TRUE(list->disable_check);
  EXPECT_FALSE(list->disable_gc);
  ASSERT_EQ(list->plugins.size(), 2u);
  EXPECT_EQ(list->plugins[0].config["bridge"], "cni0");
  EXPECT_TRUE(list->HasCapability("portMappings"));
  EXPECT_FALSE(list->HasCapability("dns"));

  const auto one = ParseCniConfig(R"({"name": "old", "type": "ptp", "mtu": 1400})");
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->version, "0.1.0");
  ASSERT_EQ(one->plugins.size(), 1u);
  EXPECT_EQ(one->plugins[0].config["mtu"], 1400);
}

TEST(ParseCniConfig, TakesEachKnownVersionAndTheHighestOfSeveral) {
  for (const std::string& version : KnownCniVersions()) {
    const auto list = ParseCniConfig(
        absl::StrCat(R"({"name": "a", "type": "b", "cniVersion": ")", version, R"("})"));
    ASSERT_TRUE(list.ok()) << list.status();
    EXPECT_EQ(list->version, version);
  }
  const auto several = ParseCniConfig(
      R"({"name": "a", "type": "b", "cniVersion": "0.4.0", "cniVersions": ["1.1.0", "9.9.9"]})");
  ASSERT_TRUE(several.ok()) << several.status();
  EXPECT_EQ(several->version, "1.1.0");
  EXPECT_TRUE(several->VersionAtLeast("1.0.0"));
}

TEST(ParseCniConfig, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "JSON"},
      {"[]", "not a JSON object"},
      {R"({"type": "a"})", "\"name\""},
      {R"({"name": "../x", "type": "a"})", "not a network's name"},
      {R"({"name": "-x", "type": "a"})", "not a network's name"},
      {R"({"name": "x", "plugins": [{}]})", "\"type\""},
      {R"({"name": "x"})", "\"type\""},
      {R"({"name": "x", "type": "../../bin/sh"})", "not a plugin's name"},
      {R"({"name": "x", "type": ".."})", "not a plugin's name"},
      {R"({"name": "x", "type": "a b"})", "not a plugin's name"},
      {R"({"name": "x", "plugins": {}})", "not a list"},
      {R"({"name": "x", "plugins": [7]})", "not an object"},
      {R"({"name": "x", "type": "a", "cniVersion": "2.0.0"})", "cniVersion"},
      {R"({"name": "x", "type": "a", "cniVersion": 1})", "cniVersion"},
      {R"({"name": "x", "type": "a", "capabilities": []})", "capabilities"},
      {R"({"name": "x", "type": "a", "disableGC": 1})", "disableGC"},
      {R"({"name": "x", "name": "y", "type": "a"})", "twice"}};
  for (const auto& [text, why] : cases) {
    const auto list = ParseCniConfig(text);
    ASSERT_FALSE(list.ok()) << text;
    EXPECT_THAT(std::string(list.status().message()), HasSubstr(why)) << text;
  }
  std::string many = R"({"name": "x", "plugins": [{"type": "a"})";
  for (int i = 0; i < 40; ++i) many += R"(, {"type": "a"})";
  EXPECT_FALSE(ParseCniConfig(many + "]}").ok());
  EXPECT_FALSE(ParseCniConfig(std::string(2 << 20, ' ')).ok());
}

TEST(CniConfigJson, GivesTheSameBack) {
  const auto list = ParseCniConfig(
      R"({"name": "n", "cniVersion": "1.1.0", "disableGC": true, "plugins": [{"type": "a", "x": [1]}]})");
  ASSERT_TRUE(list.ok());
  const auto again = CniConfigOf(CniConfigJson(*list));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(CniConfigJson(*again), CniConfigJson(*list));
  EXPECT_TRUE(again->disable_gc);
}

}  // namespace
}  // namespace berth
