#include "src/image/pull/challenge.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace berth {
namespace {

bool IsTokenChar(char c) {
  return absl::ascii_isalnum(c) || absl::StrContains("!#$%&'*+-.^_`|~", absl::string_view(&c, 1));
}

void SkipSpace(absl::string_view& text) {
  while (!text.empty() && (text[0] == ' ' || text[0] == '\t')) text.remove_prefix(1);
}

void SkipSeparators(absl::string_view& text) {
  while (!text.empty() && (text[0] == ' ' || text[0] == '\t' || text[0] == ','))
    text.remove_prefix(1);
}

std::string TakeToken(absl::string_view& text) {
  const size_t end =
      static_cast<size_t>(std::find_if_not(text.begin(), text.end(), IsTokenChar) - text.begin());
  std::string token(text.substr(0, end));
  text.remove_prefix(end);
  return token;
}

bool TakeQuoted(absl::string_view& text, std::string* value) {
  text.remove_prefix(1);
  while (!text.empty() && text[0] != '"') {
    if (text[0] == '\\') text.remove_prefix(1);
    if (text.empty()) return false;
    value->push_back(text[0]);
    text.remove_prefix(1);
  }
  if (text.empty()) return false;
  text.remove_prefix(1);
  return true;
}

// "name=value" or "name=\"value\""; leaves `text` alone if it does not begin with one.
bool TakeParam(absl::string_view& text, Challenge* challenge) {
  absl::string_view rest = text;
  const std::string name = absl::AsciiStrToLower(TakeToken(rest));
  SkipSpace(rest);
  if (name.empty() || !absl::StartsWith(rest, "=")) return false;
  rest.remove_prefix(1);
  SkipSpace(rest);
  std::string value;
  if (absl::StartsWith(rest, "\"")) {
    if (!TakeQuoted(rest, &value)) return false;
  } else {
    value = TakeToken(rest);
  }
  challenge->params.emplace(name, std::move(value));
  text = rest;
  return true;
}

}  // namespace

std::vector<Challenge> ParseChallenges(absl::string_view header) {
  std::vector<Challenge> challenges;
  SkipSeparators(header);
  while (!header.empty()) {
    Challenge challenge;
    challenge.scheme = absl::AsciiStrToLower(TakeToken(header));
    if (challenge.scheme.empty()) break;
    SkipSeparators(header);
    while (TakeParam(header, &challenge)) SkipSeparators(header);
    challenges.push_back(std::move(challenge));
  }
  return challenges;
}

}  // namespace berth
