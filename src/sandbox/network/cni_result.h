// What CNI plugins answer: the result of ADD in the form of each version, errors, and the versions
// that a plugin knows. Pure; foreign bytes, so bounded and checked.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace berth {

inline constexpr size_t kMaxCniOutput = 1 << 20;

struct CniResult {
  nlohmann::json document;             // for prevResult
  std::vector<std::string> addresses;  // of the pod's interface, in the plugin's order, each once
};

// The answer of ADD. DataLoss: no result, or one that contradicts itself.
absl::StatusOr<CniResult> ParseCniResult(absl::string_view output, absl::string_view interface);
absl::StatusOr<CniResult> CniResultOf(nlohmann::json document, absl::string_view interface);

enum class AddressPreference { kIpv4, kIpv6, kAsGiven };
// The preferred family first, otherwise in their order.
std::vector<std::string> OrderAddresses(std::vector<std::string> addresses,
                                        AddressPreference preference);

// The error that a plugin which ended with `exit_code` tells: its message and details, bounded. A
// plugin that told none is quoted by its standard error. Unavailable for "try again later" (11) and
// for STATUS's 50 and 51, NotFound for an unknown container (3), otherwise Unknown.
absl::Status CniErrorOf(absl::string_view plugin, int exit_code, absl::string_view output,
                        absl::string_view error_output);

// The answer of VERSION.
absl::StatusOr<std::vector<std::string>> ParseCniVersions(absl::string_view output);

}  // namespace berth
