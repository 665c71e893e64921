#include "src/image/user.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

constexpr int64_t kMaxId =
    std::numeric_limits<uint32_t>::max() - 1;  // 2^32-1 means "no id" (chown(2))

bool AllDigits(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

absl::Status BadId(absl::string_view what, absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat("resolve ", what, " \"",
                                                 EscapeForLog(text.substr(0, 64)),
                                                 "\": not an id from 0 to ", kMaxId));
}

absl::StatusOr<uint32_t> CheckId(absl::string_view what, int64_t id) {
  if (id < 0 || id > kMaxId) return BadId(what, absl::StrCat(id));
  return static_cast<uint32_t>(id);
}

absl::StatusOr<uint32_t> ParseId(absl::string_view what, absl::string_view text) {
  if (!AllDigits(text)) return BadId(what, text);
  int64_t id = 0;
  for (const char c : text) {
    id = id * 10 + (c - '0');
    if (id > kMaxId) return BadId(what, text);
  }
  return static_cast<uint32_t>(id);
}

// The first row of a colon-separated file that `matches` accepts, split; empty if there is none.
template <typename Predicate>
std::vector<absl::string_view> FindRow(absl::string_view file, size_t min_fields,
                                       Predicate matches) {
  for (absl::string_view line : absl::StrSplit(file, '\n')) {
    std::vector<absl::string_view> row = absl::StrSplit(line, ':');
    if (row.size() >= min_fields && matches(row)) return row;
  }
  return {};
}

// passwd(5): name:password:uid:gid:gecos:home:shell. group(5): name:password:gid:members.
constexpr size_t kPasswdFields = 6, kGroupFields = 3;

std::vector<absl::string_view> PasswdRowOfUid(absl::string_view passwd, uid_t uid) {
  return FindRow(passwd, kPasswdFields, [uid](const auto& row) {
    const auto id = ParseId("uid", row[2]);
    return id.ok() && *id == uid;
  });
}

std::vector<absl::string_view> RowOfName(absl::string_view file, size_t fields,
                                         absl::string_view name) {
  return FindRow(file, fields, [name](const auto& row) { return row[0] == name; });
}

bool IsUsableHome(absl::string_view home) {
  return !home.empty() && home[0] == '/' && std::none_of(home.begin(), home.end(), [](char c) {
    return absl::ascii_iscntrl(static_cast<unsigned char>(c));
  });
}

struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;  // "" if the uid has no row
  std::string home = "/";
};

absl::StatusOr<Account> AccountOfRow(const std::vector<absl::string_view>& row) {
  Account account;
  ASSIGN_OR_RETURN(account.uid, ParseId("uid of the image's passwd row", row[2]));
  ASSIGN_OR_RETURN(account.gid, ParseId("gid of the image's passwd row", row[3]));
  account.name = std::string(row[0]);
  if (IsUsableHome(row[5])) account.home = std::string(row[5]);
  return account;
}

absl::StatusOr<Account> FindUid(uid_t uid, absl::string_view passwd) {
  const auto row = PasswdRowOfUid(passwd, uid);
  if (!row.empty()) return AccountOfRow(row);
  Account account;
  account.uid = uid;
  return account;
}

absl::StatusOr<Account> FindUser(absl::string_view user, absl::string_view passwd) {
  if (AllDigits(user)) {
    ASSIGN_OR_RETURN(const uid_t uid, ParseId("user", user));
    return FindUid(uid, passwd);
  }
  const auto row = RowOfName(passwd, kPasswdFields, user);
  if (row.empty()) {
    return absl::NotFoundError(absl::StrCat("resolve user \"", EscapeForLog(user.substr(0, 64)),
                                            "\": the image's /etc/passwd has no such name"));
  }
  return AccountOfRow(row);
}

absl::StatusOr<gid_t> FindGroup(absl::string_view name, absl::string_view group) {
  if (AllDigits(name)) return ParseId("group", name);
  const auto row = RowOfName(group, kGroupFields, name);
  if (row.empty()) {
    return absl::NotFoundError(absl::StrCat("resolve group \"", EscapeForLog(name.substr(0, 64)),
                                            "\": the image's /etc/group has no such name"));
  }
  return ParseId("gid of the image's group row", row[2]);
}

// The groups whose member list names `user`. Rows with a malformed gid grant nothing.
void AddMemberships(absl::string_view user, absl::string_view group, std::vector<gid_t>& groups) {
  if (user.empty()) return;
  for (absl::string_view line : absl::StrSplit(group, '\n')) {
    const std::vector<absl::string_view> row = absl::StrSplit(line, ':');
    if (row.size() < kGroupFields + 1) continue;
    const auto gid = ParseId("gid", row[2]);
    if (!gid.ok()) continue;
    const std::vector<absl::string_view> members = absl::StrSplit(row[3], ',');
    if (std::find(members.begin(), members.end(), user) != members.end()) groups.push_back(*gid);
  }
}

// The account that is asked for, its gid already replaced by an explicit group.
absl::StatusOr<Account> FindAccount(const UserRequest& request, absl::string_view passwd,
                                    absl::string_view group) {
  Account account;
  if (request.run_as_user.has_value()) {
    ASSIGN_OR_RETURN(const uid_t uid, CheckId("run_as_user", *request.run_as_user));
    ASSIGN_OR_RETURN(account, FindUid(uid, passwd));
  } else if (!request.run_as_username.empty()) {
    ASSIGN_OR_RETURN(account, FindUser(request.run_as_username, passwd));
  } else {
    if (request.run_as_group.has_value()) {
      return absl::InvalidArgumentError(
          "resolve run_as_group: a group needs run_as_user or run_as_username");
    }
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(request.image_user, absl::MaxSplits(':', 1));
    if (parts.first.empty() && !parts.second.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "resolve user \"", EscapeForLog(request.image_user), "\": a group without a user"));
    }
    ASSIGN_OR_RETURN(account,
                     parts.first.empty() ? FindUid(0, passwd) : FindUser(parts.first, passwd));
    if (!parts.second.empty()) {
      ASSIGN_OR_RETURN(account.gid, FindGroup(parts.second, group));
    }
  }
  if (request.run_as_group.has_value()) {
    ASSIGN_OR_RETURN(account.gid, CheckId("run_as_group", *request.run_as_group));
  }
  return account;
}

}  // namespace

absl::StatusOr<ResolvedUser> ResolveUser(const UserRequest& request, absl::string_view passwd,
                                         absl::string_view group) {
  ASSIGN_OR_RETURN(Account account, FindAccount(request, passwd, group));
  std::vector<gid_t> groups = {account.gid};
  for (const int64_t id : request.supplemental_groups) {
    ASSIGN_OR_RETURN(const gid_t gid, CheckId("supplemental group", id));
    groups.push_back(gid);
  }
  if (!request.strict_groups) AddMemberships(account.name, group, groups);
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  return ResolvedUser{.uid = account.uid,
                      .gid = account.gid,
                      .groups = std::move(groups),
                      .home = std::move(account.home)};
}

}  // namespace berth
