// berth-copy: one copy out of a container or into it, in one confined process. Arguments and
// packets: copy_protocol.h. Dies with its parent.
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/copy/container_root.h"
#include "src/copy/copy_protocol.h"
#include "src/copy/copy_rules.h"
#include "src/copy/copy_target.h"
#include "src/copy/tree_archiver.h"
#include "src/copy/tree_extractor.h"
#include "src/image/pull/tar.h"

namespace berth {
namespace {

absl::Status Send(absl::string_view packet) {
  while (::send(kCopyChannelFd, packet.data(), packet.size(), MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return ErrnoStatus("send", "berthd");
  }
  return absl::OkStatus();
}

// The archive in packets that are as full as can be.
class DataSender {
 public:
  absl::Status Add(absl::string_view bytes) {
    while (!bytes.empty()) {
      const absl::string_view piece = bytes.substr(0, kMaxCopyData + 1 - packet_.size());
      packet_.append(piece.data(), piece.size());
      bytes.remove_prefix(piece.size());
      if (packet_.size() > kMaxCopyData) RETURN_IF_ERROR(Flush());
    }
    return absl::OkStatus();
  }
  absl::Status Flush() {
    if (packet_.size() > 1) RETURN_IF_ERROR(Send(packet_));
    packet_.resize(1);
    return absl::OkStatus();
  }

 private:
  std::string packet_ = std::string(1, static_cast<char>(CopyPacket::kData));
};

absl::StatusOr<std::string> LinkTarget(const CopyTarget& target) {
  std::string text(PATH_MAX, '\0');
  const ssize_t n = ::readlinkat(target.node.get(), "", text.data(), text.size());
  if (n < 0) return ErrnoStatus("readlink", target.name);
  text.resize(static_cast<size_t>(n));
  return text;
}

absl::Status CopyOut(const CopyJob& job, int root) {
  const CopyPath path = ParseCopyPath(job.path);
  const bool follow = job.follow_link || path.named_as_directory;
  ASSIGN_OR_RETURN(CopyTarget target,
                   ResolveInRoot(root, path.path, follow ? LastLink::kFollow : LastLink::kKeep));
  if (!target.node.valid()) return ErrnoStatus("open", path.path, ENOENT);
  if (path.named_as_directory && !S_ISDIR(target.st.st_mode))
    return absl::FailedPreconditionError(absl::StrCat(path.path, ": not a directory"));
  const bool contents = path.contents_only || path.path == "/";
  CopyStat stat{.mode = target.st.st_mode,
                .size = target.st.st_size,
                .mtime_ns = target.st.st_mtim.tv_sec * 1'000'000'000 + target.st.st_mtim.tv_nsec,
                // As it was asked for, even if a link was followed.
                .name = contents ? "" : SplitPath(path.path).name};
  if (S_ISLNK(target.st.st_mode)) {
    ASSIGN_OR_RETURN(stat.link_target, LinkTarget(target));
  }
  RETURN_IF_ERROR(Send(EncodeCopyStat(stat)));
  DataSender sender;
  TarWriter writer([&](absl::string_view bytes) { return sender.Add(bytes); });
  TreeArchiver archiver(writer);
  RETURN_IF_ERROR(archiver.Add(std::move(target.node), contents ? "." : stat.name));
  RETURN_IF_ERROR(writer.Finish());
  RETURN_IF_ERROR(sender.Flush());
  return Send(EncodeCopyOutcome({}));
}

// Where the archive goes, and under which names.
struct Destination {
  UniqueFd base;
  ExtractOptions options;
};

absl::StatusOr<UniqueFd> DirectoryOf(const CopyTarget& target) {
  UniqueFd fd(::openat(target.node.get(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus("open", target.name);
  return fd;
}

absl::StatusOr<Destination> FindDestination(const CopyJob& job, int root) {
  const CopyPath path = ParseCopyPath(job.path);
  ASSIGN_OR_RETURN(CopyTarget target, ResolveInRoot(root, path.path, LastLink::kFollow));
  Destination destination;
  const bool directory = target.node.valid() && S_ISDIR(target.st.st_mode);
  if (!job.plan_by_source) {
    if (!target.node.valid()) return ErrnoStatus("open", path.path, ENOENT);
    if (!directory)
      return absl::FailedPreconditionError(absl::StrCat(path.path, ": not a directory"));
    ASSIGN_OR_RETURN(destination.base, DirectoryOf(target));
  } else {
    using Kind = CopyDestination::Kind;
    const Kind kind = !target.node.valid() ? Kind::kMissing
                      : directory          ? Kind::kDirectory
                                           : Kind::kFile;
    const absl::StatusOr<CopyPlan> plan = PlanCopy(
        {.directory = job.source_directory,
         .contents_only = job.source_contents,
         .name = job.source_name},
        {.kind = kind, .named_as_directory = path.named_as_directory, .name = target.name});
    if (!plan.ok()) return Annotate(plan.status(), path.path);
    destination.options.strip = plan->strip;
    destination.options.prefix = plan->prefix;
    if (plan->below_destination) {
      ASSIGN_OR_RETURN(destination.base, DirectoryOf(target));
    } else {
      destination.base = std::move(target.parent);
    }
  }
  struct stat base, top;
  if (::fstat(destination.base.get(), &base) != 0 || ::fstat(root, &top) != 0)
    return ErrnoStatus("stat", path.path);
  destination.options.base_is_root = base.st_ino == top.st_ino && base.st_dev == top.st_dev;
  destination.options.set_ids = true;
  if (!job.keep_owner) destination.options.owner = ExtractOptions::Owner{.uid = 0, .gid = 0};
  return destination;
}

absl::StatusOr<CopyOutcome> Extract(Destination destination) {
  TreeExtractor extractor(destination.base.get(), std::move(destination.options));
  TarReader reader(extractor);
  std::string packet(kMaxCopyData + 1, '\0');
  while (true) {
    const ssize_t n = ::recv(kCopyChannelFd, packet.data(), packet.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return absl::CancelledError("copy: the archive is not complete");
    if (packet[0] == static_cast<char>(CopyPacket::kEnd)) break;
    RETURN_IF_ERROR(reader.Feed(absl::string_view(packet).substr(1, static_cast<size_t>(n) - 1)));
  }
  RETURN_IF_ERROR(reader.Finish());
  ASSIGN_OR_RETURN(const ExtractResult result, extractor.Finish());
  return CopyOutcome{.entries = result.entries,
                     .bytes = result.bytes,
                     .skipped_devices = result.skipped_devices,
                     .first_skipped = result.first_skipped};
}

absl::Status Run(const std::vector<std::string>& argv) {
  ASSIGN_OR_RETURN(const CopyJob job, DecodeCopyJob(argv));
  const bool writable = job.direction == CopyJob::Direction::kIn;
  ASSIGN_OR_RETURN(const UniqueFd root, EnterContainerRoot(job.root, writable));
  if (!writable) return CopyOut(job, root.get());
  ASSIGN_OR_RETURN(Destination destination, FindDestination(job, root.get()));
  ASSIGN_OR_RETURN(const CopyOutcome outcome, Extract(std::move(destination)));
  return Send(EncodeCopyOutcome(outcome));
}

int Main(const std::vector<std::string>& argv) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  ::umask(0);
  const absl::Status status = Run(argv);
  if (status.ok()) return 0;
  Send(EncodeCopyFailure(status)).IgnoreError();
  return 1;
}

}  // namespace
}  // namespace berth

int main(int argc, char** argv) { return berth::Main({argv, argv + argc}); }
