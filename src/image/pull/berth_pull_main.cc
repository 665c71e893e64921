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
#include <functional>
#include <thread>
#include <utility>

#include "src/base/failpoint.h"
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

// What the daemon says, line by line. One thread at a time.
class Lines {
 public:
  // Unavailable at the end of stdin.
  absl::StatusOr<std::string> Next() {
    size_t end = rest_.find('\n');
    while (end == std::string::npos) {
      char buffer[16 << 10];
      const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof(buffer));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus("read", "stdin");
      if (n == 0) return absl::UnavailableError("read stdin: it ends before the job does");
      const size_t searched = rest_.size();
      rest_.append(buffer, static_cast<size_t>(n));
      if (rest_.size() > kMaxPullLine)
        return absl::ResourceExhaustedError("read stdin: a line is too long");
      end = rest_.find('\n', searched);
    }
    std::string line = rest_.substr(0, end + 1);
    rest_.erase(0, end + 1);
    return line;
  }

 private:
  std::string rest_;
};

// The daemon keeps our stdin open for as long as it wants the image, and gives orders on it.
void Listen(Lines lines, const std::function<void(const PullOrder&)>& take) {
  while (true) {
    const absl::StatusOr<std::string> line = lines.Next();
    if (!line.ok()) ::_exit(1);
    const absl::StatusOr<PullOrder> order = DecodePullOrder(*line);
    if (!order.ok()) ::_exit(1);
    take(*order);
  }
}

absl::StatusOr<PulledImage> Pull(const PullJob& job, Lines lines) {
  const std::string ca_bundle = LoadCaBundle();
  // Both read files of the host when they start.
  OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG, nullptr);
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
    return absl::InternalError("curl_global_init: failed");
  ASSIGN_OR_RETURN(const ConfinedDirs dirs, Confine(kWorkFd, kLayersFd, WorkAccess::kWrite));
  // Not deleted: the listener uses it until the process ends.
  Puller* const puller = new Puller(job, {.work = dirs.work.get(), .layers = dirs.layers.get()},
                                    ca_bundle, [](const PullMessage& message) { Send(message); });
  std::thread(Listen, std::move(lines), [puller](const PullOrder& order) {
    puller->Take(order);
  }).detach();
  ASSIGN_OR_RETURN(PulledImage image, puller->Run());
  RETURN_IF_FAULT("pull_worker.answer");
  return image;
}

absl::StatusOr<LayerVerification> Verify(const VerifyJob& job, Lines lines) {
  ASSIGN_OR_RETURN(const ConfinedDirs dirs, Confine(kWorkFd, kLayersFd, WorkAccess::kReadOnly));
  std::thread(Listen, std::move(lines), [](const PullOrder&) {}).detach();
  ASSIGN_OR_RETURN(const UniqueFd layer, OpenDir(dirs.layers.get(), job.dir));
  ASSIGN_OR_RETURN(const UniqueFd tree, OpenFile(dirs.work.get(), job.dir, O_RDONLY | O_NOFOLLOW));
  return VerifyLayer(layer.get(), tree.get());
}

absl::StatusOr<PullMessage> Run() {
  Lines lines;
  ASSIGN_OR_RETURN(const std::string line, lines.Next());
  ASSIGN_OR_RETURN(const HelperJob job, DecodeHelperJob(line));
  RETURN_IF_FAULT("pull_worker.start");
  ::setpriority(PRIO_PROCESS, 0, kNice);
  if (const auto* verify = std::get_if<VerifyJob>(&job)) return Verify(*verify, std::move(lines));
  return Pull(std::get<PullJob>(job), std::move(lines));
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
