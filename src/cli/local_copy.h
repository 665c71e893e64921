// This machine's side of `berth cp`: what a local path means, by the rules that the container's
// side follows, too.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"
#include "src/copy/copy_rules.h"
#include "src/copy/tree_extractor.h"

namespace berth::cli {

struct LocalSource {
  UniqueFd node;  // O_PATH
  CopySource source;

  // Of the top entry of its archive.
  std::string ArchiveName() const { return source.contents_only ? "." : source.name; }
};
// NotFound and the like name the path.
absl::StatusOr<LocalSource> OpenLocalSource(const std::string& path, bool follow_link);

struct LocalDestination {
  UniqueFd base;
  ExtractOptions options;
};
// Whose the files become: this user's, or with `keep_owner` those of the archive.
absl::StatusOr<LocalDestination> OpenLocalDestination(const std::string& path,
                                                      const CopySource& source, bool keep_owner);

}  // namespace berth::cli
