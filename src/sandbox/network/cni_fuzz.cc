// Configurations, results and errors of CNI plugins from bytes: the first byte chooses.
#include <cstdint>
#include <cstdlib>

#include "src/sandbox/network/cni_attachment.h"
#include "src/sandbox/network/cni_config.h"
#include "src/sandbox/network/cni_result.h"

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

void FuzzConfig(absl::string_view text) {
  const auto list = berth::ParseCniConfig(text);
  if (!list.ok()) return;
  const auto again = berth::CniConfigOf(berth::CniConfigJson(*list));
  Require(again.ok());
  Require(berth::CniConfigJson(*again) == berth::CniConfigJson(*list));
  for (const berth::CniPlugin& plugin : list->plugins) {
    Require(berth::IsCniPluginName(plugin.type));
    berth::CniInput(*list, plugin, {{"dns", 1}}, nullptr);
  }
}

void FuzzResult(absl::string_view text) {
  const auto result = berth::ParseCniResult(text, "eth0");
  if (!result.ok()) return;
  Require(berth::OrderAddresses(result->addresses, berth::AddressPreference::kIpv6).size() ==
          result->addresses.size());
}

void FuzzError(absl::string_view text) {
  const absl::Status status = berth::CniErrorOf("p", 1, text, "");
  Require(!status.ok() && status.message().size() < 8192);
}

void FuzzRecord(absl::string_view text) {
  const auto attachment =
      berth::DecodeCniAttachment({.pod_id = "a", .network = "n", .record = std::string(text)});
  if (attachment.ok()) Require(berth::DecodeCniAttachment(EncodeCniAttachment(*attachment)).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'c':
      FuzzConfig(text);
      break;
    case 'r':
      FuzzResult(text);
      break;
    case 'e':
      FuzzError(text);
      break;
    case 'j':
      FuzzRecord(text);
      break;
  }
  return 0;
}
