#include "src/image/registry_credentials.h"

#include <fcntl.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/image/auth_file.h"
#include "src/image/credential_program.h"
#include "src/image/registry_auth.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

absl::StatusOr<std::vector<AuthFile>> ReadFiles(const CredentialSources& sources) {
  std::vector<AuthFile> files;
  for (const std::string& path : sources.files) {
    const absl::StatusOr<std::string> text = ReadFileAt(AT_FDCWD, path);
    if (absl::IsNotFound(text.status())) continue;
    if (!text.ok()) return text.status();
    ASSIGN_OR_RETURN(AuthFile file, ParseAuthFile(*text, absl::StrCat("auth file ", path)));
    files.push_back(std::move(file));
  }
  return files;
}

absl::StatusOr<std::optional<RegistryAuth>> Find(const std::vector<AuthFile>& files,
                                                 const CredentialSources& sources,
                                                 const std::string& host, const std::string& path) {
  for (const AuthFile& file : files) {
    const std::optional<AuthEntry> entry = FindAuth(file, host, path);
    if (!entry.has_value()) continue;
    if (entry->helper.empty()) return std::optional<RegistryAuth>(entry->auth);
    absl::StatusOr<std::optional<RegistryAuth>> auth =
        AskCredentialHelper({.name = entry->helper,
                             .dirs = sources.helper_dirs,
                             .env = sources.helper_env,
                             .cancelled = sources.cancelled},
                            host);
    if (!auth.ok() || auth->has_value()) return auth;
  }
  return std::optional<RegistryAuth>();
}

}  // namespace

absl::Status AddNodeCredentials(const Reference& reference, const CredentialSources& sources,
                                std::vector<RegistryEndpoint>* endpoints) {
  ASSIGN_OR_RETURN(const std::vector<AuthFile> files, ReadFiles(sources));
  if (files.empty()) return absl::OkStatus();
  for (RegistryEndpoint& endpoint : *endpoints) {
    if (!IsAnonymous(endpoint.auth)) continue;
    ASSIGN_OR_RETURN(std::optional<RegistryAuth> auth,
                     Find(files, sources, RegistryHostOf(endpoint.url), reference.path));
    if (auth.has_value()) endpoint.auth = *std::move(auth);
  }
  return absl::OkStatus();
}

}  // namespace berth
