#include "src/image/pull/tar_fields.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();

absl::Status BadField(absl::string_view name) {
  return absl::InvalidArgumentError(absl::StrCat("tar header: malformed ", name, " field"));
}

absl::Status BadPax(absl::string_view key, absl::string_view value) {
  return absl::InvalidArgumentError(absl::StrCat("PAX record ", EscapeForLog(key), "=\"",
                                                 EscapeForLog(value.substr(0, 64)),
                                                 "\" is malformed"));
}

// Two's complement, big-endian, the top bit of the first byte being GNU's mark (0x80 positive, 0xff
// negative).
absl::StatusOr<int64_t> Base256(absl::string_view bytes, absl::string_view name) {
  const auto first = static_cast<unsigned char>(bytes[0]);
  if (first != 0x80 && first != 0xff) return BadField(name);
  const bool negative = first == 0xff;
  uint64_t value = negative ? ~uint64_t{0} : 0;
  for (const char c : bytes.substr(1)) {
    const auto top = static_cast<unsigned char>(value >> 56);
    if (top != (negative ? 0xff : 0x00)) return BadField(name);
    value = value << 8 | static_cast<unsigned char>(c);
  }
  const auto number = static_cast<int64_t>(value);
  if ((number < 0) != negative) return BadField(name);
  return number;
}

bool IsFiller(char c) { return c == ' ' || c == '\0'; }

// Digits of `text` in base 10, or nothing if there are none, others, or too many.
bool ParseDecimal(absl::string_view text, int64_t* value) {
  if (text.empty() || !std::all_of(text.begin(), text.end(), absl::ascii_isdigit)) return false;
  *value = 0;
  for (const char c : text) {
    if (*value > (kMaxInt64 - (c - '0')) / 10) return false;
    *value = *value * 10 + (c - '0');
  }
  return true;
}

}  // namespace

absl::string_view TarText(absl::string_view block, const TarField& field) {
  const absl::string_view text = block.substr(field.offset, field.length);
  return text.substr(0, text.find('\0'));
}

absl::StatusOr<int64_t> TarNumber(absl::string_view block, const TarField& field) {
  absl::string_view text = block.substr(field.offset, field.length);
  if (static_cast<unsigned char>(text[0]) & 0x80) return Base256(text, field.name);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  int64_t value = 0;
  size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '7') {
    value = value * 8 + (text[digits++] - '0');  // at most 12 digits: 36 bits
  }
  const absl::string_view rest = text.substr(digits);
  if (!std::all_of(rest.begin(), rest.end(), IsFiller)) return BadField(field.name);
  return value;
}

absl::StatusOr<uint32_t> TarNumberInRange(int64_t value, int64_t max, absl::string_view what) {
  if (value >= 0 && value <= max) return static_cast<uint32_t>(value);
  return absl::InvalidArgumentError(absl::StrCat("tar: ", what, " ", value, " is out of range"));
}

absl::Status CheckTarChecksum(absl::string_view block) {
  ASSIGN_OR_RETURN(const int64_t expected, TarNumber(block, kTarChecksum));
  int64_t as_unsigned = 0, as_signed = 0;  // old writers summed signed chars
  for (size_t i = 0; i < block.size(); ++i) {
    const bool inside = i >= kTarChecksum.offset && i < kTarChecksum.offset + kTarChecksum.length;
    const char c = inside ? ' ' : block[i];
    as_unsigned += static_cast<unsigned char>(c);
    as_signed += static_cast<signed char>(c);
  }
  if (expected == as_unsigned || expected == as_signed) return absl::OkStatus();
  return absl::InvalidArgumentError("tar header: wrong checksum");
}

absl::StatusOr<int64_t> PaxNumber(absl::string_view key, absl::string_view value) {
  int64_t number = 0;
  if (!ParseDecimal(value, &number)) return BadPax(key, value);
  return number;
}

absl::StatusOr<timespec> PaxTime(absl::string_view key, absl::string_view value) {
  absl::string_view seconds = value;
  const bool negative = absl::ConsumePrefix(&seconds, "-");
  absl::string_view fraction;
  if (const size_t dot = seconds.find('.'); dot != absl::string_view::npos) {
    fraction = seconds.substr(dot + 1);
    seconds = seconds.substr(0, dot);
  }
  int64_t whole = 0, nanos = 0;
  if (!ParseDecimal(seconds, &whole)) return BadPax(key, value);
  if (!std::all_of(fraction.begin(), fraction.end(), absl::ascii_isdigit))
    return BadPax(key, value);
  fraction = fraction.substr(0, 9);
  if (!fraction.empty() && !ParseDecimal(fraction, &nanos)) return BadPax(key, value);
  for (size_t i = fraction.size(); i < 9; ++i) nanos *= 10;
  if (!negative) return timespec{.tv_sec = whole, .tv_nsec = nanos};
  if (nanos == 0) return timespec{.tv_sec = -whole, .tv_nsec = 0};
  return timespec{.tv_sec = -whole - 1, .tv_nsec = 1'000'000'000 - nanos};
}

absl::Status ForEachPaxRecord(
    absl::string_view records,
    absl::FunctionRef<absl::Status(absl::string_view, absl::string_view)> take) {
  while (!records.empty()) {
    const size_t space = records.find(' ');
    int64_t length = 0;
    if (space == absl::string_view::npos || space > 10 ||
        !ParseDecimal(records.substr(0, space), &length) ||
        static_cast<size_t>(length) > records.size() || static_cast<size_t>(length) < space + 4 ||
        records[static_cast<size_t>(length) - 1] != '\n') {
      return absl::InvalidArgumentError("PAX header: malformed record length");
    }
    const absl::string_view body =
        records.substr(space + 1, static_cast<size_t>(length) - space - 2);
    const size_t equals = body.find('=');
    if (equals == absl::string_view::npos || equals == 0 ||
        absl::StrContains(body.substr(0, equals), '\0')) {
      return absl::InvalidArgumentError("PAX header: record without key");
    }
    RETURN_IF_ERROR(take(body.substr(0, equals), body.substr(equals + 1)));
    records.remove_prefix(static_cast<size_t>(length));
  }
  return absl::OkStatus();
}

}  // namespace berth
