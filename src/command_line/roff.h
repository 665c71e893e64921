// Text as the macros of man(7) take it. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace berth {

// `text` as it is to be read: nothing of it is a request, an escape or a typographic dash.
std::string Roff(absl::string_view text);

std::string RoffBold(absl::string_view text);
std::string RoffItalic(absl::string_view text);

// A macro with one argument, which may have spaces: RoffMacro("SH", "SEE ALSO").
std::string RoffMacro(absl::string_view macro, absl::string_view argument);

struct ManTitle {
  absl::string_view name;  // "berth"
  int section = 1;
  absl::string_view about;
  absl::string_view source;  // "Berth 0.1.0"
};
// The heading of a page and its NAME.
std::string RoffTitle(const ManTitle& title);

}  // namespace berth
