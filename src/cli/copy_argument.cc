#include "src/cli/copy_argument.h"

namespace berth::cli {

CopyArgument ParseCopyArgument(absl::string_view text) {
  if (text == "-") return {.kind = CopyArgument::Kind::kStream};
  const size_t colon = text.find(':');
  const bool local = text.empty() || text[0] == '/' || text[0] == '.' ||
                     colon == absl::string_view::npos || colon == 0;
  if (local) return {.path = std::string(text)};
  return {.kind = CopyArgument::Kind::kContainer,
          .container = std::string(text.substr(0, colon)),
          .path = std::string(text.substr(colon + 1))};
}

}  // namespace berth::cli
