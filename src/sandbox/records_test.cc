#include "src/sandbox/records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

TEST(PodStatusJson, ComesBackAsItWas) {
  for (const PodState state : {PodState::kCreating, PodState::kReady, PodState::kNotReady}) {
    const PodStatus status = {.state = state,
                              .ips = {"10.0.0.2", "fd00::2"},
                              .cgroup = "/berth/a",
                              .boot_id = "b-1",
                              .monitor_pid = 77,
                              .pod_init_pid = 78};
    const absl::StatusOr<PodStatus> again = DecodePodStatus(EncodePodStatus(status));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->state, state);
    EXPECT_EQ(again->ips, status.ips);
    EXPECT_EQ(again->cgroup, status.cgroup);
    EXPECT_EQ(again->boot_id, status.boot_id);
    EXPECT_EQ(again->monitor_pid, 77);
    EXPECT_EQ(again->pod_init_pid, 78);
  }
}

TEST(ContainerStatusJson, ComesBackAsItWas) {
  for (const ContainerState state :
       {ContainerState::kCreated, ContainerState::kRunning, ContainerState::kExited}) {
    const ContainerStatus status = {.state = state,
                                    .started_at = 1,
                                    .finished_at = std::numeric_limits<int64_t>::max(),
                                    .exit_code = 137,
                                    .reason = "OOMKilled",
                                    .message = "line\nwith \"quotes\" and \x01",
                                    .pid = -1,
                                    .log_dropped_bytes = std::numeric_limits<uint64_t>::max(),
                                    .poststop_due = true,
                                    .adjustment = std::string("\0\xff any", 6)};
    const absl::StatusOr<ContainerStatus> again =
        DecodeContainerStatus(EncodeContainerStatus(status));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->state, state);
    EXPECT_EQ(again->started_at, 1);
    EXPECT_EQ(again->finished_at, status.finished_at);
    EXPECT_EQ(again->exit_code, 137);
    EXPECT_EQ(again->reason, status.reason);
    EXPECT_EQ(again->message, status.message);
    EXPECT_EQ(again->pid, -1);
    EXPECT_EQ(again->log_dropped_bytes, status.log_dropped_bytes);
    EXPECT_TRUE(again->poststop_due);
    EXPECT_EQ(again->adjustment, status.adjustment);
  }
}

CgroupLimits AllLimits() {
  return {.memory_bytes = 1,
          .memory_swap_bytes = -1,
          .cpu_shares = 2,
          .cpu_quota_us = -1,
          .cpu_period_us = 100000,
          .pids = 7,
          .cpuset_cpus = "0-3",
          .cpuset_mems = "0",
          .hugepages = {{"2MB", 0}, {"1GB", std::numeric_limits<uint64_t>::max()}},
          .unified = {{"memory.high", "max"}}};
}

void ExpectSame(const CgroupLimits& got, const CgroupLimits& expected) {
  EXPECT_EQ(got.memory_bytes, expected.memory_bytes);
  EXPECT_EQ(got.memory_swap_bytes, expected.memory_swap_bytes);
  EXPECT_EQ(got.cpu_shares, expected.cpu_shares);
  EXPECT_EQ(got.cpu_quota_us, expected.cpu_quota_us);
  EXPECT_EQ(got.cpu_period_us, expected.cpu_period_us);
  EXPECT_EQ(got.pids, expected.pids);
  EXPECT_EQ(got.cpuset_cpus, expected.cpuset_cpus);
  EXPECT_EQ(got.cpuset_mems, expected.cpuset_mems);
  EXPECT_EQ(got.hugepages, expected.hugepages);
  EXPECT_EQ(got.unified, expected.unified);
}

TEST(ContainerStatusJson, KeepsChangedLimitsAndThatThereAreNone) {
  for (const CgroupLimits& limits : {AllLimits(), CgroupLimits{}}) {
    const absl::StatusOr<ContainerStatus> again =
        DecodeContainerStatus(EncodeContainerStatus({.limits = limits}));
    ASSERT_TRUE(again.ok()) << again.status();
    ASSERT_TRUE(again->limits.has_value());
    ExpectSame(*again->limits, limits);
  }
  EXPECT_FALSE(DecodeContainerStatus(EncodeContainerStatus({}))->limits.has_value());
}

TEST(PodStatusJson, KeepsChangedResourcesAndTheLabelsLevel) {
  const absl::StatusOr<PodStatus> again = DecodePodStatus(EncodePodStatus(
      {.selinux_level = "s0:c1,c2", .overhead = CgroupLimits{}, .resources = AllLimits()}));
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_TRUE(again->overhead.has_value() && again->resources.has_value());
  ExpectSame(*again->overhead, CgroupLimits{});
  ExpectSame(*again->resources, AllLimits());
  EXPECT_EQ(again->selinux_level, "s0:c1,c2");
  EXPECT_FALSE(DecodePodStatus(EncodePodStatus({}))->overhead.has_value());
}

