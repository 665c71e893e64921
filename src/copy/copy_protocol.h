// berthd and berth-copy: see docs/formats/copy-protocol.md. Over one SOCK_SEQPACKET connection,
// each packet one byte of CopyPacket and what belongs to it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth {

// Descriptors that berth-copy is started with.
enum CopyStartFd : int {
  kCopyChannelFd = 3,
  kCopyNodeNamespaceFd = 4,  // the node's minimal mount namespace
  kCopyPidFd = 5,            // of the container's first process, with CopyRoot::pid
};

enum class CopyPacket : char {
  kStat = 's',    // from the helper, first, of a copy out: EncodeCopyStat
  kData = 'd',    // either way: bytes of the archive
  kEnd = 'f',     // the archive is complete; from the helper, of a copy in: EncodeCopyOutcome
  kFailed = 'e',  // from the helper, last: EncodeCopyFailure
};
inline constexpr size_t kMaxCopyData = 64 << 10;

// Where the container's files are.
struct CopyRoot {
  int pid = 0;  // of its first process, as it runs
  // As it does not run; relative to the data directory:
  std::vector<std::string> layers;  // lowest first
  std::string upper, work;
  bool read_only = false;
};

struct CopyJob {
  enum class Direction { kOut, kIn };
  Direction direction = Direction::kOut;
  CopyRoot root;
  std::string path;          // as it was typed
  bool follow_link = false;  // out: what the link at `path` names, not the link
  // in: what the archive is (CopySource), or, without `plan_by_source`, an archive for a directory.
  bool plan_by_source = false;
  bool source_directory = false, source_contents = false;
  std::string source_name;
  bool keep_owner = false;  // in: else all is the container's root's
};

// argv of berth-copy. InvalidArgument for what EncodeCopyJob does not make.
std::vector<std::string> EncodeCopyJob(const CopyJob& job);
absl::StatusOr<CopyJob> DecodeCopyJob(const std::vector<std::string>& argv);

struct CopyStat {
  uint32_t mode = 0;  // st_mode
  int64_t size = 0;
  int64_t mtime_ns = 0;
  std::string name;         // of the top entry of the archive; "" if it holds contents
  std::string link_target;  // of a symbolic link
};
struct CopyOutcome {
  int64_t entries = 0, bytes = 0, skipped_devices = 0;
  std::string first_skipped;
};

// The whole packets. Decode* take what is behind the first byte; InvalidArgument.
std::string EncodeCopyStat(const CopyStat& stat);
absl::StatusOr<CopyStat> DecodeCopyStat(absl::string_view text);
std::string EncodeCopyOutcome(const CopyOutcome& outcome);
absl::StatusOr<CopyOutcome> DecodeCopyOutcome(absl::string_view text);
std::string EncodeCopyFailure(const absl::Status& status);
absl::Status DecodeCopyFailure(absl::string_view text);

}  // namespace berth
