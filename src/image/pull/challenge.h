// WWW-Authenticate (RFC 9110 §11.6.1): which ways of proving who we are a registry offers. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace berth {

struct Challenge {
  std::string scheme;                         // lower case: "bearer", "basic"
  std::map<std::string, std::string> params;  // names in lower case
};

// All challenges of one header value; what is malformed ends the list.
std::vector<Challenge> ParseChallenges(absl::string_view header);

}  // namespace berth
