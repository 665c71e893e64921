// The resize stream of a client: JSON objects {"Width":80,"Height":24}, one behind the other. Pure;
// not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace berth {

struct TerminalSize {
  uint16_t rows = 0, columns = 0;
  bool operator==(const TerminalSize&) const = default;
};

class ResizeParser {
 public:
  // The last size that `bytes` complete. What is no size is skipped, as are sizes with a zero.
  std::optional<TerminalSize> Feed(absl::string_view bytes);

 private:
  std::string object_;  // from its brace
};

}  // namespace berth
