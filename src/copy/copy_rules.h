// What a copy means, given what there is at both ends: the rules of docker cp. Pure; both ends of
// `berth cp` use it.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth {

struct CopySource {
  bool directory = false;
  bool contents_only = false;  // "DIR/.": what is in the directory, not the directory
  std::string name;            // last component; "" for a root
};

struct CopyDestination {
  enum class Kind { kMissing, kFile, kDirectory };
  Kind kind = Kind::kMissing;
  bool named_as_directory = false;  // "PATH/" or "PATH/."
  std::string name;                 // last component
};

struct CopyPlan {
  bool below_destination = false;  // else below the directory that holds it
  size_t strip = 0;                // leading components of each name in the archive
  std::string prefix;              // what takes their place; "" for nothing
};

// FailedPrecondition and NotFound say which rule is broken.
absl::StatusOr<CopyPlan> PlanCopy(const CopySource& source, const CopyDestination& destination);

// A path of a container as it was typed, in its parts.
struct CopyPath {
  std::string path;                 // absolute, without "//", "." and ".."; ".." ends at the root
  bool contents_only = false;       // ended in "/."
  bool named_as_directory = false;  // ended in "/" or "/."
};
CopyPath ParseCopyPath(absl::string_view typed);

// "/a/b" -> {"/a", "b"}; the root has the name "".
struct ParentAndName {
  std::string parent, name;
};
ParentAndName SplitPath(absl::string_view path);

}  // namespace berth