// As the first version of the records had them.
TEST(Records, ThoseFromBeforeAKeyExistedAreReadWithItsDefault) {
  const absl::StatusOr<PodStatus> pod = DecodePodStatus(
      R"({"state":1,"ips":["10.0.0.2"],"cgroup":"/c","boot_id":"b","monitor_pid":7})");
  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_EQ(pod->monitor_pid, 7);
  EXPECT_EQ(pod->selinux_level, "");
  EXPECT_FALSE(pod->resources.has_value());
  const absl::StatusOr<ContainerStatus> status = DecodeContainerStatus(
      R"({"state":2,"started_at":1,"finished_at":2,"exit_code":3,"reason":"Error","message":"",)"
      R"("pid":4,"log_dropped_bytes":0})");
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->exit_code, 3);
  EXPECT_FALSE(status->poststop_due);
  EXPECT_FALSE(status->limits.has_value());
  const absl::StatusOr<ContainerImage> image = DecodeContainerImage(
      R"({"id":"sha256:1","name":"n","reference":"r","layers":["1"],"env":[],"entrypoint":[],)"
      R"("cmd":["c"],"working_dir":"","stop_signal":0,"uid":1,"gid":2,"groups":[2],"home":"/"})");
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->uid, 1u);
  EXPECT_TRUE(image->volumes.empty());
  EXPECT_TRUE(image->mounted.empty());
}

TEST(Records, KeysThatCameLaterAreCheckedAsTheOthers) {
  const auto with = [](const std::string& whole, const std::string& more) {
    return absl::StrCat(whole.substr(0, whole.size() - 1), ",", more, "}");
  };
  for (const char* limits :
       {R"("poststop_due":7)", R"("limits":7)", R"("limits":{})",
        R"("limits":{"cpus":"","mems":"","hugepages":{},"unified":{},"memory":"x"})"}) {
    EXPECT_EQ(DecodeContainerStatus(with(EncodeContainerStatus({}), limits)).status().code(),
              absl::StatusCode::kDataLoss)
        << limits;
  }
  EXPECT_EQ(DecodePodStatus(with(EncodePodStatus({}), R"("resources":[])")).status().code(),
            absl::StatusCode::kDataLoss);
  const std::string image =
      absl::StrReplaceAll(EncodeContainerImage({}), {{R"("mounted":[])", R"("mounted":[{}])"}});
  EXPECT_EQ(DecodeContainerImage(image).status().code(), absl::StatusCode::kDataLoss) << image;
}

// A path in an error may hold any bytes; the record of the error must still be stored.
TEST(ContainerStatusJson, TakesAMessageThatIsNotUtf8) {
  const absl::StatusOr<ContainerStatus> again =
      DecodeContainerStatus(EncodeContainerStatus({.message = "a\xff"
                                                              "b"}));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->message,
            "a\xEF\xBF\xBD"
            "b");
}

TEST(ContainerImageJson, ComesBackAsItWas) {
  const ContainerImage image = {.id = "sha256:1",
                                .name = "n",
                                .reference = "r@sha256:2",
                                .layers = {"layers/1", "layers/2"},
                                .env = {"A=b"},
                                .entrypoint = {"e"},
                                .cmd = {"c", ""},
                                .working_dir = "/w",
                                .stop_signal = 3,
                                .uid = 4294967294,
                                .gid = 5,
                                .groups = {6, 7},
                                .home = "/h",
                                .volumes = {"/data"},
                                .mounted = {{"sha256:3", "m@sha256:4", {"5", "6"}}}};
  const absl::StatusOr<ContainerImage> again = DecodeContainerImage(EncodeContainerImage(image));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(EncodeContainerImage(*again), EncodeContainerImage(image));
  EXPECT_EQ(again->uid, 4294967294u);
  EXPECT_EQ(again->layers, image.layers);
  EXPECT_EQ(again->cmd, image.cmd);
  EXPECT_EQ(again->volumes, image.volumes);
  ASSERT_EQ(again->mounted.size(), 1u);
  EXPECT_EQ(again->mounted[0].id, "sha256:3");
  EXPECT_EQ(again->mounted[0].layers, image.mounted[0].layers);
}

template <typename Decode>
void ExpectDataLossFromDamage(const std::string& whole, Decode decode) {
  ASSERT_TRUE(decode(whole).ok());
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(decode(whole.substr(0, size)).status().code(), absl::StatusCode::kDataLoss)
        << whole.substr(0, size);
  }
  for (const char* text :
       {"null", "[]", "{}", "7", "\"x\"", "{\"state\":\"x\"}", "{\"state\":{}}", "\xff"}) {
    EXPECT_EQ(decode(text).status().code(), absl::StatusCode::kDataLoss) << text;
  }
}

TEST(Records, DamageIsDataLossAndNothingElse) {
  ExpectDataLossFromDamage(EncodePodStatus({.ips = {"1"}}), DecodePodStatus);
  ExpectDataLossFromDamage(EncodeContainerStatus({}), DecodeContainerStatus);
  ExpectDataLossFromDamage(EncodeContainerImage({}), DecodeContainerImage);
}

TEST(Records, AStateThatDoesNotExistIsDamage) {
  for (const char* state : {"-1", "3", "99"}) {
    const std::string pod = absl::StrReplaceAll(
        EncodePodStatus({}), {{"\"state\":0", absl::StrCat("\"state\":", state)}});
    EXPECT_EQ(DecodePodStatus(pod).status().code(), absl::StatusCode::kDataLoss) << pod;
    const std::string container = absl::StrReplaceAll(
        EncodeContainerStatus({}), {{"\"state\":0", absl::StrCat("\"state\":", state)}});
    EXPECT_EQ(DecodeContainerStatus(container).status().code(), absl::StatusCode::kDataLoss)
        << container;
  }
}

TEST(Records, ErrorsSayWhatIsDamaged) {
  EXPECT_THAT(std::string(DecodePodStatus("").status().message()), HasSubstr("pod status"));
  EXPECT_THAT(std::string(DecodeContainerStatus("{}").status().message()),
              HasSubstr("container status"));
  EXPECT_THAT(std::string(DecodeContainerImage("[]").status().message()),
              HasSubstr("container image"));
}

}  // namespace
}  // namespace berth
