#include "src/server/config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace berth {
namespace {

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    char name[] = "/tmp/berth-config-XXXXXX";
    directory_ = mkdtemp(name);
  }
  ~ConfigTest() override { std::filesystem::remove_all(directory_); }
  std::string Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = std::filesystem::path(directory_) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path.string();
  }
  std::string directory_;
};

TEST_F(ConfigTest, IsTheDefaultsWithoutAFile) {
  const absl::StatusOr<Config> config = LoadConfig(directory_ + "/berth.toml", Config());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->socket, "/run/berth/berth.sock");
}

TEST_F(ConfigTest, DropInsWinInNameOrder) {
  const std::string file =
      Write("berth.toml", "[log]\nlevel = \"debug\"\n[network]\nbridge = \"a\"\n");
  Write("conf.d/20.toml", "[network]\nbridge = \"c\"\n");
  Write("conf.d/10.toml", "[network]\nbridge = \"b\"\n");
  const absl::StatusOr<Config> config = LoadConfig(file, Config());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->log_level, "debug");
  EXPECT_EQ(config->bridge, "c");
}

TEST_F(ConfigTest, ErrorsNameFileLineAndKey) {
  const std::string file = Write("berth.toml", "\n[log]\nlevle = \"debug\"\n");
  const absl::StatusOr<Config> config = LoadConfig(file, Config());
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(config.status().message(), file + ":3: unknown key log.levle");
}

TEST_F(ConfigTest, RefusesWrongTypesChoicesAndSyntax) {
  for (const char* text : {"[log]\nlevel = 3\n", "[log]\nformat = \"xml\"\n", "[log\n"}) {
    EXPECT_EQ(LoadConfig(Write("berth.toml", text), Config()).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST_F(ConfigTest, HandlersAreNamedTables) {
  const absl::StatusOr<Config> config =
      LoadConfig(Write("berth.toml", "[handlers.runc]\npath = \"/usr/sbin/runc\"\n"), Config());
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->handlers.size(), 1u);
  EXPECT_EQ(config->handlers.at("runc").path, "/usr/sbin/runc");
  for (const char* text :
       {"[handlers]\nrunc = \"/usr/sbin/runc\"\n", "[handlers.runc]\npath = \"runc\"\n",
        "[handlers.runc]\n", "[handlers.runc]\npath = 3\n",
        "[handlers.runc]\npath = \"/r\"\nroot = \"/x\"\n", "[handlers.\"A/b\"]\npath = \"/r\"\n"}) {
    EXPECT_EQ(LoadConfig(Write("berth.toml", text), Config()).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST_F(ConfigTest, WhatIsDumpedLoadsAgain) {
  Config config = ConfigForDir("/some/dir");
  config.handlers["crun"].path = "/usr/bin/crun";
  config.metrics_listen = "127.0.0.1:1";
  const absl::StatusOr<Config> again =
      LoadConfig(Write("berth.toml", DumpConfig(config)), Config());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(DumpConfig(*again), DumpConfig(config));
}

TEST(TakeOver, ChangesOnlyWhatTheTableSays) {
  for (const ConfigKey& key : ConfigKeys()) {
    Config read, running;
    read.*(key.value) = "else";
    const ConfigChanges changes = TakeOver(read, &running);
    const std::vector<std::string> changed = {FullName(key)};
    EXPECT_EQ(changes.taken_over, key.reloads ? changed : std::vector<std::string>());
    EXPECT_EQ(changes.need_restart, key.reloads ? std::vector<std::string>() : changed);
    EXPECT_EQ(running.*(key.value) == "else", key.reloads) << FullName(key);
  }
}

TEST(ConfigForDir, KeepsDaemonsApart) {
  const Config a = ConfigForDir("/a"), b = ConfigForDir("/b");
  EXPECT_EQ(a.socket, "/a/berth.sock");
  EXPECT_NE(a.bridge, b.bridge);
  EXPECT_NE(a.ipv4_subnet, b.ipv4_subnet);
  EXPECT_NE(a.cgroup_root, b.cgroup_root);
  EXPECT_LE(a.bridge.size(), 15u);
}

}  // namespace
}  // namespace berth
