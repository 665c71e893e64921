#include "src/server/daemon_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace berth {
namespace {

using testing::HasSubstr;

constexpr rlimit kDescriptors = {.rlim_cur = 1024, .rlim_max = 4096};

class OptionsTest : public testing::Test {
 protected:
  absl::StatusOr<DaemonOptions> Options() const {
    return OptionsOf(config_, "/lib/berth", kDescriptors, log_);
  }

  Config config_;
  const Log log_;
};

TEST_F(OptionsTest, TheDefaultsAreGood) {
  const absl::StatusOr<DaemonOptions> options = Options();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->images.pull_helper, "/lib/berth/berth-pull");
  EXPECT_EQ(options->node.cgroup_root, "/berth");
  EXPECT_EQ(options->cni.cgroup, "/berth-cni");
  EXPECT_EQ(options->node.descriptor_limit, 1024u);
  EXPECT_EQ(options->sampler.max_descriptors, 2048u);
  EXPECT_EQ(options->streaming.log, &log_);
}

TEST_F(OptionsTest, SystemdsRootIsASlice) {
  config_.cgroup_driver = "systemd";
  EXPECT_EQ(Options()->node.cgroup_root, "berth.slice");
  config_.cgroup_root = "/kubepods.slice";
  EXPECT_EQ(Options()->node.cgroup_root, "/kubepods.slice");
  EXPECT_EQ(Options()->cni.cgroup, "/kubepods-cni");
}

TEST_F(OptionsTest, TheBuiltInNetworkLooksAtNoCniDirectory) {
  EXPECT_EQ(Options()->cni.conf_dir, "/etc/cni/net.d");
  config_.network_mode = "builtin";
  EXPECT_EQ(Options()->cni.conf_dir, "");
}

TEST_F(OptionsTest, ThereIsNoNriWithoutASocket) {
  EXPECT_EQ(Options()->plugins.socket, "");
  config_.nri_socket = "/run/nri.sock";
  config_.nri_required = "guard,other";
  const absl::StatusOr<DaemonOptions> options = Options();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->plugins.socket, "/run/nri.sock");
  EXPECT_EQ(options->plugins.required, (std::vector<std::string>{"guard", "other"}));
  EXPECT_EQ(options->plugins.timeouts.request, absl::Seconds(2));
}

struct BadValue {
  std::string name;
  std::string Config::*value;
  std::string text;
  std::string said;
};

class BadValueTest : public OptionsTest, public testing::WithParamInterface<BadValue> {};

TEST_P(BadValueTest, IsRefusedWithItsKey) {
  config_.*(GetParam().value) = GetParam().text;
  const absl::Status status = Options().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().said));
}

INSTANTIATE_TEST_SUITE_P(
    Options, BadValueTest,
    testing::Values(
        BadValue{"NoNumber", &Config::parallel_layers, "four",
                 "image.parallel_layers \"four\" is not a number from 1 to 32"},
        BadValue{"TooFew", &Config::keepalive_seconds, "9", "grpc.keepalive_seconds \"9\""},
        BadValue{"TooMany", &Config::stream_max_connections, "10001", "stream.max_connections"},
        BadValue{"TooManyMonitors", &Config::ready_monitors, "257",
                 "container.ready_monitors \"257\""},
        BadValue{"Negative", &Config::pids_limit, "-1", "container.pids_limit \"-1\""},
        BadValue{"BetweenZeroAndIpv6", &Config::mtu, "1279", "network.mtu"},
        BadValue{"RequiredWithoutNri", &Config::nri_required, "guard", "nri.required"},
        BadValue{"RelativeNri", &Config::nri_socket, "nri.sock", "nri.socket \"nri.sock\""},
        BadValue{"Rlimit", &Config::rlimits, "NOFILE", "container.rlimits"},
        BadValue{"Relative", &Config::cni_bin_dirs, "/opt/cni/bin:bin",
                 "cni.bin_dirs \"bin\" is not absolute"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace berth
