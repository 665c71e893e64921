// Starts threads where the kernel may refuse one more (EAGAIN: the pids controller, RLIMIT_NPROC).
#pragma once

#include <system_error>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace berth {

// ResourceExhausted: there is no such thread, and `body` was not called. `name` is for that error.
template <typename Body>
absl::StatusOr<std::thread> StartThread(absl::string_view name, Body&& body) {
  try {
    return std::thread(std::forward<Body>(body));
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat("start thread ", name, ": ", error.code().message()));
  }
}

}  // namespace berth
