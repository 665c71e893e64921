#include "hack/benchmarks/cni_chain.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "absl/strings/str_cat.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"

namespace berth::bench {
namespace {

using Json = nlohmann::json;

absl::StatusOr<UniqueFd> MemoryFile(const std::string& content) {
  UniqueFd fd(::memfd_create("cni", MFD_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus("memfd_create", "cni");
  if (::write(fd.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()) ||
      ::lseek(fd.get(), 0, SEEK_SET) != 0) {
    return ErrnoStatus("write", "cni");
  }
  return fd;
}

// Runs one plugin; its output.
absl::StatusOr<std::string> Run(const CniChain& chain, const CniChain::Attachment& attachment,
                                const std::string& command, const Json& config) {
  const std::string plugin = config["type"];
  ASSIGN_OR_RETURN(const UniqueFd in, MemoryFile(config.dump()));
  ASSIGN_OR_RETURN(const UniqueFd out, MemoryFile(""));
  const std::string netns = absl::StrCat("/proc/", getpid(), "/fd/", attachment.netns.get());
  ASSIGN_OR_RETURN(
      const SpawnedProcess process,
      Spawn({.path = absl::StrCat(chain.plugins, "/", plugin),
             .argv = {plugin},
             .env = {"CNI_COMMAND=" + command, "CNI_CONTAINERID=" + attachment.id,
                     "CNI_NETNS=" + netns, "CNI_IFNAME=eth0", "CNI_PATH=" + chain.plugins,
                     "PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
             .fds = {in.get(), out.get(), STDERR_FILENO}}));
  siginfo_t end = {};
  while (::waitid(P_PIDFD, static_cast<id_t>(process.pidfd.get()), &end, WEXITED) != 0) {
    if (errno != EINTR) return ErrnoStatus("waitid", plugin);
  }
  if (::lseek(out.get(), 0, SEEK_SET) != 0) return ErrnoStatus("lseek", "cni");
  ASSIGN_OR_RETURN(std::string output, ReadFd(out.get(), 1 << 20, plugin));
  if (end.si_code == CLD_EXITED && end.si_status == 0) return output;
  return absl::InternalError(absl::StrCat("cni ", plugin, " ", command, ": ", output));
}

Json BridgeConfig(const CniChain& chain) {
  return {{"cniVersion", "0.4.0"},
          {"name", "bench"},
          {"type", "bridge"},
          {"bridge", "benchcni"},
          {"isGateway", true},
          {"ipMasq", true},
          {"ipam",
           {{"type", "host-local"},
            {"dataDir", chain.scratch},
            {"routes", Json::array({{{"dst", "0.0.0.0/0"}}})},
            {"ranges", Json::array({Json::array({{{"subnet", "10.249.0.0/16"}}})})}}}};
}

Json PortmapConfig(const CniChain::Attachment& attachment) {
  Json config = {{"cniVersion", "0.4.0"},
                 {"name", "bench"},
                 {"type", "portmap"},
                 {"capabilities", {{"portMappings", true}}},
                 {"prevResult", attachment.result}};
  if (attachment.host_port != 0) {
    config["runtimeConfig"]["portMappings"] = Json::array(
        {{{"hostPort", attachment.host_port}, {"containerPort", 80}, {"protocol", "tcp"}}});
  }
  return config;
}

}  // namespace

absl::StatusOr<CniChain::Attachment> NewAttachment(int host_port) {
  CniChain::Attachment attachment = {.id = NewId(), .host_port = host_port};
  absl::Status made;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) != 0) {
      made = ErrnoStatus("unshare", "network namespace");
      return;
    }
    attachment.netns.reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  RETURN_IF_ERROR(made);
  return attachment;
}

absl::Status CniChain::Add(Attachment& attachment) const {
  ASSIGN_OR_RETURN(const std::string output, Run(*this, attachment, "ADD", BridgeConfig(*this)));
  attachment.result = Json::parse(output, nullptr, /*allow_exceptions=*/false);
  return Run(*this, attachment, "ADD", PortmapConfig(attachment)).status();
}

absl::Status CniChain::Delete(const Attachment& attachment) const {
  RETURN_IF_ERROR(Run(*this, attachment, "DEL", PortmapConfig(attachment)).status());
  return Run(*this, attachment, "DEL", BridgeConfig(*this)).status();
}

}  // namespace berth::bench
