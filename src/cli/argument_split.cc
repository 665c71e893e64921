#include "src/cli/argument_split.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace berth::cli {
namespace {

// "-dit": the first letter with a value takes the rest of the word; only if it is the last one, the
// next word.
bool ClusterTakesNext(absl::string_view letters, const TakesValue& takes_value) {
  for (size_t i = 0; i < letters.size(); ++i) {
    if (takes_value(absl::StrCat("-", letters.substr(i, 1)))) return i + 1 == letters.size();
  }
  return false;
}

bool TakesNext(absl::string_view option, const TakesValue& takes_value) {
  if (!absl::StartsWith(option, "--")) return ClusterTakesNext(option.substr(1), takes_value);
  return !absl::StrContains(option, "=") && takes_value(option);
}

}  // namespace

size_t FindPositional(const std::vector<std::string>& arguments, size_t from,
                      const TakesValue& takes_value) {
  for (size_t i = from; i < arguments.size(); ++i) {
    const absl::string_view word = arguments[i];
    if (word == "--") return i + 1 < arguments.size() ? i + 1 : arguments.size();
    if (word.size() < 2 || word[0] != '-') return i;
    if (TakesNext(word, takes_value)) ++i;
  }
  return arguments.size();
}

}  // namespace berth::cli
