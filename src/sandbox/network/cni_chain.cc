#include "src/sandbox/network/cni_chain.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/sandbox/network/netns_pin.h"

namespace berth {
namespace {

constexpr char kHasCheck[] = "0.4.0";  // since then DEL is given the result, too

absl::StatusOr<std::string> RunFor(CniPlugins& plugins, CniCommand command, const CniPlugin& plugin,
                                   const CniAttachment& attachment, const std::string& netns,
                                   const nlohmann::json& previous,
                                   std::function<void()> meanwhile = nullptr) {
  return plugins.Run(
      plugin.type,
      {.environment = CniEnvironment(command, plugins.SearchPath(), attachment, netns),
       .input = CniInput(attachment.network, plugin, attachment.capabilities, previous),
       .meanwhile = std::move(meanwhile)});
}

nlohmann::json KnownResult(const CniAttachment& attachment) {
  return attachment.network.VersionAtLeast(kHasCheck) ? attachment.result : nlohmann::json();
}

absl::Status ForNode(CniPlugins& plugins, const CniNetworkList& network, CniCommand command,
                     const std::vector<std::string>* pod_ids,
                     const std::function<bool()>& outdated) {
  if (!network.VersionAtLeast(kCniHasStatus)) return absl::OkStatus();
  absl::Status result;
  for (const CniPlugin& plugin : network.plugins) {
    if (!plugins.Supports(plugin.type, kCniHasStatus, outdated)) continue;
    std::string input = pod_ids == nullptr ? CniInput(network, plugin, {}, {})
                                           : CniGcInput(network, plugin, *pod_ids);
    result.Update(
        plugins
            .Run(plugin.type, {.environment = CniNodeEnvironment(command, plugins.SearchPath()),
                               .input = std::move(input),
                               .outdated = outdated})
            .status());
  }
  return result;
}

}  // namespace

absl::StatusOr<CniResult> CniAdd(CniPlugins& plugins, const CniAttachment& attachment,
                                 std::function<void()> meanwhile) {
  CniResult result;
  for (const CniPlugin& plugin : attachment.network.plugins) {
    ASSIGN_OR_RETURN(const std::string output,
                     RunFor(plugins, CniCommand::kAdd, plugin, attachment, attachment.netns,
                            result.document, std::exchange(meanwhile, nullptr)));
    absl::StatusOr<CniResult> parsed = ParseCniResult(output, kCniInterface);
    if (!parsed.ok()) {
      return absl::Status(parsed.status().code(), absl::StrCat("CNI plugin ", plugin.type, ": ",
                                                               parsed.status().message()));
    }
    result = *std::move(parsed);
  }
  if (!result.addresses.empty()) return result;
  return absl::DataLossError(absl::StrCat("CNI network ", attachment.network.name,
                                          ": the result has no address for ", kCniInterface));
}

absl::Status CniDel(CniPlugins& plugins, const CniAttachment& attachment) {
  absl::Status first;
  const auto& list = attachment.network.plugins;
  for (auto plugin = list.rbegin(); plugin != list.rend(); ++plugin) {
    const std::string netns = IsNetns(attachment.netns) ? attachment.netns : "";
    const absl::Status deleted =
        RunFor(plugins, CniCommand::kDel, *plugin, attachment, netns, KnownResult(attachment))
            .status();
    if (!absl::IsNotFound(deleted)) first.Update(deleted);
  }
  return first;
}

absl::Status CniCheck(CniPlugins& plugins, const CniAttachment& attachment) {
  const CniNetworkList& network = attachment.network;
  if (!network.VersionAtLeast(kHasCheck) || network.disable_check) return absl::OkStatus();
  for (const CniPlugin& plugin : network.plugins) {
    RETURN_IF_ERROR(
        RunFor(plugins, CniCommand::kCheck, plugin, attachment, attachment.netns, attachment.result)
            .status());
  }
  return absl::OkStatus();
}

absl::Status CniStatus(CniPlugins& plugins, const CniNetworkList& network,
                       const std::function<bool()>& outdated) {
  return ForNode(plugins, network, CniCommand::kStatus, nullptr, outdated);
}

absl::Status CniGc(CniPlugins& plugins, const CniNetworkList& network,
                   const std::vector<std::string>& pod_ids, const std::function<bool()>& outdated) {
  if (network.disable_gc) return absl::OkStatus();
  return ForNode(plugins, network, CniCommand::kGc, &pod_ids, outdated);
}

}  // namespace berth
