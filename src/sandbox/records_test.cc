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
                              .monitor_pid = 77};
    const absl::StatusOr<PodStatus> again = DecodePodStatus(EncodePodStatus(status));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->state, state);
    EXPECT_EQ(again->ips, status.ips);
    EXPECT_EQ(again->cgroup, status.cgroup);
    EXPECT_EQ(again->boot_id, status.boot_id);
    EXPECT_EQ(again->monitor_pid, 77);
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
                                    .log_dropped_bytes = std::numeric_limits<uint64_t>::max()};
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
  }
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
                                .home = "/h"};
  const absl::StatusOr<ContainerImage> again = DecodeContainerImage(EncodeContainerImage(image));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(EncodeContainerImage(*again), EncodeContainerImage(image));
  EXPECT_EQ(again->uid, 4294967294u);
  EXPECT_EQ(again->layers, image.layers);
  EXPECT_EQ(again->cmd, image.cmd);
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
