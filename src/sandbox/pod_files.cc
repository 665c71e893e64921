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

constexpr mode_t kMode = 0644;

std::string NodeHostname() {
  std::array<char, 256> name = {};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

}  // namespace

absl::Status ReservePodFiles(const std::string& directory) {
  for (const char* name : {"/hosts", "/hostname", "/resolv.conf"}) {
    RETURN_IF_ERROR(OverwriteFileAt(AT_FDCWD, directory + name, "", kMode));
  }
  return absl::OkStatus();
}

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
  return OverwriteFileAt(AT_FDCWD, directory + "/hosts", hosts, kMode);
}

absl::Status WritePodFiles(const std::string& directory, const PodConfig& config) {
  const bool own_name =
      config.namespaces.network == NamespaceMode::kPod && !config.namespaces.hostname.empty();
  RETURN_IF_ERROR(OverwriteFileAt(
      AT_FDCWD, directory + "/hostname",
      absl::StrCat(own_name ? config.namespaces.hostname : NodeHostname(), "\n"), kMode));
  std::string resolv;
  if (config.dns.has_value()) {
    resolv = ResolvConf(*config.dns);
  } else if (absl::StatusOr<std::string> node = ReadFileAt(AT_FDCWD, "/etc/resolv.conf");
             node.ok()) {
    resolv = *std::move(node);
  }
  RETURN_IF_ERROR(OverwriteFileAt(AT_FDCWD, directory + "/resolv.conf", resolv, kMode));
  return WriteHostsFile(directory, config, {});
}

}  // namespace berth
