#include "src/cli/quantity.h"

#include <array>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace berth::cli {
namespace {

constexpr std::array kDecimalUnits = {"B", "kB", "MB", "GB", "TB", "PB"};
constexpr std::array kBinaryUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
constexpr absl::string_view kUnitLetters = "bkmgt";

// Three significant digits without trailing zeros: 1.5, 12.3, 999.
std::string ThreeDigits(double value) {
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  std::string text = absl::StrFormat("%.*f", decimals, value);
  if (decimals > 0) {
    while (text.back() == '0') text.pop_back();
    if (text.back() == '.') text.pop_back();
  }
  return text;
}

std::string Format(uint64_t bytes, double step, const std::array<const char*, 6>& units) {
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= step - 0.5 && unit + 1 < units.size()) {
    value /= step;
    ++unit;
  }
  return absl::StrCat(ThreeDigits(value), units[unit]);
}

// simple_atod also takes "inf", "nan" and exponents; amounts are digits with one point at most.
bool ParseDecimal(absl::string_view text, double* value) {
  if (text.empty() || text.find_first_not_of("0123456789.") != absl::string_view::npos)
    return false;
  return absl::SimpleAtod(text, value);
}

}  // namespace

std::string FormatSize(uint64_t bytes) { return Format(bytes, 1000, kDecimalUnits); }
std::string FormatMemory(uint64_t bytes) { return Format(bytes, 1024, kBinaryUnits); }

absl::StatusOr<int64_t> ParseMemory(absl::string_view text) {
  const auto bad = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is not an amount of memory like 64m, 1.5g or 1048576"));
  };
  const std::string lower = absl::AsciiStrToLower(text);
  const size_t digits = lower.find_first_not_of("0123456789.");
  absl::string_view unit;
  if (digits != std::string::npos) unit = absl::string_view(lower).substr(digits);
  double value = 0;
  if (!ParseDecimal(absl::string_view(lower).substr(0, lower.size() - unit.size()), &value))
    return bad();
  if (!unit.empty()) {
    const size_t power = kUnitLetters.find(unit[0]);
    if (power == absl::string_view::npos) return bad();
    const absl::string_view rest = unit.substr(1);
    if (!rest.empty() && (power == 0 || (rest != "b" && rest != "ib" && rest != "i"))) return bad();
    value *= std::pow(1024.0, static_cast<double>(power));
  }
  if (value < 1 || value > 0x1p62) return bad();
  return static_cast<int64_t>(value);
}

absl::StatusOr<int64_t> ParseCpuQuota(absl::string_view text) {
  double cpus = 0;
  if (!ParseDecimal(text, &cpus) || cpus < 0.01 || cpus > 8192) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is not a number of CPUs like 0.5 or 2 (at least 0.01)"));
  }
  return std::llround(cpus * kCpuPeriodMicros);
}

}  // namespace berth::cli
