#include "src/runtime/exec_failure.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace berth {
namespace {

constexpr char kPayload[] = "berth/exec-failure";

}  // namespace

absl::Status ExecFailure(const std::string& file, int error) {
  const absl::string_view cause = error == ENOENT && !absl::StrContains(file, '/')
                                      ? absl::string_view("executable file not found in $PATH")
                                      : absl::string_view(std::strerror(error));
  absl::Status status(
      error == ENOENT ? absl::StatusCode::kNotFound : absl::ErrnoToStatusCode(error),
      absl::StrCat("exec: \"", file, "\": ", cause));
  status.SetPayload(kPayload, absl::Cord(error == ENOENT ? "127" : "126"));
  return status;
}

int ExecFailureCode(const absl::Status& status) {
  const auto code = status.GetPayload(kPayload);
  if (!code.has_value()) return 0;
  return *code == "127" ? 127 : 126;
}

}  // namespace berth
