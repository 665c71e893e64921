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

void PutString(nlmsghdr* request, uint16_t type, absl::string_view text) {
  mnl_attr_put_strz(request, type, std::string(text).c_str());
}

void PutU32(nlmsghdr* request, uint16_t type, uint32_t value) {
  mnl_attr_put_u32(request, type, htonl(value));
}

void PutValue(nlmsghdr* request, uint16_t type, const void* data, size_t size) {
  nlattr* nest = mnl_attr_nest_start(request, type);
  mnl_attr_put(request, NFTA_DATA_VALUE, size, data);
  mnl_attr_nest_end(request, nest);
}

std::string CommentOf(const nlattr& user_data) {
  const auto* bytes = static_cast<const uint8_t*>(mnl_attr_get_payload(&user_data));
  const size_t size = mnl_attr_get_payload_len(&user_data);
  if (size < 2 || bytes[0] != kCommentType || size < 2u + bytes[1]) return "";
  const auto* text = reinterpret_cast<const char*>(bytes + 2);
  return std::string(text, strnlen(text, bytes[1]));
}

}  // namespace

void NftRule::Expression(absl::string_view name, absl::FunctionRef<void()> put_data) {
  nlattr* element = mnl_attr_nest_start(request_, NFTA_LIST_ELEM);
  PutString(request_, NFTA_EXPR_NAME, name);
  nlattr* data = mnl_attr_nest_start(request_, NFTA_EXPR_DATA);
  put_data();
  mnl_attr_nest_end(request_, data);
  mnl_attr_nest_end(request_, element);
}

void NftRule::Meta(uint32_t key) {
  Expression("meta", [&] {
    PutU32(request_, NFTA_META_DREG, NFT_REG_1);
    PutU32(request_, NFTA_META_KEY, key);
  });
}

void NftRule::Compare(uint32_t operation, const void* data, size_t size) {
  Expression("cmp", [&] {
    PutU32(request_, NFTA_CMP_SREG, NFT_REG_1);
    PutU32(request_, NFTA_CMP_OP, operation);
    PutValue(request_, NFTA_CMP_DATA, data, size);
  });
}

NftRule& NftRule::MatchSource(const IpPrefix& source) {
  const bool ipv4 = source.address.family == AF_INET;
  const uint8_t protocol = ipv4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
  const IpAddress mask = source.Mask(), network = source.Network(), zero = {};
  const size_t size = source.address.size();
  Meta(NFT_META_NFPROTO);
  Compare(NFT_CMP_EQ, &protocol, sizeof(protocol));
  Expression("payload", [&] {
    PutU32(request_, NFTA_PAYLOAD_DREG, NFT_REG_1);
    PutU32(request_, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
    PutU32(request_, NFTA_PAYLOAD_OFFSET,
           ipv4 ? 12 : 8);  // where the IP header has its source address
    PutU32(request_, NFTA_PAYLOAD_LEN, size);
  });
  Expression("bitwise", [&] {
    PutU32(request_, NFTA_BITWISE_SREG, NFT_REG_1);
    PutU32(request_, NFTA_BITWISE_DREG, NFT_REG_1);
    PutU32(request_, NFTA_BITWISE_LEN, size);
    PutValue(request_, NFTA_BITWISE_MASK, mask.bytes.data(), size);
    PutValue(request_, NFTA_BITWISE_XOR, zero.bytes.data(), size);
  });
  Compare(NFT_CMP_EQ, network.bytes.data(), size);
  return *this;
}

NftRule& NftRule::MatchOutputInterfaceNot(absl::string_view name) {
  std::array<char, IFNAMSIZ> padded = {};
  name.copy(padded.data(), padded.size() - 1);
  Meta(NFT_META_OIFNAME);
  Compare(NFT_CMP_NEQ, padded.data(), padded.size());
  return *this;
}

NftRule& NftRule::Masquerade() {
  Expression("masq", [] {});
  return *this;
}

NftTransaction::NftTransaction() {
  PutHeader(batch_.Begin(NFNL_MSG_BATCH_BEGIN, 0, "begin", "nftables transaction"), AF_UNSPEC,
            NFNL_SUBSYS_NFTABLES);
}

nlmsghdr* NftTransaction::Begin(uint16_t type, uint16_t flags, absl::string_view call,
                                absl::string_view object) {
  nlmsghdr* request = batch_.Begin(NftMessage(type), flags, call, object);
  PutHeader(request, NFPROTO_INET, 0);
  return request;
}

void NftTransaction::AddTable(absl::string_view name, absl::string_view comment) {
  nlmsghdr* request = Begin(NFT_MSG_NEWTABLE, kCreate, "create nftables table", name);
  PutString(request, NFTA_TABLE_NAME, name);
  if (comment.empty()) return;
  const absl::string_view text = comment.substr(0, kMaxComment);
  const std::string user_data = absl::StrCat(
      std::string({kCommentType, static_cast<char>(text.size() + 1)}), text, std::string(1, '\0'));
  mnl_attr_put(request, NFTA_TABLE_USERDATA, user_data.size(), user_data.data());
}

void NftTransaction::DeleteTable(absl::string_view name) {
  PutString(Begin(NFT_MSG_DELTABLE, NLM_F_ACK, "delete nftables table", name), NFTA_TABLE_NAME,
            name);
}

void NftTransaction::AddBaseChain(absl::string_view table, const NftBaseChain& chain) {
  nlmsghdr* request = Begin(NFT_MSG_NEWCHAIN, kCreate, "create nftables chain",
                            absl::StrCat(table, "/", chain.name));
  PutString(request, NFTA_CHAIN_TABLE, table);
  PutString(request, NFTA_CHAIN_NAME, chain.name);
  PutString(request, NFTA_CHAIN_TYPE, chain.type);
  nlattr* hook = mnl_attr_nest_start(request, NFTA_CHAIN_HOOK);
  PutU32(request, NFTA_HOOK_HOOKNUM, static_cast<uint32_t>(chain.hook));
  PutU32(request, NFTA_HOOK_PRIORITY, static_cast<uint32_t>(chain.priority));
  mnl_attr_nest_end(request, hook);
}

void NftTransaction::AddRule(absl::string_view table, absl::string_view chain,
                             absl::FunctionRef<void(NftRule&)> build) {
  nlmsghdr* request = Begin(NFT_MSG_NEWRULE, kCreate | NLM_F_APPEND, "create nftables rule",
                            absl::StrCat(table, "/", chain));
  PutString(request, NFTA_RULE_TABLE, table);
  PutString(request, NFTA_RULE_CHAIN, chain);
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
  PutString(request, NFTA_TABLE_NAME, table);
  std::string comment;
  RETURN_IF_ERROR(socket.Query(std::move(batch), [&](const nlmsghdr& message) {
    ForEachAttribute(message, sizeof(nfgenmsg), [&](const nlattr& attribute) {
      if (mnl_attr_get_type(&attribute) == NFTA_TABLE_USERDATA) comment = CommentOf(attribute);
    });
  }));
  return comment;
}

}  // namespace berth
