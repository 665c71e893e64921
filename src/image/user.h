// Who a container's first process is, from the image's own passwd and group files. Pure parsing
// plus a bounded read through the layer directories: no mount, no NSS.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth {

struct UserRequest {
  std::string image_user;  // Config.User: "", "name", "uid", "name:group", "uid:gid"
  std::optional<int64_t> run_as_user, run_as_group;
  std::string run_as_username;  // ignored when run_as_user is set
  std::vector<int64_t> supplemental_groups;
  bool strict_groups =
      false;  // SupplementalGroupsPolicy Strict: the image's group file adds nothing
};

struct ResolvedUser {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // sorted, unique, the primary gid included
  std::string home = "/";     // from the passwd row, for HOME
};

// What an image says of users: the contents of these files, "" where it has none.
struct UserFiles {
  std::string passwd, group;
};

// `passwd` and `group` are the contents ("" where the image has none). An all-digits string is
// never a name; ids outside 0..2^32-2 are InvalidArgument; an unknown name is NotFound naming it; a
// group without a user is InvalidArgument.
absl::StatusOr<ResolvedUser> ResolveUser(const UserRequest& request, absl::string_view passwd,
                                         absl::string_view group);

// The content of a regular file as an overlay of `layers` (lowest first, relative to `data_dir_fd`)
// shows it: whiteouts and opaque directories honoured, symbolic links not followed (then it counts
// as absent), at most 1 MiB (ResourceExhausted). "" if absent.
absl::StatusOr<std::string> ReadImageFile(int data_dir_fd, const std::vector<std::string>& layers,
                                          absl::string_view path);

// Whether such an overlay has a directory at the relative `path`, reached without symbolic links.
absl::StatusOr<bool> ImageHasDirectory(int data_dir_fd, const std::vector<std::string>& layers,
                                       absl::string_view path);

}  // namespace berth
