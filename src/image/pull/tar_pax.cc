// What PAX headers say of the entries after them.
#include <algorithm>
#include <array>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/image/pull/tar.h"
#include "src/image/pull/tar_fields.h"

namespace berth {
namespace {

constexpr int64_t kMaxId = std::numeric_limits<uint32_t>::max() - 1;
constexpr size_t kMaxXattrs = 64, kMaxXattrName = 255, kMaxXattrValue = 64 << 10;
constexpr absl::string_view kXattrPrefix = "SCHILY.xattr.";

absl::Status Malformed(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("tar: ", why));
}

// Both say the same thing in a well-formed archive; the one that is there is the name.
absl::Status MergeNames(const std::optional<std::string>& pax,
                        const std::optional<std::string>& gnu, std::string* name) {
  if (pax.has_value() && gnu.has_value() && *pax != *gnu)
    return Malformed("PAX and GNU names disagree");
  if (gnu.has_value()) *name = *gnu;
  if (pax.has_value()) *name = *pax;
  return absl::OkStatus();
}

}  // namespace

absl::Status TarReader::ApplyPending() {
  RETURN_IF_ERROR(MergeNames(pending_.path, pending_.long_name, &entry_.path));
  RETURN_IF_ERROR(MergeNames(pending_.link, pending_.long_link, &entry_.link));
  // GNU tar gives sparse files a made-up `path`, for readers that do not know better.
  if (pending_.sparse.name().has_value()) entry_.path = *pending_.sparse.name();
  if (pending_.size.has_value()) entry_.size = *pending_.size;
  if (pending_.mtime.has_value()) entry_.mtime = *pending_.mtime;
  ASSIGN_OR_RETURN(entry_.uid, TarNumberInRange(*pending_.uid, kMaxId, "uid"));
  ASSIGN_OR_RETURN(entry_.gid, TarNumberInRange(*pending_.gid, kMaxId, "gid"));
  entry_.xattrs = std::move(pending_.xattrs);
  return absl::OkStatus();
}

// POSIX and GNU tar apply a global header to all entries after it; Go's reader, by which most
// images were ever unpacked, passes over it. An entry to which that makes no difference is fine.
absl::Status TarReader::CheckGlobals(const TarEntry& entry) const {
  if (!globals_.any) return absl::OkStatus();
  struct Claim {
    absl::string_view key;
    bool differs;
  };
  const auto other_time = [&](const timespec& time) {
    return time.tv_sec != entry.mtime.tv_sec || time.tv_nsec != entry.mtime.tv_nsec;
  };
  const std::array claims = {
      Claim{"uid", globals_.uid.has_value() && *globals_.uid != entry.uid},
      Claim{"gid", globals_.gid.has_value() && *globals_.gid != entry.gid},
      Claim{"mtime", globals_.mtime.has_value() && other_time(*globals_.mtime)},
      Claim{"size", globals_.size.has_value() && *globals_.size != entry.size},
      Claim{"path", globals_.path.has_value() && *globals_.path != entry.path},
      Claim{"linkpath", globals_.link.has_value() && *globals_.link != entry.link},
      Claim{"an extended attribute", std::any_of(globals_.xattrs.begin(), globals_.xattrs.end(),
                                                 [&](const auto& xattr) {
                                                   const auto own = entry.xattrs.find(xattr.first);
                                                   return own == entry.xattrs.end() ||
                                                          own->second != xattr.second;
                                                 })},
      Claim{"a sparse map", globals_.sparse.any()},
  };
  for (const Claim& claim : claims) {
    if (!claim.differs) continue;
    return Malformed(absl::StrCat(EscapeForLog(entry.path.substr(0, 256)),
                                  ": a global PAX header says otherwise about ", claim.key));
  }
  return absl::OkStatus();
}

absl::Status TarReader::TakePax(absl::string_view records, bool global) {
  Pending& into = global ? globals_ : pending_;
  // A later global header replaces what an earlier one said.
  if (global) globals_ = Pending();
  if (into.pax) return Malformed("two PAX headers for one entry");
  into.any = into.pax = true;
  return ForEachPaxRecord(records, [&](absl::string_view key, absl::string_view value) {
    return TakePaxRecord(key, value, into);
  });
}

absl::Status TarReader::TakePaxRecord(absl::string_view key, absl::string_view value,
                                      Pending& into) const {
  if (absl::StartsWith(key, "GNU.sparse.")) return into.sparse.Take(key, value);
  absl::string_view xattr = key;
  if (absl::ConsumePrefix(&xattr, kXattrPrefix)) {
    if (xattr.empty() || xattr.size() > kMaxXattrName || value.size() > kMaxXattrValue ||
        into.xattrs.size() >= kMaxXattrs) {
      return absl::ResourceExhaustedError("tar: too many or too long extended attributes");
    }
    if (!into.xattrs.emplace(std::string(xattr), std::string(value)).second) {
      return Malformed("an extended attribute twice");
    }
    return absl::OkStatus();
  }
  if (value.empty()) return absl::OkStatus();  // POSIX: as if it were not there
  const auto set = [key](auto& field, auto new_value) -> absl::Status {
    if (field.has_value()) return Malformed(absl::StrCat("PAX key ", key, " twice"));
    field = std::move(new_value);
    return absl::OkStatus();
  };
  if (key == "path") return set(into.path, std::string(value));
  if (key == "linkpath") return set(into.link, std::string(value));
  if (key == "mtime") {
    ASSIGN_OR_RETURN(const timespec time, PaxTime(key, value));
    return set(into.mtime, time);
  }
  struct NumberKey {
    absl::string_view name;
    std::optional<int64_t>* field;
  };
  for (const NumberKey& known :
       {NumberKey{"size", &into.size}, NumberKey{"uid", &into.uid}, NumberKey{"gid", &into.gid}}) {
    if (key != known.name) continue;
    ASSIGN_OR_RETURN(const int64_t number, PaxNumber(key, value));
    return set(*known.field, number);
  }
  return absl::OkStatus();  // names of users, access times, comments
}

}  // namespace berth
