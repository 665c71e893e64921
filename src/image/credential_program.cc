#include "src/image/credential_program.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/json_fields.h"
#include "src/base/status_macros.h"
#include "src/base/strict_json.h"
#include "src/kernel/bounded_run.h"

namespace berth {
namespace {

constexpr size_t kMaxAnswer = 64 << 10;

absl::Status Failed(const CredentialHelper& helper, absl::string_view cause) {
  return absl::FailedPreconditionError(
      absl::StrCat("credential helper docker-credential-", helper.name, ": ", cause));
}

absl::StatusOr<std::string> FindProgram(const CredentialHelper& helper) {
  const bool plain = !helper.name.empty() &&
                     std::all_of(helper.name.begin(), helper.name.end(), [](unsigned char c) {
                       return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
                     });
  if (!plain) {
    return absl::FailedPreconditionError(
        "credential helper: its name is more than letters, "
        "digits, '-', '_' and '.'");
  }
  for (const std::string& dir : helper.dirs) {
    std::string path = absl::StrCat(dir, "/docker-credential-", helper.name);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return Failed(helper, absl::StrCat("not found in ", absl::StrJoin(helper.dirs, ":")));
}

// The protocol's way to say that there are none.
bool KnowsNone(const RunResult& result) {
  return result.exit_code != 0 && (absl::StrContains(result.output, "credentials not found") ||
                                   absl::StrContains(result.output, "no credentials"));
}

absl::StatusOr<RegistryAuth> AuthOf(const CredentialHelper& helper, const std::string& output) {
  const absl::StatusOr<nlohmann::json> json =
      ParseStrictJson(output, {.bytes = kMaxAnswer, .depth = 4}, "answer");
  if (!json.ok() || !json->is_object()) return Failed(helper, "its answer is no JSON object");
  const absl::StatusOr<std::string> username = StringMember(*json, "Username");
  const absl::StatusOr<std::string> secret = StringMember(*json, "Secret");
  if (!username.ok() || !secret.ok() || secret->empty()) {
    return Failed(helper, "its answer holds no Username and Secret");
  }
  if (*username == "<token>") return RegistryAuth{.identity_token = *secret};
  return RegistryAuth{.username = *username, .password = *secret};
}

}  // namespace

absl::StatusOr<std::optional<RegistryAuth>> AskCredentialHelper(const CredentialHelper& helper,
                                                                const std::string& host) {
  ASSIGN_OR_RETURN(const std::string program, FindProgram(helper));
  BoundedRun run{.path = program,
                 .argv = {absl::StrCat("docker-credential-", helper.name), "get"},
                 .env = helper.env,
                 .input = host == "docker.io" ? "https://index.docker.io/v1/" : host,
                 .deadline = helper.deadline,
                 .max_output = kMaxAnswer,
                 .cancelled = helper.cancelled};
  run.env.push_back("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  run.env.push_back("HOME=/root");
  const absl::StatusOr<RunResult> result = RunBounded(run);
  if (absl::IsCancelled(result.status())) return result.status();
  if (!result.ok()) return Failed(helper, result.status().message());
  if (KnowsNone(*result)) return std::optional<RegistryAuth>();
  if (result->exit_code != 0) return Failed(helper, absl::StrCat("exit code ", result->exit_code));
  ASSIGN_OR_RETURN(RegistryAuth auth, AuthOf(helper, result->output));
  return std::optional<RegistryAuth>(std::move(auth));
}

}  // namespace berth
