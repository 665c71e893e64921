#include "src/cli/hints.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"

namespace berth::cli {
namespace {

TEST(HintFor, DependsOnOperationStageAndMessage) {
  const struct {
    const char *operation, *stage, *message, *part;
  } cases[] = {
      {"StartContainer", "launch", "exec /nope: No such file or directory", "no such program"},
      {"StartContainer", "launch", "exec /x: Permission denied", "execute"},
      {"StartContainer", "launch", "write: No space left on device", "disk is full"},
      {"PullImage", "", "pull x: unauthorized", "credentials"},
      {"PullImage", "", "connection refused", "reachable"},
      {"RunPodSandbox", "network", "pool is empty", "network"},
      {"RunPodSandbox", "claim", "take host port 80/TCP: it is taken", "host port"},
      {"CreateContainer", "image", "image x is not here", "berth pull"},
  };
  for (const auto& each : cases) {
    const std::string hint = HintFor(each.operation, each.stage, each.message);
    EXPECT_TRUE(absl::StrContains(hint, each.part)) << each.message << ": " << hint;
  }
  EXPECT_EQ(HintFor("RunPodSandbox", "files", "mkdir /x: Input/output error"), "");
}

TEST(HintForEnd, TellsWhyAContainerEnded) {
  EXPECT_TRUE(absl::StrContains(HintForEnd("OOMKilled", 137), "memory limit"));
  EXPECT_TRUE(absl::StrContains(HintForEnd("Error", 137), "killed"));
  EXPECT_TRUE(absl::StrContains(HintForEnd("Error", 3), "berth logs"));
  EXPECT_EQ(HintForEnd("Completed", 0), "");
}

}  // namespace
}  // namespace berth::cli
