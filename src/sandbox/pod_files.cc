#include "src/sandbox/pod_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

absl::Status WriteInPlace(const std::string& path, absl::string_view content) {
  ASSIGN_OR_RETURN(const UniqueFd file,
                   OpenFile(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644));
  if (::fchmod(file.get(), 0644) != 0) return ErrnoStatus("chmod", path);
  if (::write(file.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size())) {
    return ErrnoStatus("write", path);
  }
  return absl::OkStatus();
}

std::string NodeHostname() {
  std::array<char, 256> name = {};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

}  // namespace

std::string ResolvConf(const DnsConfig& dns) {
  std::string text;
  if (!dns.searches.empty())
    absl::StrAppend(&text, "search ", absl::StrJoin(dns.searches, " "), "\n");
  for (const std::string& server : dns.servers) absl::StrAppend(&text, "nameserver ", server, "\n");
  if (!dns.options.empty())
    absl::StrAppend(&text, "options ", absl::StrJoin(dns.options, " "), "\n");
  return text;
}

absl::Status WriteHostsFile(const std::string& directory, const PodConfig& config,
                            const std::vector<std::string>& ips) {
  std::string hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
  if (config.namespaces.network == NamespaceMode::kNode) {
    absl::StatusOr<std::string> node = ReadFileAt(AT_FDCWD, "/etc/hosts");
    if (node.ok()) hosts = *std::move(node);
  }
  for (const std::string& ip : ips) {
    if (!config.namespaces.hostname.empty())
      absl::StrAppend(&hosts, ip, "\t", config.namespaces.hostname, "\n");
  }
  return WriteInPlace(directory + "/hosts", hosts);
}

absl::Status WritePodFiles(const std::string& directory, const PodConfig& config) {
  const bool own_name =
      config.namespaces.network == NamespaceMode::kPod && !config.namespaces.hostname.empty();
  RETURN_IF_ERROR(
      WriteInPlace(directory + "/hostname",
                   absl::StrCat(own_name ? config.namespaces.hostname : NodeHostname(), "\n")));
  std::string resolv;
  if (config.dns.has_value()) {
    resolv = ResolvConf(*config.dns);
  } else if (absl::StatusOr<std::string> node = ReadFileAt(AT_FDCWD, "/etc/resolv.conf");
             node.ok()) {
    resolv = *std::move(node);
  }
  RETURN_IF_ERROR(WriteInPlace(directory + "/resolv.conf", resolv));
  return WriteHostsFile(directory, config, {});
}

}  // namespace berth
