#include "src/sandbox/network/cni_config_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CniConfigDirTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/cni-conf-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { fs::remove_all(directory_); }

  void Write(const std::string& name, const std::string& text) {
    fs::create_directories(fs::path(directory_ + "/" + name).parent_path());
    std::ofstream(directory_ + "/" + name) << text;
  }
  void WriteNetwork(const std::string& file, const std::string& name,
                    const std::string& type = "here") {
    Write(file, absl::StrCat(R"({"name": ")", name, R"(", "type": ")", type, R"("})"));
  }
  CniConfigs Load(const std::string& wanted = "") {
    return LoadCniConfigs(directory_, wanted,
                          [](const std::string& type) -> absl::StatusOr<std::string> {
                            if (type != "away") return "/plugins/" + type;
                            return absl::NotFoundError("away is away");
                          });
  }

  std::string directory_;
};

TEST_F(CniConfigDirTest, FirstGoodFileInByteOrderCounts) {
  WriteNetwork("20-b.conf", "b");
  WriteNetwork("10-a.json", "a");
  WriteNetwork("Z.conf", "z");
  const CniConfigs configs = Load();
  ASSERT_NE(configs.network, nullptr);
  EXPECT_EQ(configs.network->name, "a");
  EXPECT_EQ(configs.file, "10-a.json");
  EXPECT_THAT(configs.problems, IsEmpty());
}

TEST_F(CniConfigDirTest, OtherFilesHiddenOnesAndDirectoriesAreNone) {
  WriteNetwork("10-a.txt", "a");
  WriteNetwork(".10-a.conf", "a");
  WriteNetwork("c.conf.swp", "a");
  fs::create_directories(directory_ + "/below");
  EXPECT_FALSE(Load().any_file);
  EXPECT_FALSE(LoadCniConfigs(directory_ + "/nowhere", "", [](const std::string& type) {
                 return absl::StatusOr<std::string>(type);
               }).any_file);
}

TEST_F(CniConfigDirTest, WhatIsBrokenOrLacksAPluginIsPassedOverAndNamed) {
  Write("10-broken.conflist", "{");
  WriteNetwork("20-away.conf", "a", "away");
  Write("30-empty.conflist", R"({"name": "n", "plugins": []})");
  WriteNetwork("40-good.conf", "good");
  const CniConfigs configs = Load();
  ASSERT_NE(configs.network, nullptr);
  EXPECT_EQ(configs.network->name, "good");
  EXPECT_TRUE(configs.unreadable);
  EXPECT_THAT(configs.problems,
              ElementsAre(HasSubstr("10-broken.conflist: "), "20-away.conf: away is away",
                          "30-empty.conflist: the network has no plugins"));
}

TEST_F(CniConfigDirTest, NetworkIsChosenByItsName) {
  WriteNetwork("10-a.conf", "a");
  WriteNetwork("20-b.conf", "b");
  EXPECT_EQ(Load("b").network->name, "b");
  EXPECT_EQ(Load("c").network, nullptr);
}

TEST_F(CniConfigDirTest, PluginsOfAListMayLieInFilesBesideIt) {
  Write("10-a.conflist", R"({"name": "a", "plugins": [{"type": "first"}]})");
  Write("a/20.conf", R"({"type": "third"})");
  Write("a/10.conf", R"({"type": "second"})");
  const CniConfigs configs = Load();
  ASSERT_NE(configs.network, nullptr);
  ASSERT_EQ(configs.network->plugins.size(), 3u);
  EXPECT_EQ(configs.network->plugins[1].type, "second");
  EXPECT_EQ(configs.network->plugins[2].type, "third");
  Write("10-a.conflist",
        R"({"name": "a", "loadOnlyInlinedPlugins": true, "plugins": [{"type": "first"}]})");
  EXPECT_EQ(Load().network->plugins.size(), 1u);
}

TEST_F(CniConfigDirTest, ChangesAreSeenAlsoOfWhatIsNotThereYet) {
  const auto changed = [](const DirectoryWatch& watch) {
    pollfd event = {.fd = watch.fd(), .events = POLLIN, .revents = 0};
    return ::poll(&event, 1, 10000) == 1;
  };
  auto watch = DirectoryWatch::Start({directory_ + "/net.d/deep"});
  ASSERT_TRUE(watch.ok()) << watch.status();
  fs::create_directories(directory_ + "/net.d/deep");
  EXPECT_TRUE(changed(*watch));
  watch = DirectoryWatch::Start({directory_ + "/net.d/deep"});
  Write("net.d/deep/a.conf", "x");
  EXPECT_TRUE(changed(*watch));
  watch = DirectoryWatch::Start({directory_ + "/net.d/deep"});
  fs::remove_all(directory_ + "/net.d");
  EXPECT_TRUE(changed(*watch));
}

}  // namespace
}  // namespace berth
