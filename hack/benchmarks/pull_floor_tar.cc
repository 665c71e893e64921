#include "hack/benchmarks/pull_floor_tar.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

constexpr size_t kBlock = 512;

template <size_t kSize>
std::string Text(const char (&field)[kSize]) {
  return std::string(field, ::strnlen(field, kSize));
}

template <size_t kSize>
int64_t Octal(const char (&field)[kSize]) {
  return std::strtoll(Text(field).c_str(), nullptr, 8);
}

}  // namespace

struct FloorTar::Header {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100],
      magic[8], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};

absl::Status FloorTar::Feed(absl::string_view bytes) {
  static_assert(sizeof(Header) == kBlock);
  while (!bytes.empty()) {
    if (content_ > 0) {
      const size_t n = std::min(bytes.size(), static_cast<size_t>(content_));
      if (reading_ != 0) {
        records_.append(bytes.data(), n);
      } else if (::write(file_.get(), bytes.data(), n) != static_cast<ssize_t>(n)) {
        return ErrnoStatus("write", "a file of the floor");
      }
      bytes.remove_prefix(n);
      content_ -= static_cast<int64_t>(n);
      if (content_ == 0) RETURN_IF_ERROR(EndContent());
      continue;
    }
    if (padding_ > 0) {
      const size_t n = std::min(bytes.size(), static_cast<size_t>(padding_));
      bytes.remove_prefix(n);
      padding_ -= static_cast<int64_t>(n);
      continue;
    }
    const size_t n = std::min(bytes.size(), kBlock - header_.size());
    header_.append(bytes.data(), n);
    bytes.remove_prefix(n);
    if (header_.size() < kBlock) continue;
    const std::string whole = std::exchange(header_, "");
    if (whole[0] != '\0') RETURN_IF_ERROR(Take(*reinterpret_cast<const Header*>(whole.data())));
  }
  return absl::OkStatus();
}

absl::Status FloorTar::Take(const Header& header) {
  const bool meta = header.type == 'x' || header.type == 'L' || header.type == 'K';
  const bool file = header.type == '0' || header.type == '\0';
  content_ = meta || file ? Octal(header.size) : 0;
  padding_ = (static_cast<int64_t>(kBlock) - content_ % static_cast<int64_t>(kBlock)) %
             static_cast<int64_t>(kBlock);
  reading_ = meta ? header.type : 0;
  if (meta) {
    records_.clear();
    return absl::OkStatus();
  }
  std::string path = path_.empty() ? Text(header.name) : std::exchange(path_, "");
  const std::string link = link_.empty() ? Text(header.link) : std::exchange(link_, "");
  if (header.prefix[0] != '\0') path = absl::StrCat(Text(header.prefix), "/", path);
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  RETURN_IF_ERROR(Make(header, path, link));
  return file && content_ == 0 ? EndContent() : absl::OkStatus();
}

absl::Status FloorTar::Make(const Header& header, const std::string& path,
                            const std::string& link) {
  const mode_t mode = static_cast<mode_t>(Octal(header.mode));
  const uid_t uid = static_cast<uid_t>(Octal(header.uid));
  const gid_t gid = static_cast<gid_t>(Octal(header.gid));
  modified_ = Octal(header.mtime);
  int made = 0;
  const auto make = [&] {
    switch (header.type) {
      case '1':
        return ::linkat(directory_, link.c_str(), directory_, path.c_str(), 0);
      case '2':
        return ::symlinkat(link.c_str(), directory_, path.c_str());
      case '3':
      case '4':
      case '6':
        return ::mknodat(directory_, path.c_str(),
                         (header.type == '3'   ? S_IFCHR
                          : header.type == '4' ? S_IFBLK
                                               : S_IFIFO) |
                             mode,
                         makedev(Octal(header.major), Octal(header.minor)));
      case '5':
        return ::mkdirat(directory_, path.c_str(), mode) != 0 && errno != EEXIST ? -1 : 0;
      default:
        file_.reset(
            ::openat(directory_, path.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, mode));
        return file_.get();
    }
  };
  made = make();
  if (made < 0 && errno == ENOENT) {  // a layer may leave its folders to the ones below
    for (size_t slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1))
      ::mkdirat(directory_, path.substr(0, slash).c_str(), 0755);
    made = make();
  }
  if (made < 0) return ErrnoStatus("make", path);
  if (header.type == '1') return absl::OkStatus();
  if (file_.valid()) {
    return ::fchown(file_.get(), uid, gid) == 0 && ::fchmod(file_.get(), mode) == 0
               ? absl::OkStatus()
               : ErrnoStatus("chown", path);
  }
  if (::fchownat(directory_, path.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
    return ErrnoStatus("chown", path);
  const timespec times[2] = {{.tv_sec = modified_, .tv_nsec = 0},
                             {.tv_sec = modified_, .tv_nsec = 0}};
  ::utimensat(directory_, path.c_str(), times, AT_SYMLINK_NOFOLLOW);
  return absl::OkStatus();
}

absl::Status FloorTar::EndContent() {
  if (reading_ != 0) {
    ReadRecords();
    reading_ = 0;
    return absl::OkStatus();
  }
  const timespec times[2] = {{.tv_sec = modified_, .tv_nsec = 0},
                             {.tv_sec = modified_, .tv_nsec = 0}};
  if (::futimens(file_.get(), times) != 0) return ErrnoStatus("futimens", "a file of the floor");
  file_.reset();
  return absl::OkStatus();
}

// PAX: "LENGTH KEY=VALUE\n" again and again; GNU: the name itself.
void FloorTar::ReadRecords() {
  if (reading_ != 'x') {
    (reading_ == 'L' ? path_ : link_) = records_.c_str();
    return;
  }
  absl::string_view rest = records_;
  while (!rest.empty()) {
    const size_t space = rest.find(' ');
    size_t length = 0;
    if (!absl::SimpleAtoi(rest.substr(0, space), &length) || length <= space) return;
    absl::string_view record = rest.substr(space + 1, length - space - 2);
    if (const size_t equals = record.find('='); equals != absl::string_view::npos) {
      const absl::string_view key = record.substr(0, equals);
      if (key == "path") path_ = std::string(record.substr(equals + 1));
      if (key == "linkpath") link_ = std::string(record.substr(equals + 1));
    }
    rest.remove_prefix(std::min(length, rest.size()));
  }
}

}  // namespace berth::bench
