#include "src/cli/local_copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "src/base/status_macros.h"

namespace berth::cli {
namespace {

namespace fs = std::filesystem;

// A local path keeps its links and ".." as they are: they are this machine's.
struct Typed {
  bool contents_only = false, named_as_directory = false;
};
Typed Read(const std::string& path) {
  const CopyPath parsed = ParseCopyPath(path);
  return {.contents_only = parsed.contents_only, .named_as_directory = parsed.named_as_directory};
}

// The last component; for "..", and for what ends in a slash, that of the directory itself.
absl::StatusOr<std::string> NameOf(const std::string& path) {
  const fs::path name = fs::path(path).filename();
  if (!name.empty() && name != "." && name != "..") return name.string();
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  if (error) return ErrnoStatus("open", path, error.value());
  return real.filename().string();
}

UniqueFd OpenPath(const std::string& path, int flags) {
  return UniqueFd(::open(path.c_str(), O_PATH | O_CLOEXEC | flags));
}

absl::StatusOr<CopyDestination> Look(const std::string& path, std::string* real) {
  CopyDestination destination{.named_as_directory = Read(path).named_as_directory};
  struct stat st;
  std::error_code error;
  *real = path;
  if (::stat(path.c_str(), &st) == 0) {
    using Kind = CopyDestination::Kind;
    destination.kind = S_ISDIR(st.st_mode) ? Kind::kDirectory : Kind::kFile;
    *real = fs::canonical(path, error).string();  // a link is followed to what it names
    if (error) return ErrnoStatus("open", path, error.value());
  } else if (errno == ENOTDIR) {  // "FILE/"
    return absl::FailedPreconditionError(ErrnoStatus("open", path, ENOTDIR).message());
  } else if (errno != ENOENT) {
    return ErrnoStatus("open", path);
  }
  while (real->size() > 1 && real->back() == '/') real->pop_back();
  destination.name = fs::path(*real).filename().string();
  return destination;
}

}  // namespace

absl::StatusOr<LocalSource> OpenLocalSource(const std::string& path, bool follow_link) {
  const Typed typed = Read(path);
  const bool follow = follow_link || typed.named_as_directory;
  LocalSource source{.node = OpenPath(path, follow ? 0 : O_NOFOLLOW)};
  struct stat st;
  if (!source.node.valid() || ::fstat(source.node.get(), &st) != 0)
    return ErrnoStatus("open", path);
  source.source.directory = S_ISDIR(st.st_mode);
  source.source.contents_only = typed.contents_only;
  ASSIGN_OR_RETURN(source.source.name, NameOf(path));
  if (source.source.name.empty()) source.source.contents_only = true;  // the root
  return source;
}

absl::StatusOr<LocalDestination> OpenLocalDestination(const std::string& path,
                                                      const CopySource& source, bool keep_owner) {
  std::string real;
  ASSIGN_OR_RETURN(const CopyDestination found, Look(path, &real));
  const auto plan = PlanCopy(source, found);
  if (!plan.ok()) return Annotate(plan.status(), path);
  LocalDestination destination;
  const std::string base = plan->below_destination ? real : SplitPath(real).parent;
  destination.base = OpenPath(base, O_DIRECTORY);
  if (!destination.base.valid()) return ErrnoStatus("open", base);
  destination.options.strip = plan->strip;
  destination.options.prefix = plan->prefix;
  destination.options.set_ids = keep_owner;
  if (!keep_owner)
    destination.options.owner = ExtractOptions::Owner{.uid = ::geteuid(), .gid = ::getegid()};
  return destination;
}

}  // namespace berth::cli
