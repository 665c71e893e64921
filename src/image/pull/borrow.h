// The copy that a hard link to a file of a lower layer becomes: an empty, marked file while the
// layer is unpacked (Unpacker), the copy once the layers below are there (Adopt).
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/image/layer_lookup.h"

namespace berth {

struct BorrowedName {
  int parent = -1;  // directory, borrowed
  std::string name;
};

// Whether the name is that of a file which waits for its content.
bool IsBorrowed(const BorrowedName& borrowed);

// Copies what `below` is: content with its holes, owner, mode, times, extended attributes. `path`
// is for messages. InvalidArgument for what is neither file nor symbolic link, and for a symbolic
// link that was given a second name.
absl::Status FillBorrowed(const BorrowedName& borrowed, const LayerEntry& below,
                          const std::string& path);

// Copies all extended attributes that a layer may have, overlayfs's own not.
absl::Status CopyXattrs(int from, int to, absl::string_view path);

}  // namespace berth
