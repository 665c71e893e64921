#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <optional>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/cli/commands.h"
#include "src/cli/copy_argument.h"
#include "src/cli/failure.h"
#include "src/cli/interrupt.h"
#include "src/cli/local_copy.h"
#include "src/cli/quantity.h"
#include "src/cli/targets.h"
#include "src/copy/tar_writer.h"
#include "src/copy/tree_archiver.h"
#include "src/image/pull/tar.h"

namespace berth::cli {
namespace {

using Kind = CopyArgument::Kind;

constexpr size_t kPieceBytes = 64 << 10;

// Modes are those of the source.
class NoUmask {
 public:
  NoUmask() : before_(::umask(0)) {}
  NoUmask(const NoUmask&) = delete;
  NoUmask& operator=(const NoUmask&) = delete;
  ~NoUmask() { ::umask(before_); }

 private:
  const mode_t before_;
};

class CpCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("SOURCE", source_, "CONTAINER:PATH, a local path, or - for a tar archive")
        ->required();
    command.add_option("DESTINATION", destination_, "the same; one of the two is a container's")
        ->required();
    command.add_flag("-a,--archive", keep_owner_,
                     "keep owners (and, on this machine, set-id bits)");
    command.add_flag("-L,--follow-link", follow_link_, "copy what SOURCE links to, not the link");
    command.footer(
        "As docker cp: a directory is copied into a directory that is there, and becomes one that "
        "is not;\nDIR/. is its contents. Containers need not run, but volumes are there only while "
        "they do.\n  berth cp web:/etc/nginx/nginx.conf .\n  tar c site | berth cp - web:/srv");
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    const CopyArgument from = ParseCopyArgument(source_), to = ParseCopyArgument(destination_);
    RETURN_IF_ERROR(CheckSides(from, to));
    Interrupt interrupt;
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    const CopyArgument& there = from.kind == Kind::kContainer ? from : to;
    ASSIGN_OR_RETURN(const Target target,
                     ResolveTarget(client, there.container, Accept::kContainers));
    const absl::Status status =
        from.kind == Kind::kContainer
            ? CopyOut(client, target.id, from, to, interrupt, invocation.output)
            : CopyIn(client, target.id, from, to, interrupt, invocation.output);
    if (interrupt.Take() != 0)
      return WithExitCode(absl::CancelledError("interrupted"), kExitInterrupted);
    if (!status.ok()) return InContext(status, there.container);
    return 0;
  }

 private:
  static absl::Status CheckSides(const CopyArgument& from, const CopyArgument& to) {
    const int containers = (from.kind == Kind::kContainer) + (to.kind == Kind::kContainer);
    absl::string_view wrong;
    if (containers == 0) wrong = "neither SOURCE nor DESTINATION is a container's: NAME:PATH";
    if (containers == 2)
      wrong = "not between two containers: copy to this machine first, or pipe through -";
    if (wrong.empty() && (from.kind == Kind::kContainer ? from : to).path.empty())
      wrong = "no path after the container's name";
    if (wrong.empty()) return absl::OkStatus();
    return WithExitCode(absl::InvalidArgumentError(wrong), kExitUsage);
  }

  absl::Status CopyOut(Client& client, const std::string& id, const CopyArgument& from,
                       const CopyArgument& to, Interrupt& interrupt, Output& output) const {
    if (to.kind == Kind::kStream && output.out_live) {
      return WithHint(absl::FailedPreconditionError("an archive is not for a terminal"),
                      "send it on: berth cp NAME:PATH - | tar t");
    }
    v1::CopyOutRequest request;
    request.set_container_id(id);
    request.set_path(from.path);
    request.set_follow_link(follow_link_);
    if (to.kind == Kind::kStream) {
      return client.CopyOut(
          request,
          [&](const v1::CopyOutResponse& message) -> absl::Status {
            return WriteOut(message.data(), interrupt.fd(), output);
          },
          interrupt.fd());
    }
    return CopyToHere(client, request, to.path, interrupt, output);
  }

  // In pieces that a pipe takes whole once it has room, so that a signal ends the wait for that.
  static absl::Status WriteOut(absl::string_view data, int interrupt_fd, Output& output) {
    for (; !data.empty(); data.remove_prefix(std::min<size_t>(data.size(), PIPE_BUF))) {
      pollfd wait[2] = {{STDOUT_FILENO, POLLOUT, 0}, {interrupt_fd, POLLIN, 0}};
      while (::poll(wait, 2, -1) < 0 && errno == EINTR) {
      }
      if (wait[1].revents != 0) return absl::CancelledError("interrupted");
      output.out << data.substr(0, PIPE_BUF) << std::flush;
      if (!output.out.good()) return absl::CancelledError("nobody reads it");
    }
    return absl::OkStatus();
  }

