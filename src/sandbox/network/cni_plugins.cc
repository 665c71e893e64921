#include "src/sandbox/network/cni_plugins.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/status_macros.h"
#include "src/kernel/bounded_run.h"
#include "src/sandbox/network/cni_attachment.h"
#include "src/sandbox/network/cni_result.h"

namespace berth {
namespace {

constexpr size_t kKeptError = 4096;

// Another file under the same name asks again.
std::string IdentityOf(const std::string& path) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) return path;
  return absl::StrCat(path, " ", info.st_ino, " ", info.st_size, " ", info.st_mtim.tv_sec, ".",
                      info.st_mtim.tv_nsec);
}

}  // namespace

absl::StatusOr<std::string> CniPlugins::Find(const std::string& type) const {
  for (const std::string& directory : options_.directories) {
    std::string path = absl::StrCat(directory, "/", type);
    struct stat info;
    if (::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
        ::access(path.c_str(), X_OK) == 0) {
      return path;
    }
  }
  return absl::NotFoundError(
      absl::StrCat("CNI plugin ", type, " is not in ", absl::StrJoin(options_.directories, ", ")));
}

std::string CniPlugins::SearchPath() const { return absl::StrJoin(options_.directories, ":"); }

absl::StatusOr<std::string> CniPlugins::Run(const std::string& type, const CniCall& call) {
  absl::StatusOr<std::string> path = Find(type);
  // A missing plugin is no unknown container: NotFound has that meaning in an answer.
  if (!path.ok()) return absl::FailedPreconditionError(path.status().message());
  return RunPath(type, *path, call);
}

absl::StatusOr<std::string> CniPlugins::RunPath(const std::string& type, const std::string& path,
                                                const CniCall& call) {
  ASSIGN_OR_RETURN(PluginCgroups::Slot slot, cgroups_->Take());
  absl::StatusOr<RunResult> ran =
      RunBounded({.path = path,
                  .argv = {path},
                  .env = call.environment,
                  .input = call.input,
                  .deadline = options_.timeout,
                  .max_output = kMaxCniOutput,
                  .keep_error = kKeptError,
                  .cancelled = [&] { return stopping_ || (call.outdated && call.outdated()); },
                  .meanwhile = call.meanwhile,
                  .cgroup = &slot.handle});
  cgroups_->GiveBack(std::move(slot));
  if (!ran.ok()) {
    const std::string text = absl::StrCat("CNI plugin ", type, ": ", ran.status().message());
    return absl::Status(absl::IsNotFound(ran.status()) ? absl::StatusCode::kFailedPrecondition
                                                       : ran.status().code(),
                        text);
  }
  if (!ran->error_output.empty() && options_.log != nullptr)
    options_.log->Debug("CNI plugin wrote", {{"plugin", type}, {"stderr", ran->error_output}});
  if (ran->exit_code != 0) return CniErrorOf(type, ran->exit_code, ran->output, ran->error_output);
  return std::move(ran->output);
}

bool CniPlugins::Supports(const std::string& type, const std::string& version,
                          const std::function<bool()>& outdated) {
  const absl::StatusOr<std::string> path = Find(type);
  if (!path.ok()) return false;
  const std::string identity = IdentityOf(*path);
  const auto has = [&](const std::vector<std::string>& versions) {
    return std::find(versions.begin(), versions.end(), version) != versions.end();
  };
  {
    absl::MutexLock lock(&mu_);
    if (const auto known = versions_.find(identity); known != versions_.end())
      return has(known->second);
  }
  const absl::StatusOr<std::string> output =
      RunPath(type, *path,
              {.environment = CniNodeEnvironment(CniCommand::kVersion, SearchPath()),
               .input = absl::StrCat("{\"cniVersion\":\"", version, "\"}"),
               .outdated = outdated});
  const absl::StatusOr<std::vector<std::string>> versions =
      output.ok() ? ParseCniVersions(*output) : output.status();
  if (!versions.ok()) return false;
  absl::MutexLock lock(&mu_);
  versions_[identity] = *versions;
  return has(*versions);
}

}  // namespace berth
