// Text from outside (names, image references, server messages) made safe to show on a terminal.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace berth::cli {

// `text` on one line without anything that steers a terminal: C0 and C1 controls, DEL and
// bidirectional overrides are dropped, newlines and tabs become spaces, bytes that are not UTF-8
// become "?".
std::string OneLine(absl::string_view text);

// JSON text whose DEL, C1 and bidirectional characters are written as \uXXXX escapes.
std::string EscapeJsonForTerminal(absl::string_view json);

// Columns that UTF-8 `text` without controls takes: two for East Asian wide characters and emoji,
// none for combining marks.
size_t DisplayWidth(absl::string_view text);

// At most `width` columns of `text`, the last one "…" where something was cut.
std::string Shorten(absl::string_view text, size_t width);

}  // namespace berth::cli
