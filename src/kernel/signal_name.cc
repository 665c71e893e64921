#include "src/kernel/signal_name.h"

#include <signal.h>
#include <string.h>

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace berth {
namespace {

struct SignalAlias {
  absl::string_view name;
  int number;
};
// Second names, which sigabbrev_np(3) does not tell.
constexpr SignalAlias kAliases[] = {
    {"CLD", SIGCHLD}, {"IOT", SIGABRT}, {"IO", SIGIO}, {"POLL", SIGPOLL}};

std::optional<int> RealTimeSignal(absl::string_view name) {
  if (name == "RTMIN") return SIGRTMIN;
  if (name == "RTMAX") return SIGRTMAX;
  int offset = 0;
  if (name.size() < 7 || !absl::ascii_isdigit(name[6]) ||
      !absl::SimpleAtoi(name.substr(6), &offset))
    return std::nullopt;
  if (offset > SIGRTMAX - SIGRTMIN) return std::nullopt;
  if (absl::StartsWith(name, "RTMIN+")) return SIGRTMIN + offset;
  if (absl::StartsWith(name, "RTMAX-")) return SIGRTMAX - offset;
  return std::nullopt;
}

// "SIGTERM" or "TERM".
std::optional<int> SignalByName(absl::string_view text) {
  const absl::string_view name = absl::StripPrefix(text, "SIG");
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* known = sigabbrev_np(signal);
    if (known != nullptr && name == known) return signal;
  }
  for (const SignalAlias& alias : kAliases) {
    if (name == alias.name) return alias.number;
  }
  return RealTimeSignal(name);
}

}  // namespace

absl::StatusOr<int> ParseSignal(absl::string_view text) {
  int number = 0;
  if (absl::SimpleAtoi(text, &number)) {
    if (number > 0 && number < NSIG) return number;
  } else if (const std::optional<int> signal = SignalByName(absl::AsciiStrToUpper(text))) {
    return *signal;
  }
  return absl::InvalidArgumentError(absl::StrCat("signal \"", text, "\" does not exist"));
}

}  // namespace berth
