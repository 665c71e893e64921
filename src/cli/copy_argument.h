// One side of `berth cp`, as it is typed. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace berth::cli {

struct CopyArgument {
  enum class Kind { kLocal, kContainer, kStream };
  Kind kind = Kind::kLocal;
  std::string container;  // kContainer
  std::string path;       // not of kStream
};

// "-" is a stream, "NAME:PATH" a container's, all else local; what begins with "/" or "." is local
// whatever it holds.
CopyArgument ParseCopyArgument(absl::string_view text);

}  // namespace berth::cli
