#include "src/image/pull/merged_path.h"

#include <limits.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/image/layer_lookup.h"
#include "src/image/pull/layer_path.h"

namespace berth {
namespace {

constexpr int kMaxLinks = 40;

// In the order in which they are to be taken off the end.
void PushComponents(absl::string_view path, std::vector<std::string>& ahead) {
  const std::vector<std::string> components = absl::StrSplit(path, '/', absl::SkipEmpty());
  ahead.insert(ahead.end(), components.rbegin(), components.rend());
}

absl::StatusOr<std::string> ReadLink(const LayerEntry& entry, absl::string_view path) {
  char link[PATH_MAX];
  const ssize_t n = ::readlinkat(entry.parent.get(), entry.name.c_str(), link, sizeof(link));
  if (n < 0) return EntryError("readlink", path);
  return std::string(link, static_cast<size_t>(n));
}

}  // namespace

absl::StatusOr<std::string> ResolveInLayers(const std::vector<int>& layers, absl::string_view from,
                                            absl::string_view path) {
  std::vector<std::string> done, ahead;
  PushComponents(path, ahead);
  if (!absl::StartsWith(path, "/")) done = absl::StrSplit(from, '/', absl::SkipEmpty());
  for (int links = 0; !ahead.empty();) {
    const std::string name = std::exchange(ahead.back(), {});
    ahead.pop_back();
    if (name == ".") continue;
    if (name == "..") {
      if (!done.empty()) done.pop_back();
      continue;
    }
    done.push_back(name);
    const std::string here = absl::StrJoin(done, "/");
    ASSIGN_OR_RETURN(const LayerEntry entry, FindInLayers(layers, here));
    const bool is_link = entry.kind == LayerEntry::Kind::kPresent && S_ISLNK(entry.st.st_mode);
    if (!is_link) continue;
    if (++links > kMaxLinks) return RefuseEntry(path, "too many symbolic links");
    ASSIGN_OR_RETURN(const std::string link, ReadLink(entry, here));
    done.pop_back();
    if (absl::StartsWith(link, "/")) done.clear();
    PushComponents(link, ahead);
  }
  return absl::StrJoin(done, "/");
}

}  // namespace berth
