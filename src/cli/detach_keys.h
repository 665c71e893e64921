// The keys that leave a session while what runs in it goes on: "ctrl-p,ctrl-q". Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::cli {

inline constexpr char kDefaultDetachKeys[] = "ctrl-p,ctrl-q";

// The bytes that a terminal sends for `text`, a comma-separated list of single characters and
// ctrl-X, X being a letter or one of @[\]^_ ("ctrl-p,ctrl-q", "ctrl-a,d"); "" for no keys.
absl::StatusOr<std::string> ParseDetachKeys(absl::string_view text);

// Looks for the keys in what is typed. What may be their beginning is held back until the next key
// decides.
class DetachWatch {
 public:
  // Of ParseDetachKeys; without keys nothing is ever found.
  explicit DetachWatch(std::string keys) : keys_(std::move(keys)) {}

  struct Result {
    std::string pass;       // for the container
    bool detached = false;  // the keys were typed; what came after them is dropped
  };
  Result Feed(absl::string_view typed);

 private:
  std::string Take(char byte);

  const std::string keys_;
  size_t matched_ = 0;  // of the keys, typed and held back
};

}  // namespace berth::cli
