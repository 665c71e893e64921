// One pod's attachment to a CNI network: what its plugins are told, in which form, and how it is
// kept. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "src/sandbox/network/cni_config.h"
#include "src/sandbox/network/network.h"
#include "src/store/attachments.h"

namespace berth {

inline constexpr char kCniInterface[] = "eth0";

struct CniAttachment {
  std::string pod_id, name, pod_namespace, uid;
  CniNetworkList network;       // as it was when the pod was attached
  nlohmann::json capabilities;  // everything that a capability could ask for
  std::string netns;            // path
  AttachmentState state = AttachmentState::kAdding;
  nlohmann::json result;  // of the last plugin; null before
};

enum class CniCommand { kAdd, kDel, kCheck, kStatus, kGc, kVersion };
const char* CniCommandName(CniCommand command);

// InvalidArgument: a name that cannot stand in CNI_ARGS, or an annotation that is no bandwidth.
absl::StatusOr<CniAttachment> MakeCniAttachment(const PodAttachment& pod, CniNetworkList network,
                                                std::string netns);

// The environment of a plugin. `netns` is "" where the namespace is gone; `plugin_path` is the
// search path with colons.
std::vector<std::string> CniEnvironment(CniCommand command, const std::string& plugin_path,
                                        const CniAttachment& attachment, const std::string& netns);
std::vector<std::string> CniNodeEnvironment(CniCommand command, const std::string& plugin_path);

// The standard input of a plugin. `previous` is the result so far; null for none.
std::string CniInput(const CniNetworkList& network, const CniPlugin& plugin,
                     const nlohmann::json& capabilities, const nlohmann::json& previous);
// That of GC: the pods whose attachments are alive.
std::string CniGcInput(const CniNetworkList& network, const CniPlugin& plugin,
                       const std::vector<std::string>& pod_ids);

// The row in the database (docs/formats/store.md). DataLoss for what is not such a row.
AttachmentRow EncodeCniAttachment(const CniAttachment& attachment);
absl::StatusOr<CniAttachment> DecodeCniAttachment(const AttachmentRow& row);

}  // namespace berth
