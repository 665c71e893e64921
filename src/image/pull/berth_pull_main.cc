// berth-pull: one image pull, or the verification of one layer, in one process. A job on stdin,
// messages on stdout, the work directory (or that of the trees) as fd 3, that of the layers as fd 4
// (docs/formats/pull-protocol.md). Dies with its parent.
#include <curl/curl.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/image/pull/confine.h"
#include "src/image/pull/puller.h"
#include "src/image/pull/verify.h"
#include "src/image/pull_protocol.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr int kWorkFd = 3, kLayersFd = 4;
constexpr int kNice = 5;  // pods come first

void Send(const PullMessage& message) {
  const std::string line = EncodePullMessage(message);
  absl::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) ::_exit(1);  // nobody listens any more
    rest.remove_prefix(static_cast<size_t>(n));
  }
}

absl::StatusOr<std::string> ReadLine() {
  std::string line;
  char buffer[16 << 10];
  while (line.empty() || line.back() != '\n') {
    const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("read", "stdin");
    if (n == 0) return absl::InvalidArgumentError("read stdin: it ends before the job does");
    line.append(buffer, static_cast<size_t>(n));
    if (line.size() > kMaxPullLine)
      return absl::ResourceExhaustedError("read stdin: the job is too long");
  }
  return line;
}

// The daemon keeps our stdin open for as long as it wants the image.
void ExitWhenStdinEnds() {
  char ignored[64];
  while (true) {
    const ssize_t n = ::read(STDIN_FILENO, ignored, sizeof(ignored));
    if (n == 0 || (n < 0 && errno != EINTR)) ::_exit(1);
  }
}

absl::StatusOr<PulledImage> Pull(const PullJob& job) {
  const std::string ca_bundle = LoadCaBundle();
  // Both read files of the host when they start.
  OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG, nullptr);
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
    return absl::InternalError("curl_global_init: failed");
  ASSIGN_OR_RETURN(const ConfinedDirs dirs, Confine(kWorkFd, kLayersFd, WorkAccess::kWrite));
  std::thread(ExitWhenStdinEnds).detach();
  return Puller(job, {.work = dirs.work.get(), .layers = dirs.layers.get()}, ca_bundle,
                [](const PullProgress& progress) { Send(progress); })
      .Run();
}

absl::StatusOr<LayerVerification> Verify(const VerifyJob& job) {
  ASSIGN_OR_RETURN(const ConfinedDirs dirs, Confine(kWorkFd, kLayersFd, WorkAccess::kReadOnly));
  std::thread(ExitWhenStdinEnds).detach();
  ASSIGN_OR_RETURN(const UniqueFd layer, OpenDir(dirs.layers.get(), job.dir));
  ASSIGN_OR_RETURN(const UniqueFd tree, OpenFile(dirs.work.get(), job.dir, O_RDONLY | O_NOFOLLOW));
  return VerifyLayer(layer.get(), tree.get());
}

absl::StatusOr<PullMessage> Run() {
  ASSIGN_OR_RETURN(const std::string line, ReadLine());
  ASSIGN_OR_RETURN(const HelperJob job, DecodeHelperJob(line));
  ::setpriority(PRIO_PROCESS, 0, kNice);
  if (const auto* verify = std::get_if<VerifyJob>(&job)) return Verify(*verify);
  return Pull(std::get<PullJob>(job));
}

int Main() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::umask(0);
  ::signal(SIGPIPE, SIG_IGN);
  const absl::StatusOr<PullMessage> message = Run();
  const bool good = message.ok();
  Send(good ? *message : PullMessage(message.status()));
  // Threads may still hold what static destructors would take away.
  ::_exit(good ? 0 : 1);
}

}  // namespace
}  // namespace berth

int main() { return berth::Main(); }