  absl::Status CopyToHere(Client& client, const v1::CopyOutRequest& request,
                          const std::string& path, Interrupt& interrupt, Output& output) const {
    const NoUmask no_umask;
    std::optional<LocalDestination> destination;
    std::optional<TreeExtractor> extractor;
    std::optional<TarReader> reader;
    const auto take = [&](const v1::CopyOutResponse& message) -> absl::Status {
      if (message.has_stat() && !destination.has_value()) {
        const CopySource source{.directory = S_ISDIR(message.stat().mode()),
                                .contents_only = message.stat().name().empty(),
                                .name = message.stat().name()};
        ASSIGN_OR_RETURN(destination, OpenLocalDestination(path, source, keep_owner_));
        extractor.emplace(destination->base.get(), destination->options);
        reader.emplace(*extractor);
      }
      if (!reader.has_value()) return absl::InternalError("the archive came without a beginning");
      return reader->Feed(message.data());
    };
    RETURN_IF_ERROR(client.CopyOut(request, take, interrupt.fd()));
    if (!reader.has_value()) return absl::InternalError("nothing came");
    RETURN_IF_ERROR(reader->Finish());
    ASSIGN_OR_RETURN(const ExtractResult result, extractor->Finish());
    Tell(result.entries, result.bytes, result.skipped_devices, result.first_skipped, output);
    return absl::OkStatus();
  }

  absl::Status CopyIn(Client& client, const std::string& id, const CopyArgument& from,
                      const CopyArgument& to, Interrupt& interrupt, Output& output) const {
    v1::CopyInBegin begin;
    begin.set_container_id(id);
    begin.set_path(to.path);
    begin.set_keep_owner(keep_owner_);
    Client::ArchiveSource archive = [&](const Client::SendBytes& send) {
      return SendStdin(send, interrupt.fd());
    };
    LocalSource local;
    if (from.kind == Kind::kLocal) {
      ASSIGN_OR_RETURN(local, OpenLocalSource(from.path, follow_link_));
      begin.mutable_source()->set_directory(local.source.directory);
      begin.mutable_source()->set_contents_only(local.source.contents_only);
      begin.mutable_source()->set_name(local.source.name);
      archive = [&](const Client::SendBytes& send) { return SendTree(local, send); };
    }
    ASSIGN_OR_RETURN(const v1::CopyInResponse done, client.CopyIn(begin, archive, interrupt.fd()));
    Tell(done.entries(), done.bytes(), done.skipped_devices(), done.first_skipped(), output);
    return absl::OkStatus();
  }

  static absl::Status SendTree(LocalSource& local, const Client::SendBytes& send) {
    std::string piece;
    const auto flush = [&]() -> absl::Status {
      if (!piece.empty()) RETURN_IF_ERROR(send(piece));
      piece.clear();
      return absl::OkStatus();
    };
    TarWriter writer([&](absl::string_view bytes) -> absl::Status {
      piece.append(bytes.data(), bytes.size());
      return piece.size() < kPieceBytes ? absl::OkStatus() : flush();
    });
    TreeArchiver archiver(writer);
    RETURN_IF_ERROR(archiver.Add(std::move(local.node), local.ArchiveName()));
    RETURN_IF_ERROR(writer.Finish());
    return flush();
  }

  static absl::Status SendStdin(const Client::SendBytes& send, int interrupt_fd) {
    std::string buffer(kPieceBytes, '\0');
    while (true) {
      pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                      {.fd = interrupt_fd, .events = POLLIN, .revents = 0}};
      if (poll(fds, 2, -1) < 0 && errno != EINTR) return ErrnoStatus("poll", "stdin");
      if (fds[1].revents != 0) return absl::CancelledError("interrupted");
      if (fds[0].revents == 0) continue;
      const ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus("read", "stdin");
      if (n == 0) return absl::OkStatus();
      RETURN_IF_ERROR(send(absl::string_view(buffer.data(), static_cast<size_t>(n))));
    }
  }

  static void Tell(int64_t entries, int64_t bytes, int64_t skipped, const std::string& first,
                   Output& output) {
    if (output.err_live)
      output.err << "copied " << entries - skipped << (entries - skipped == 1 ? " file" : " files")
                 << ", " << FormatSize(static_cast<uint64_t>(bytes)) << "\n";
    if (skipped == 0) return;
    output.err << DescribeFailure(
        absl::FailedPreconditionError(
            absl::StrCat("cp: left out ", skipped, " device nodes, the first is ", first)),
        output.err_colour);
  }

  std::string source_, destination_;
  bool keep_owner_ = false;
  bool follow_link_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeCp() { return std::make_unique<CpCommand>(); }

}  // namespace berth::cli
