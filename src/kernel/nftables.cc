#include "src/kernel/nftables.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/nft_attributes.h"

namespace berth {
namespace {

constexpr uint16_t kCreate = NLM_F_ACK | NLM_F_CREATE;
// The first entry of a table's user data as nft(8) writes it: type, length, text with its NUL.
constexpr uint8_t kCommentType = 0;
constexpr size_t kMaxComment = 250;

static_assert(static_cast<uint32_t>(NftHook::kPostrouting) == NF_INET_POST_ROUTING);

uint16_t NftMessage(uint16_t type) { return NFNL_SUBSYS_NFTABLES << 8 | type; }

void PutHeader(nlmsghdr* request, uint8_t family, uint16_t resource) {
  auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(nfgenmsg)));
  header->nfgen_family = family;
  header->version = NFNETLINK_V0;
  header->res_id = htons(resource);
}

// nft(8)'s numbers for what a key or a value is made of, six bits each; for its listings only.
constexpr uint32_t kTypeBits = 6, kTypeIpv4 = 7, kTypeIpv6 = 8, kTypeProtocol = 12, kTypePort = 13;

uint32_t AddressType(int family) { return family == AF_INET ? kTypeIpv4 : kTypeIpv6; }
size_t AddressSize(int family) { return family == AF_INET ? 4 : 16; }

uint32_t KeyType(const NftDestinationMap& map) {
  constexpr uint32_t kPorts = kTypeProtocol << kTypeBits | kTypePort;
  return map.has_address ? AddressType(map.family) << 2 * kTypeBits | kPorts : kPorts;
}

// The parts of a key or a value: each begins at a multiple of four bytes.
class Concatenation {
 public:
  void Add(const void* data, size_t size) {
    std::memcpy(bytes_.data() + size_, data, size);
    size_ += (size + 3) & ~size_t{3};
  }
  const void* data() const { return bytes_.data(); }
  size_t size() const { return size_; }

 private:
  std::array<uint8_t, 32> bytes_ = {};
  size_t size_ = 0;
};

Concatenation KeyOf(const NftDestinationMap& map, const NftDestination& element) {
  Concatenation key;
  const uint16_t port = htons(element.port);
  if (map.has_address) key.Add(element.address.bytes.data(), AddressSize(map.family));
  key.Add(&element.protocol, sizeof(element.protocol));
  key.Add(&port, sizeof(port));
  return key;
}

Concatenation ValueOf(const NftDestinationMap& map, const NftDestination& element) {
  Concatenation value;
  const uint16_t port = htons(element.to_port);
  value.Add(element.to.bytes.data(), AddressSize(map.family));
  value.Add(&port, sizeof(port));
  return value;
}

std::string CommentOf(const nlattr& user_data) {
  const auto* bytes = static_cast<const uint8_t*>(mnl_attr_get_payload(&user_data));
  const size_t size = mnl_attr_get_payload_len(&user_data);
  if (size < 2 || bytes[0] != kCommentType || size < 2u + bytes[1]) return "";
  const auto* text = reinterpret_cast<const char*>(bytes + 2);
  return std::string(text, strnlen(text, bytes[1]));
}

}  // namespace

NftTransaction::NftTransaction(NftFamily family) : family_(family) {
  PutHeader(batch_.Begin(NFNL_MSG_BATCH_BEGIN, 0, "begin", "nftables transaction"), AF_UNSPEC,
            NFNL_SUBSYS_NFTABLES);
}

nlmsghdr* NftTransaction::Begin(uint16_t type, uint16_t flags, absl::string_view call,
                                absl::string_view object) {
  nlmsghdr* request = batch_.Begin(NftMessage(type), flags, call, object);
  PutHeader(request, family_ == NftFamily::kBridge ? NFPROTO_BRIDGE : NFPROTO_INET, 0);
  return request;
}

void NftTransaction::AddTable(absl::string_view name, absl::string_view comment) {
  nlmsghdr* request = Begin(NFT_MSG_NEWTABLE, kCreate, "create nftables table", name);
  PutNftString(request, NFTA_TABLE_NAME, name);
  if (comment.empty()) return;
  const absl::string_view text = comment.substr(0, kMaxComment);
  const std::string user_data = absl::StrCat(
      std::string({kCommentType, static_cast<char>(text.size() + 1)}), text, std::string(1, '\0'));
  mnl_attr_put(request, NFTA_TABLE_USERDATA, user_data.size(), user_data.data());
}

void NftTransaction::DeleteTable(absl::string_view name) {
  PutNftString(Begin(NFT_MSG_DELTABLE, NLM_F_ACK, "delete nftables table", name), NFTA_TABLE_NAME,
               name);
}

void NftTransaction::AddBaseChain(absl::string_view table, const NftBaseChain& chain) {
  nlmsghdr* request = Begin(NFT_MSG_NEWCHAIN, kCreate, "create nftables chain",
                            absl::StrCat(table, "/", chain.name));
  PutNftString(request, NFTA_CHAIN_TABLE, table);
  PutNftString(request, NFTA_CHAIN_NAME, chain.name);
  PutNftString(request, NFTA_CHAIN_TYPE, chain.type);
  nlattr* hook = mnl_attr_nest_start(request, NFTA_CHAIN_HOOK);
  PutNftU32(request, NFTA_HOOK_HOOKNUM, static_cast<uint32_t>(chain.hook));
  PutNftU32(request, NFTA_HOOK_PRIORITY, static_cast<uint32_t>(chain.priority));
  mnl_attr_nest_end(request, hook);
}

