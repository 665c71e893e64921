// main() of the end-to-end tests: lists the tests as they are; runs them on a node of their own.
#include <gtest/gtest.h>

#include <string>

#include "test/e2e/handlers.h"
#include "test/e2e/isolation.h"

int main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);  // as in berthd_main.cc
  bool listing = false;
  for (int i = 1; i < argc; ++i) listing |= std::string(argv[i]) == "--gtest_list_tests";
  if (!listing) {
    berth::e2e::EnterOwnNode();
    berth::e2e::PrepareNodeForHandler();
  }
  testing::InitGoogleTest(&argc, argv);
  if (!listing) {
    testing::GTEST_FLAG(filter) =
        berth::e2e::WithoutAllowedDifferences(testing::GTEST_FLAG(filter));
  }
  return RUN_ALL_TESTS();
}
