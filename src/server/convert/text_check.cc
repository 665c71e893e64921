#include "src/server/convert/text_check.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace berth {
namespace {

bool HasControl(absl::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7f) return true;
    // U+0080..U+009F: a terminal may take them as escapes.
    if (byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0)
      return true;
  }
  return false;
}

}  // namespace

absl::Status Refused(absl::string_view field, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", why));
}

absl::Status CheckText(absl::string_view field, absl::string_view text, size_t max) {
  if (text.size() > max) return Refused(field, absl::StrCat("longer than ", max, " bytes"));
  if (HasControl(text)) return Refused(field, "has a control character");
  return absl::OkStatus();
}

absl::Status CheckPath(absl::string_view field, absl::string_view path) {
  if (path.empty() || path[0] != '/') return Refused(field, "is not absolute");
  return CheckText(field, path, kMaxPath);
}

bool LeadsUp(absl::string_view path) {
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part == "..") return true;
  }
  return false;
}

absl::Status CheckNoNul(absl::string_view field, absl::string_view text) {
  if (text.find('\0') == absl::string_view::npos) return absl::OkStatus();
  return Refused(field, "has a NUL byte");
}

}  // namespace berth