void NftTransaction::AddChain(absl::string_view table, absl::string_view chain) {
  nlmsghdr* request =
      Begin(NFT_MSG_NEWCHAIN, kCreate, "create nftables chain", absl::StrCat(table, "/", chain));
  PutNftString(request, NFTA_CHAIN_TABLE, table);
  PutNftString(request, NFTA_CHAIN_NAME, chain);
}

void NftTransaction::AddMap(absl::string_view table, const NftDestinationMap& map) {
  nlmsghdr* request =
      Begin(NFT_MSG_NEWSET, kCreate, "create nftables map", absl::StrCat(table, "/", map.name));
  PutNftString(request, NFTA_SET_TABLE, table);
  PutNftString(request, NFTA_SET_NAME, map.name);
  PutNftU32(request, NFTA_SET_ID, ++maps_);
  PutNftU32(request, NFTA_SET_FLAGS, NFT_SET_MAP);
  PutNftU32(request, NFTA_SET_KEY_TYPE, KeyType(map));
  PutNftU32(request, NFTA_SET_KEY_LEN, KeyOf(map, {}).size());
  PutNftU32(request, NFTA_SET_DATA_TYPE, AddressType(map.family) << kTypeBits | kTypePort);
  PutNftU32(request, NFTA_SET_DATA_LEN, ValueOf(map, {}).size());
}

void NftTransaction::PutElement(nlmsghdr* request, absl::string_view table,
                                const NftDestinationMap& map, const NftDestination& element,
                                bool with_value) {
  const Concatenation key = KeyOf(map, element), value = ValueOf(map, element);
  PutNftString(request, NFTA_SET_ELEM_LIST_TABLE, table);
  PutNftString(request, NFTA_SET_ELEM_LIST_SET, map.name);
  nlattr* list = mnl_attr_nest_start(request, NFTA_SET_ELEM_LIST_ELEMENTS);
  nlattr* entry = mnl_attr_nest_start(request, NFTA_LIST_ELEM);
  PutNftValue(request, NFTA_SET_ELEM_KEY, key.data(), key.size());
  if (with_value) PutNftValue(request, NFTA_SET_ELEM_DATA, value.data(), value.size());
  mnl_attr_nest_end(request, entry);
  mnl_attr_nest_end(request, list);
}

void NftTransaction::AddElement(absl::string_view table, const NftDestinationMap& map,
                                const NftDestination& element) {
  PutElement(Begin(NFT_MSG_NEWSETELEM, kCreate, "add nftables element",
                   absl::StrCat(table, "/", map.name, " port ", element.port)),
             table, map, element, /*with_value=*/true);
}

void NftTransaction::DeleteElement(absl::string_view table, const NftDestinationMap& map,
                                   const NftDestination& element) {
  PutElement(Begin(NFT_MSG_DELSETELEM, NLM_F_ACK, "delete nftables element",
                   absl::StrCat(table, "/", map.name, " port ", element.port)),
             table, map, element, /*with_value=*/false);
}

void NftTransaction::AddRule(absl::string_view table, absl::string_view chain,
                             absl::FunctionRef<void(NftRule&)> build) {
  nlmsghdr* request = Begin(NFT_MSG_NEWRULE, kCreate | NLM_F_APPEND, "create nftables rule",
                            absl::StrCat(table, "/", chain));
  PutNftString(request, NFTA_RULE_TABLE, table);
  PutNftString(request, NFTA_RULE_CHAIN, chain);
  nlattr* expressions = mnl_attr_nest_start(request, NFTA_RULE_EXPRESSIONS);
  NftRule rule(request);
  build(rule);
  mnl_attr_nest_end(request, expressions);
}

absl::Status NftTransaction::Commit(NetlinkSocket& socket) && {
  PutHeader(batch_.Begin(NFNL_MSG_BATCH_END, 0, "end", "nftables transaction"), AF_UNSPEC,
            NFNL_SUBSYS_NFTABLES);
  return socket.Run(std::move(batch_));
}

absl::StatusOr<std::string> GetNftTableComment(NetlinkSocket& socket, absl::string_view table) {
  NetlinkBatch batch;
  nlmsghdr* request =
      batch.Begin(NftMessage(NFT_MSG_GETTABLE), NLM_F_ACK, "get nftables table", table);
  PutHeader(request, NFPROTO_INET, 0);
  PutNftString(request, NFTA_TABLE_NAME, table);
  std::string comment;
  RETURN_IF_ERROR(socket.Query(std::move(batch), [&](const nlmsghdr& message) {
    ForEachAttribute(message, sizeof(nfgenmsg), [&](const nlattr& attribute) {
      if (mnl_attr_get_type(&attribute) == NFTA_TABLE_USERDATA) comment = CommentOf(attribute);
    });
  }));
  return comment;
}

}  // namespace berth
