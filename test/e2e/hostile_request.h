// Requests that differ from a good one in one field, made from the protobuf descriptor: every field
// that can be reached gets every value of its type that no client should send.
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <string>
#include <vector>

namespace berth::e2e {

enum class Hostility {
  kLong,       // 1 MiB of text
  kTraversal,  // leads out of a directory, or is a path where a name belongs
  kControl,    // NUL, bell, escape, end of line
  kNotUtf8,    // which a protobuf parser refuses
  kNumber,     // extreme, negative
  kEnum,       // outside of the enum
  kMany,       // thousands of elements
  kMissing,    // the sub-message is not there, or is empty
  kOther,      // a flag turned, bytes that are no text
};

struct HostileRequest {
  std::string path;  // "config.linux.cgroup_parent"
  // "LinuxPodSandboxConfig.cgroup_parent", as in coverage.tsv, behind those that it is in.
  std::vector<std::string> fields;
  std::string what;  // "a NUL byte"
  Hostility hostility = Hostility::kOther;
  std::string bytes;  // on the wire
};

// One at a time: some have megabytes.
void ForEachHostileRequest(const google::protobuf::Message& good,
                           const std::function<void(const HostileRequest&)>& visit);

}  // namespace berth::e2e
