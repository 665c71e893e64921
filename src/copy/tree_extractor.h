// Puts the entries of a tar archive below a directory that somebody hostile may be changing at the
// same time, and the archive may be hostile, too. Every name is opened below that directory, by
// descriptor; last components are never followed; files are always new ones. One owner thread.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"
#include "src/image/pull/tar.h"

namespace berth {

struct ExtractOptions {
  size_t strip = 0;           // leading components of each name (CopyPlan)
  std::string prefix;         // one component that takes their place; "" for none
  bool base_is_root = false;  // absolute links mean the base; else they lead out of it
  // Whose the files become; absent: whose they are in the archive.
  struct Owner {
    uid_t uid = 0;
    gid_t gid = 0;
  };
  std::optional<Owner> owner;
  bool set_ids = false;  // keep set-id bits and file capabilities
  int64_t max_entries = 4'000'000;
  int64_t max_bytes = int64_t{1} << 40;  // of files, with their holes
};

struct ExtractResult {
  int64_t entries = 0;
  int64_t bytes = 0;
  int64_t skipped_devices = 0;  // device nodes are never made
  std::string first_skipped;
};

class TreeExtractor : public TarSink {
 public:
  // `base` is a directory, borrowed. The process's umask must be 0.
  TreeExtractor(int base, ExtractOptions options) : base_(base), options_(std::move(options)) {}

  // InvalidArgument: names that lead out; FailedPrecondition: something in the way, or read-only;
  // ResourceExhausted: a limit.
  absl::Status Begin(const TarEntry& entry) override;
  absl::Status Data(absl::string_view bytes) override;
  absl::Status Hole(int64_t bytes) override;
  absl::Status End() override;

  // After the last entry: sets what only then can stay, the directories' modes and times.
  absl::StatusOr<ExtractResult> Finish();

 private:
  struct Place {
    int parent = -1;  // borrowed
    std::string name, path;
  };
  struct Directory {
    std::string path;
    mode_t mode;
    timespec mtime;
  };

  absl::StatusOr<std::vector<std::string>> NameOf(absl::string_view path) const;
  absl::StatusOr<int> OpenParent(const std::string& path);
  absl::StatusOr<UniqueFd> OpenBelow(const std::string& path) const;
  absl::Status MakeParents(const std::vector<std::string>& components);
  absl::StatusOr<Place> PlaceOf(const std::vector<std::string>& components);
  absl::Status BeginAt(const TarEntry& entry, const Place& place);
  absl::Status BeginFile(const TarEntry& entry, const Place& place);
  absl::Status MakeDirectory(const TarEntry& entry, const Place& place);
  absl::Status MakeNode(const TarEntry& entry, const Place& place);
  absl::Status MakeHardLink(const TarEntry& entry, const Place& place);
  absl::Status RemoveOld(const Place& place) const;
  absl::Status SetFile();
  mode_t ModeOf(const TarEntry& entry) const;

  const int base_;
  const ExtractOptions options_;
  ExtractResult result_;
  UniqueFd parent_;  // of the last entry
  std::string parent_path_;
  std::vector<Directory> directories_;

  UniqueFd file_;  // that Data writes
  TarEntry file_entry_;
  std::string file_path_;
  bool in_place_ = false;  // somebody's mount: only its content is ours to change
  bool ends_in_hole_ = false;
  int64_t file_at_ = 0;
};

}  // namespace berth
