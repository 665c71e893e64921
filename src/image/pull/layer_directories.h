// The directories of a layer that is being unpacked, from its root down to the one that entries are
// put into now: archives go through a tree in order, so most entries find theirs open. A
// directory's time is set when it is left, and again whenever it was changed once more. One owner
// thread.
#pragma once

#include <ctime>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "src/base/unique_fd.h"
#include "src/image/pull/layer_tree.h"

namespace berth {

struct LayerDirectory {
  std::string name, path;
  UniqueFd fd;                    // may be closed while it is not the last one
  std::optional<timespec> mtime;  // to be set when it is left
  bool changed = false;
  bool plain = false;  // new entries inherit neither group nor mode: 0, no set-group-id
  std::optional<TreeEntry> record;  // not yet in the tree
};

class LayerDirectories {
 public:
  // Makes a directory that entries need and nobody has made.
  using MakeMissing =
      absl::FunctionRef<absl::Status(int parent, const std::string& name, const std::string& path)>;

  // `root` is borrowed; `tree`, borrowed, may be null.
  LayerDirectories(int root, LayerTreeWriter* tree) : root_(root), tree_(tree) {}

  // Takes from the root what new entries would inherit: set-group-id, default ACLs.
  absl::Status Prepare();

  // The directory of these components, open, to be changed. Symbolic links are followed with the
  // layer as their root, whether what they lead to is there already or has to be made. Valid until
  // the next call. InvalidArgument for a loop of links.
  absl::StatusOr<LayerDirectory*> Enter(absl::Span<const absl::string_view> components,
                                        MakeMissing make);
  // Goes into a directory that was just made in the last one entered.
  void Add(LayerDirectory made);
  // The open directory of this path if it is on the way to the last one, else null.
  absl::StatusOr<LayerDirectory*> Find(absl::string_view path);

  LayerDirectory& root() { return stack_.front(); }
  // Sets what times are left, and writes what records are left.
  absl::Status Finish();

  // True: something changed after its record was written. The tree that was written is then not
  // that of the layer.
  bool irregular() const { return irregular_; }
  void SetIrregular() { irregular_ = true; }

 private:
  absl::Status Open(size_t index);
  absl::Status Leave(size_t keep);
  void Push(LayerDirectory directory);
  // Into the last directory's entry `name`; a symbolic link comes back as its text.
  absl::StatusOr<std::optional<std::string>> Descend(absl::string_view name, MakeMissing make);

  const int root_;
  LayerTreeWriter* const tree_;
  std::vector<LayerDirectory> stack_;
  bool irregular_ = false;
};

}  // namespace berth
