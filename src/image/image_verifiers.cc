#include "src/image/image_verifiers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "src/base/log.h"
#include "src/kernel/bounded_run.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(10);
constexpr size_t kMaxReason = 16 << 10;

absl::Status Refused(const VerifiedImage& image, absl::string_view why) {
  return absl::PermissionDeniedError(
      absl::StrCat("SignatureValidationFailed: ", image.name, "@", image.digest, ": ", why));
}

bool IsProgram(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

absl::Status AskOne(const std::string& path, const ImageVerifiers& verifiers,
                    const VerifiedImage& image) {
  const nlohmann::json descriptor = {
      {"mediaType", image.media_type}, {"digest", image.digest}, {"size", image.bytes}};
  const absl::StatusOr<RunResult> answer =
      RunBounded({.path = path,
                  .argv = {path, "-name", image.name, "-digest", image.digest, "-stdin-media-type",
                           "application/vnd.oci.descriptor.v1+json"},
                  .env = verifiers.env,
                  .input = descriptor.dump(),
                  .deadline = kDeadline,
                  .max_output = kMaxReason,
                  .cancelled = verifiers.cancelled});
  if (absl::IsCancelled(answer.status())) return answer.status();
  if (!answer.ok())
    return Refused(image, absl::StrCat("verifier ", path, ": ", answer.status().message()));
  if (answer->exit_code == 0) return absl::OkStatus();
  const std::string reason = EscapeForLog(absl::StripAsciiWhitespace(answer->output));
  return Refused(image, absl::StrCat("verifier ", path, " refuses it with exit code ",
                                     answer->exit_code, reason.empty() ? "" : ": ", reason));
}

}  // namespace

absl::Status AskImageVerifiers(const ImageVerifiers& verifiers, const VerifiedImage& image) {
  if (verifiers.dir.empty()) return absl::OkStatus();
  absl::StatusOr<std::vector<std::string>> names = ListDir(AT_FDCWD, verifiers.dir);
  if (!names.ok()) return Refused(image, names.status().message());
  std::sort(names->begin(), names->end());
  for (const std::string& name : *names) {
    const std::string path = absl::StrCat(verifiers.dir, "/", name);
    if (!IsProgram(path)) continue;
    if (absl::Status accepted = AskOne(path, verifiers, image); !accepted.ok()) return accepted;
  }
  return absl::OkStatus();
}

}  // namespace berth
