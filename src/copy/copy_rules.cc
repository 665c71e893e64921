#include "src/copy/copy_rules.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace berth {

namespace {

bool IsOneName(absl::string_view name) {
  return name != "." && name != ".." && !absl::StrContains(name, "/");
}

}  // namespace

absl::StatusOr<CopyPlan> PlanCopy(const CopySource& source, const CopyDestination& destination) {
  if (!IsOneName(source.name) || !IsOneName(destination.name))
    return absl::InvalidArgumentError("a name with directories in it");
  const bool contents_only = source.contents_only || source.name.empty();
  const size_t strip = contents_only ? 0 : 1;
  switch (destination.kind) {
    case CopyDestination::Kind::kDirectory:
      return CopyPlan{
          .below_destination = true, .strip = strip, .prefix = contents_only ? "" : source.name};
    case CopyDestination::Kind::kMissing:
      if (!source.directory && destination.named_as_directory)
        return absl::NotFoundError("the destination directory does not exist");
      return CopyPlan{.strip = strip, .prefix = destination.name};
    case CopyDestination::Kind::kFile:
      if (source.directory)
        return absl::FailedPreconditionError("a directory cannot be copied over a file");
      if (destination.named_as_directory)
        return absl::FailedPreconditionError("the destination is not a directory");
      return CopyPlan{.strip = strip, .prefix = destination.name};
  }
  return absl::InternalError("copy: unknown kind of destination");
}

CopyPath ParseCopyPath(absl::string_view typed) {
  CopyPath path;
  path.contents_only = typed == "." || absl::EndsWith(typed, "/.");
  path.named_as_directory = path.contents_only || absl::EndsWith(typed, "/");
  std::vector<absl::string_view> components;
  for (const absl::string_view component : absl::StrSplit(typed, '/')) {
    if (component.empty() || component == ".") continue;
    if (component != "..") {
      components.push_back(component);
    } else if (!components.empty()) {
      components.pop_back();
    }
  }
  path.path = absl::StrCat("/", absl::StrJoin(components, "/"));
  return path;
}

ParentAndName SplitPath(absl::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return {.parent = ".", .name = std::string(path)};
  return {.parent = slash == 0 ? "/" : std::string(path.substr(0, slash)),
          .name = std::string(path.substr(slash + 1))};
}

}  // namespace berth
