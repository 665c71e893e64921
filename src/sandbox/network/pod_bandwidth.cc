#include "src/sandbox/network/pod_bandwidth.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

constexpr double kLeast = 1e3, kMost = 1e15;

struct Suffix {
  const char* text;
  double factor;
};
constexpr Suffix kSuffixes[] = {
    {"", 1},
    {"m", 1e-3},
    {"k", 1e3},
    {"M", 1e6},
    {"G", 1e9},
    {"T", 1e12},
    {"P", 1e15},
    {"E", 1e18},
    {"Ki", 1024.0},
    {"Mi", 1048576.0},
    {"Gi", 1073741824.0},
    {"Ti", 1099511627776.0},
    {"Pi", 1125899906842624.0},
};

// A plain decimal number, without sign and exponent.
bool ParseDecimal(absl::string_view text, double* value) {
  for (const char c : text) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c)) && c != '.') return false;
  }
  return text.size() <= 32 && absl::SimpleAtod(text, value);
}

absl::StatusOr<uint64_t> ParseRate(const std::map<std::string, std::string>& annotations,
                                   const char* name) {
  const auto found = annotations.find(name);
  if (found == annotations.end()) return 0;
  const absl::string_view text = found->second;
  const auto invalid = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(
        "annotation ", name, " = \"", absl::CHexEscape(text.substr(0, 64)), "\": ", why));
  };
  const size_t end = text.find_first_not_of("0123456789.");
  const absl::string_view suffix =
      end == absl::string_view::npos ? absl::string_view() : text.substr(end);
  for (const Suffix& each : kSuffixes) {
    if (suffix != each.text) continue;
    double number = 0;
    if (!ParseDecimal(text.substr(0, end), &number)) return invalid("not a quantity");
    number *= each.factor;
    if (number < kLeast || number > kMost) return invalid("not between 1k and 1P bits a second");
    return static_cast<uint64_t>(number);
  }
  return invalid("not a quantity");
}

}  // namespace

absl::StatusOr<PodBandwidth> ParsePodBandwidth(
    const std::map<std::string, std::string>& annotations) {
  PodBandwidth bandwidth;
  ASSIGN_OR_RETURN(bandwidth.ingress_bits,
                   ParseRate(annotations, "kubernetes.io/ingress-bandwidth"));
  ASSIGN_OR_RETURN(bandwidth.egress_bits, ParseRate(annotations, "kubernetes.io/egress-bandwidth"));
  return bandwidth;
}

}  // namespace berth
