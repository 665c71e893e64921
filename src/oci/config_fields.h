// Every field of config.json (OCI runtime specification 1.2, and what 1.2.1 and 1.3 added), and
// what becomes of it: the parser refuses by this table what it does not honour, and
// docs/oci-coverage.tsv is this table as text.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "nlohmann/json.hpp"

namespace berth::oci {

enum class Handling {
  kInside,    // an object (or a list of them): its members have rows of their own
  kHonoured,  // with all that is in it
  kRefused,   // unless it is empty
};

struct ConfigField {
  const char* path;  // "linux.devices[].major"
  Handling handling;
  const char* how;  // for people
};

absl::Span<const ConfigField> ConfigFields();

// Unimplemented names the first refused field below `document`, which stands at `path` of a
// config.json ("" for all of it). `unknown` gets the fields that the specification does not have:
// those must be passed over (config.md, "Extensibility").
absl::Status CheckFields(const nlohmann::json& document, const std::string& path,
                         std::vector<std::string>* unknown);

}  // namespace berth::oci
