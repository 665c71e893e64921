#include "src/cli/terminal_text.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace berth::cli {
namespace {

struct CodePoint {
  char32_t value = 0;
  size_t bytes = 1;
  bool valid = false;
};

struct Range {
  char32_t first;
  char32_t last;
};

constexpr std::array kBidirectional = {Range{0x061c, 0x061c}, Range{0x200e, 0x200f},
                                       Range{0x202a, 0x202e}, Range{0x2066, 0x2069}};
constexpr std::array kCombining = {Range{0x0300, 0x036f}, Range{0x200b, 0x200d},
                                   Range{0x20d0, 0x20ff}, Range{0xfe00, 0xfe0f}};
constexpr std::array kWide = {
    Range{0x1100, 0x115f}, Range{0x2e80, 0xa4cf}, Range{0xac00, 0xd7a3},   Range{0xf900, 0xfaff},
    Range{0xfe30, 0xfe6f}, Range{0xff00, 0xff60}, Range{0x1f300, 0x1faff}, Range{0x20000, 0x3fffd}};

template <typename Ranges>
bool In(char32_t value, const Ranges& ranges) {
  for (const Range& range : ranges) {
    if (value >= range.first && value <= range.last) return true;
  }
  return false;
}

bool IsControl(char32_t value) { return value < 0x20 || (value >= 0x7f && value < 0xa0); }

// Length of the sequence that `lead` starts and the bits of the code point in it; 0 for no lead
// byte.
size_t SequenceBytes(unsigned char lead, char32_t* bits) {
  if (lead < 0x80) return *bits = lead, 1;
  if (lead >= 0xc2 && lead < 0xe0) return *bits = lead & 0x1f, 2;
  if (lead >= 0xe0 && lead < 0xf0) return *bits = lead & 0x0f, 3;
  if (lead >= 0xf0 && lead < 0xf5) return *bits = lead & 0x07, 4;
  return 0;
}

bool IsOverlongOrSurrogate(char32_t value, size_t bytes) {
  if (bytes == 3) return value < 0x800 || (value >= 0xd800 && value <= 0xdfff);
  return bytes == 4 && (value < 0x10000 || value > 0x10ffff);
}

// The first character of `text`, which is not empty. A byte that starts no valid sequence is one
// invalid character.
CodePoint Decode(absl::string_view text) {
  char32_t value = 0;
  const size_t bytes = SequenceBytes(static_cast<unsigned char>(text[0]), &value);
  if (bytes == 0 || bytes > text.size()) return {};
  for (size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xc0) != 0x80) return {};
    value = (value << 6) | (next & 0x3f);
  }
  if (IsOverlongOrSurrogate(value, bytes)) return {};
  return {.value = value, .bytes = bytes, .valid = true};
}

size_t WidthOf(const CodePoint& c) {
  if (!c.valid) return 1;
  if (In(c.value, kCombining)) return 0;
  return In(c.value, kWide) ? 2 : 1;
}

}  // namespace

std::string OneLine(absl::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  while (!text.empty()) {
    const CodePoint c = Decode(text);
    if (!c.valid) {
      safe += '?';
    } else if (c.value == '\n' || c.value == '\t') {
      safe += ' ';
    } else if (!IsControl(c.value) && !In(c.value, kBidirectional)) {
      safe.append(text.data(), c.bytes);
    }
    text.remove_prefix(c.bytes);
  }
  return safe;
}

std::string EscapeJsonForTerminal(absl::string_view json) {
  std::string safe;
  safe.reserve(json.size());
  while (!json.empty()) {
    const CodePoint c = Decode(json);
    const bool steers =
        c.valid && ((c.value >= 0x7f && c.value < 0xa0) || In(c.value, kBidirectional));
    if (!c.valid) {
      safe += '?';
    } else if (steers) {
      absl::StrAppendFormat(&safe, "\\u%04x", static_cast<unsigned>(c.value));
    } else {
      safe.append(json.data(), c.bytes);
    }
    json.remove_prefix(c.bytes);
  }
  return safe;
}

size_t DisplayWidth(absl::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    const CodePoint c = Decode(text);
    width += WidthOf(c);
    text.remove_prefix(c.bytes);
  }
  return width;
}

std::string Shorten(absl::string_view text, size_t width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  if (width == 0) return "";
  size_t kept_bytes = 0;
  size_t kept_columns = 0;
  while (kept_bytes < text.size()) {
    const CodePoint c = Decode(text.substr(kept_bytes));
    if (kept_columns + WidthOf(c) > width - 1) break;
    kept_columns += WidthOf(c);
    kept_bytes += c.bytes;
  }
  return absl::StrCat(text.substr(0, kept_bytes), "…");
}

}  // namespace berth::cli
