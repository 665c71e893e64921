#include "src/cli/detach_keys.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace berth::cli {
namespace {

constexpr char kControlMask = 0x1f;  // ASCII: ctrl takes the upper bits of a key away
constexpr absl::string_view kControlSigns = "@[\\]^_";

absl::StatusOr<char> ParseKey(absl::string_view key) {
  if (key.size() == 1) return key[0];
  absl::string_view letter = key;
  const bool control = absl::ConsumePrefix(&letter, "ctrl-") && letter.size() == 1;
  if (control && (absl::ascii_isalpha(letter[0]) || absl::StrContains(kControlSigns, letter)))
    return static_cast<char>(letter[0] & kControlMask);
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", key, "\" is no key: one character, or ctrl- with a letter or one of ", kControlSigns));
}

}  // namespace

absl::StatusOr<std::string> ParseDetachKeys(absl::string_view text) {
  std::string keys;
  if (text.empty()) return keys;
  for (const absl::string_view word : absl::StrSplit(text, ',')) {
    const absl::StatusOr<char> key = ParseKey(word);
    if (!key.ok()) return key.status();
    keys += *key;
  }
  return keys;
}

DetachWatch::Result DetachWatch::Feed(absl::string_view typed) {
  if (keys_.empty()) return {.pass = std::string(typed)};
  Result result;
  for (const char byte : typed) {
    result.pass += Take(byte);
    if (matched_ < keys_.size()) continue;
    matched_ = 0;
    result.detached = true;
    break;
  }
  return result;
}

// Returns what can no longer be part of the keys: of what was held back and `byte`, all but the
// longest end that is a beginning of the keys.
std::string DetachWatch::Take(char byte) {
  std::string held = keys_.substr(0, matched_) + byte;
  size_t passed = 0;
  while (!absl::StartsWith(keys_, absl::string_view(held).substr(passed))) ++passed;
  matched_ = held.size() - passed;
  return held.substr(0, passed);
}

}  // namespace berth::cli
