#include "src/base/joined_operations.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"

namespace berth {
namespace {

TEST(JoinedOperations, RunsOneAfterTheOtherEachTime) {
  JoinedOperations<std::string> operations;
  int runs = 0;
  for (int i = 0; i < 3; ++i) {
    const absl::StatusOr<std::string> result = operations.Run(
        "pod", "same", [&]() -> absl::StatusOr<std::string> { return std::to_string(++runs); });
    EXPECT_EQ(*result, std::to_string(i + 1));
  }
}

// Returns once the thread sleeps: proc_pid_stat(5), the state behind the ")" of its name.
void AwaitSleep(pid_t thread) {
  char state = 'R';
  while (state != 'S') {
    std::this_thread::yield();
    std::ifstream file(absl::StrCat("/proc/self/task/", thread, "/stat"));
    std::string line;
    std::getline(file, line);
    const size_t name_end = line.rfind(") ");
    ASSERT_NE(name_end, std::string::npos);
    state = line[name_end + 2];
  }
}

TEST(JoinedOperations, ACallWhileItRunsGetsItsResult) {
  for (const bool succeed : {true, false}) {
    JoinedOperations<std::string> operations;
    absl::Notification started, finish;
    const auto operation = [&]() -> absl::StatusOr<std::string> {
      started.Notify();
      finish.WaitForNotification();
      if (!succeed) return absl::NotFoundError("no image");
      return "id";
    };
    absl::StatusOr<std::string> first, second;
    std::thread one([&] { first = operations.Run("pod", "same", operation); });
    started.WaitForNotification();
    std::atomic<pid_t> thread = 0;
    std::thread two([&] {
      thread = gettid();
      second = operations.Run("pod", "same",
                              []() -> absl::StatusOr<std::string> { return "ran a second time"; });
    });
    while (thread == 0) std::this_thread::yield();
    AwaitSleep(thread);
    finish.Notify();
    one.join();
    two.join();
    EXPECT_EQ(first, second);
    EXPECT_EQ(first.ok(), succeed);
  }
}

TEST(JoinedOperations, AnotherConfigurationOfTheSameNameIsRefusedWhileItRuns) {
  JoinedOperations<std::string> operations;
  const absl::StatusOr<std::string> outer =
      operations.Run("pod", "a", [&]() -> absl::StatusOr<std::string> {
        const absl::Status refused =
            operations.Run("pod", "b", []() -> absl::StatusOr<std::string> { return "never"; })
                .status();
        EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists);
        EXPECT_EQ(refused.message(), "\"pod\" is being made from another configuration");
        return "made";
      });
  EXPECT_EQ(*outer, "made");
  EXPECT_EQ(*operations.Run("pod", "b", []() -> absl::StatusOr<std::string> { return "next"; }),
            "next");
}

TEST(JoinedOperations, OtherNamesDoNotWait) {
  JoinedOperations<std::string> operations;
  const absl::StatusOr<std::string> outer =
      operations.Run("a", "x", [&]() -> absl::StatusOr<std::string> {
        return operations.Run("b", "x", []() -> absl::StatusOr<std::string> { return "inner"; });
      });
  EXPECT_EQ(*outer, "inner");
}

}  // namespace
}  // namespace berth
