#include "src/oci/state.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "src/oci/commands.h"
#include "src/oci/launch.h"

namespace berth::oci {
namespace {

ContainerState MakeState() {
  return {.oci_version = "1.2.0",
          .id = "c1",
          .bundle = "/b",
          .rootfs = "/b/rootfs",
          .cgroup_path = "/x",
          .created = "now",
          .config_digest = "sha256:0",
          .pid = 5,
          .start_time = 77,
          .annotations = {{"a", "b\n\"c"}}};
}

TEST(ContainerState, ComesBackAsItWas) {
  const absl::StatusOr<ContainerState> state = DecodeState(EncodeState(MakeState()));
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(EncodeState(*state), EncodeState(MakeState()));
  EXPECT_EQ(state->start_time, 77u);
  EXPECT_EQ(state->annotations.at("a"), "b\n\"c");
}

TEST(ContainerState, RefusesAnotherVersionAndBrokenText) {
  EXPECT_FALSE(DecodeState("").ok());
  EXPECT_FALSE(DecodeState("{}").ok());
  EXPECT_FALSE(DecodeState(R"({"version":2})").ok());
  EXPECT_FALSE(DecodeState(R"({"version":1,"pid":"x"})").ok());
}

TEST(ContainerState, KnowsAProcessByItsStartTime) {
  ContainerState state = MakeState();
  state.pid = ::getpid();
  state.start_time = *ProcessStartTime(::getpid());
  EXPECT_TRUE(OpenProcess(state).ok());
  ++state.start_time;  // the pid of somebody else by now
  EXPECT_EQ(OpenProcess(state).status().code(), absl::StatusCode::kNotFound);
}

TEST(CheckId, TakesTheAlphabetOfRunc) {
  for (const char* good : {"a", "A-b_c.d+1", "..."}) EXPECT_TRUE(CheckId(good).ok()) << good;
  for (const char* bad : {"", ".", "..", "a/b", "a b", "\xc3\xa9"})
    EXPECT_FALSE(CheckId(bad).ok()) << bad;
  EXPECT_FALSE(CheckId(std::string(201, 'a')).ok());
}

TEST(ExecuteFrom, BeginsBehindTheIdentity) {
  using wire::Op;
  const LaunchPlan plan = {{{.op = Op::kSeccomp},
                            {.op = Op::kSetIdentity},
                            {.op = Op::kSetCapabilities},
                            {.op = Op::kNoNewPrivs},
                            {.op = Op::kSeccomp},
                            {.op = Op::kHook},
                            {.op = Op::kExec}}};
  EXPECT_EQ(ExecuteFrom(plan), 3u);
}

TEST(LaunchFailure, NamesTheProgramThatIsMissing) {
  const LaunchPlan plan = {{{.op = wire::Op::kExec, .strings = {"nope"}, .a = 1}}};
  const absl::Status status = LaunchFailure(plan, {.step = 0, .error = ENOENT, .call = "exec"});
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "exec: \"nope\": executable file not found in $PATH");
}

}  // namespace
}  // namespace berth::oci
