// Verbose replies as one JSON document: the "info" values that are JSON themselves are nested.
// Pure.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace google::protobuf {
class Message;
}

namespace berth::cli {

using InfoMap = std::map<std::string, std::string>;

// The info map alone, indented, without a final newline.
std::string InfoJson(const InfoMap& info);

// {"status": ..., "info": ...}, indented, without a final newline.
absl::StatusOr<std::string> VerboseJson(const google::protobuf::Message& status,
                                        const InfoMap& info);

}  // namespace berth::cli
