// The fixture of all end-to-end tests: the shared node, and the leak oracle around each test.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "test/e2e/eventually.h"
#include "test/e2e/isolation.h"
#include "test/e2e/node.h"
#include "test/e2e/pod.h"

namespace berth::e2e {

inline constexpr int64_t kMiB = 1 << 20;

using Json = nlohmann::json;

class E2eTest : public testing::Test {
 protected:
  void SetUp() override;
  // Waits until nothing of the test is left (at most 10 s); what is left after that fails the test.
  // A failed test shows what the daemon logged during it.
  void TearDown() override;

  Node& node() { return *node_; }
  Client& client() { return node_->client(); }
  // A name that no other test uses.
  std::string Name(const std::string& suffix = "") const;

 private:
  Node* node_ = nullptr;
  Snapshot before_;
  size_t log_start_ = 0;
  pid_t daemon_pid_ = 0;
};

inline absl::Status StatusOf(const absl::Status& status) { return status; }
template <class T>
absl::Status StatusOf(const absl::StatusOr<T>& value) {
  return value.status();
}

testing::AssertionResult IsOk(const char* expression, const absl::Status& status);

// One of these codes, and a message of one line that is not empty.
testing::AssertionResult HasCode(const absl::Status& status,
                                 const std::vector<absl::StatusCode>& codes);

}  // namespace berth::e2e

#define E2E_CONCAT_INNER(a, b) a##b
#define E2E_CONCAT(a, b) E2E_CONCAT_INNER(a, b)
#define ASSERT_OK(expr) ASSERT_PRED_FORMAT1(::berth::e2e::IsOk, ::berth::e2e::StatusOf(expr))
#define EXPECT_OK(expr) EXPECT_PRED_FORMAT1(::berth::e2e::IsOk, ::berth::e2e::StatusOf(expr))
#define ASSERT_OK_AND_ASSIGN(lhs, expr) \
  ASSERT_OK_AND_ASSIGN_IMPL(E2E_CONCAT(e2e_value_, __LINE__), lhs, expr)
#define ASSERT_OK_AND_ASSIGN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                              \
  ASSERT_OK(tmp);                                 \
  lhs = std::move(tmp).value()
// The status code(s) that the specification allows: EXPECT_CODE(expr, kNotFound), EXPECT_CODE(expr,
// kA, kB).
#define EXPECT_CODE(expr, ...)                           \
  EXPECT_TRUE(([&](const absl::Status& status) {         \
    using enum absl::StatusCode;                         \
    return ::berth::e2e::HasCode(status, {__VA_ARGS__}); \
  })(::berth::e2e::StatusOf(expr)))
