#include "src/cli/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kUid(64, 'a');

const char* Env(const char* key) { return std::string(key) == "HOME" ? "/root" : nullptr; }

absl::StatusOr<RunConfig> Make(RunOptions options) {
  if (options.name.empty()) options.name = "web";
  options.image = "localhost:5000/a:1";
  return MakeRunConfig(options, kUid, "/logs", Env);
}

TEST(MakeRunConfig, FillsPodAndContainer) {
  const auto config = Make({.command = {"sh", "-c"},
                            .working_dir = "/tmp",
                            .user = "1000:7",
                            .read_only = true,
                            .memory = "64m",
                            .cpus = "0.5"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->pod.hostname(), "web");
  EXPECT_EQ(config->pod.log_directory(), "/logs/" + kUid);
  EXPECT_EQ(config->pod.linux().security_context().namespace_options().network(), cri::POD);
  EXPECT_THAT(config->container.args(), ElementsAre("sh", "-c"));
  EXPECT_EQ(config->container.log_path(), "web.log");
  const cri::LinuxContainerConfig& linux_config = config->container.linux();
  EXPECT_EQ(linux_config.resources().memory_limit_in_bytes(), 64 << 20);
  EXPECT_EQ(linux_config.resources().cpu_quota(), 50000);
  EXPECT_EQ(linux_config.resources().cpu_period(), 100000);
  EXPECT_EQ(linux_config.security_context().run_as_user().value(), 1000);
  EXPECT_EQ(linux_config.security_context().run_as_group().value(), 7);
  EXPECT_TRUE(linux_config.security_context().readonly_rootfs());
  EXPECT_THAT(linux_config.security_context().masked_paths(), Contains("/proc/kcore"));
  EXPECT_EQ(linux_config.security_context().seccomp().profile_type(),
            cri::SecurityProfile::RuntimeDefault);
}

TEST(MakeRunConfig, UsesTheNodesNetworkAndName) {
  const auto config = Make({.host_network = true});
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->pod.linux().security_context().namespace_options().network(), cri::NODE);
  EXPECT_EQ(config->container.linux().security_context().namespace_options().network(), cri::NODE);
  EXPECT_EQ(config->pod.hostname(), "");
}

TEST(MakeRunConfig, PassesOwnVariablesOn) {
  const auto config = Make({.env = {"A=1=2", "EMPTY=", "HOME", "UNSET"}});
  ASSERT_TRUE(config.ok());
  ASSERT_EQ(config->container.envs_size(), 3);
  EXPECT_EQ(config->container.envs(0).value(), "1=2");
  EXPECT_EQ(config->container.envs(1).value(), "");
  EXPECT_EQ(config->container.envs(2).value(), "/root");
}

TEST(MakeRunConfig, TakesAUserName) {
  const auto config = Make({.user = "nobody"});
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->container.linux().security_context().run_as_username(), "nobody");
  EXPECT_FALSE(config->container.linux().security_context().has_run_as_user());
}

TEST(MakeRunConfig, NamesTheWrongOption) {
  EXPECT_THAT(Make({.name = "../x"}).status().message(), HasSubstr("--name"));
  EXPECT_THAT(Make({.name = std::string(64, 'x')}).status().message(), HasSubstr("--name"));
  EXPECT_THAT(Make({.env = {"=1"}}).status().message(), HasSubstr("--env"));
  EXPECT_THAT(Make({.user = "1:staff"}).status().message(), HasSubstr("--user"));
  EXPECT_THAT(Make({.user = ":1"}).status().message(), HasSubstr("--user"));
  EXPECT_THAT(Make({.user = "-1"}).status().message(), HasSubstr("--user"));
  EXPECT_THAT(Make({.memory = "x"}).status().message(), HasSubstr("--memory"));
  EXPECT_THAT(Make({.cpus = "x"}).status().message(), HasSubstr("--cpus"));
}

TEST(DefaultRunName, IsTheImagesLastNameAndAPieceOfTheUid) {
  EXPECT_EQ(DefaultRunName("localhost:5000/team/Busy_Box:1.35@sha256:ab", "3f9a77"),
            "busy-box-3f9a");
  EXPECT_EQ(DefaultRunName("localhost:5000/", "3f9a77"), "pod-3f9a");
  EXPECT_EQ(DefaultRunName("a@sha256:1", "3f9a77"), "a-3f9a");
}

TEST(IsRunPod, NeedsLabelAndUid) {
  const auto config = Make({});
  cri::PodSandbox pod;
  *pod.mutable_metadata() = config->pod.metadata();
  EXPECT_FALSE(IsRunPod(pod));
  *pod.mutable_labels() = config->pod.labels();
  EXPECT_TRUE(IsRunPod(pod));
  pod.mutable_metadata()->set_uid("8a1f6f0e-8c1c-4a53-9f0e-6f1d0e6c2a11");
  EXPECT_FALSE(IsRunPod(pod));
}

TEST(RunLogRoot, FollowsTheSocket) {
  EXPECT_EQ(RunLogRoot("/run/berth/berth.sock"), "/var/log/berth");
  EXPECT_EQ(RunLogRoot("/tmp/d/berth.sock"), "/tmp/d/logs");
}

}  // namespace
}  // namespace berth::cli
