#include "src/kernel/conntrack.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#include <cstring>
#include <string>
#include <utility>

#include "src/base/status_macros.h"

namespace berth {
namespace {

// Bits of CTA_FILTER_*_FLAGS: which parts of a tuple count (nf_conntrack_netlink.c; Linux 5.8). An
// older kernel sends all connections of the family.
constexpr uint32_t kSourceAddress = 1 << 0, kProtocol = 1 << 3, kDestinationPort = 1 << 5;

struct Tuple {
  IpAddress source;
  uint8_t protocol = 0;
  uint16_t destination_port = 0;
};

struct Connection {
  Tuple original, reply;
  std::string original_tuple;  // the attribute's payload, which names the connection
};

nlmsghdr* Begin(NetlinkBatch& batch, uint16_t type, uint16_t flags, int family) {
  nlmsghdr* request =
      batch.Begin(NFNL_SUBSYS_CTNETLINK << 8 | type, flags, "change", "tracked connections");
  auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(nfgenmsg)));
  header->nfgen_family = static_cast<uint8_t>(family);
  header->version = NFNETLINK_V0;
  return request;
}

uint16_t PortOf(const nlattr& attribute) {
  return mnl_attr_get_payload_len(&attribute) == sizeof(uint16_t)
             ? ntohs(mnl_attr_get_u16(&attribute))
             : uint16_t{0};
}

Tuple ReadTuple(const nlattr& nest, int family) {
  Tuple tuple{.source = {.family = family}};
  ForEachNested(nest, [&](const nlattr& part) {
    ForEachNested(part, [&](const nlattr& field) {
      const bool address = mnl_attr_get_type(&part) == CTA_TUPLE_IP;
      const uint16_t type = mnl_attr_get_type(&field);
      if (address && type == (family == AF_INET ? CTA_IP_V4_SRC : CTA_IP_V6_SRC) &&
          mnl_attr_get_payload_len(&field) == tuple.source.size()) {
        std::memcpy(tuple.source.bytes.data(), mnl_attr_get_payload(&field), tuple.source.size());
      }
      if (address) return;
      if (type == CTA_PROTO_NUM) tuple.protocol = mnl_attr_get_u8(&field);
      if (type == CTA_PROTO_DST_PORT) tuple.destination_port = PortOf(field);
    });
  });
  return tuple;
}

Connection ReadConnection(const nlmsghdr& message, int family) {
  Connection connection;
  ForEachAttribute(message, sizeof(nfgenmsg), [&](const nlattr& attribute) {
    switch (mnl_attr_get_type(&attribute)) {
      case CTA_TUPLE_ORIG:
        connection.original = ReadTuple(attribute, family);
        connection.original_tuple.assign(static_cast<const char*>(mnl_attr_get_payload(&attribute)),
                                         mnl_attr_get_payload_len(&attribute));
        break;
      case CTA_TUPLE_REPLY:
        connection.reply = ReadTuple(attribute, family);
        break;
    }
  });
  return connection;
}

bool Matches(const ConntrackFilter& filter, const Connection& connection) {
  return (filter.protocol == 0 || filter.protocol == connection.original.protocol) &&
         (filter.port == 0 || filter.port == connection.original.destination_port) &&
         (filter.answers_come_from.family == 0 ||
          filter.answers_come_from == connection.reply.source);
}

void PutProtocol(nlmsghdr* request, const ConntrackFilter& filter) {
  nlattr* protocol = mnl_attr_nest_start(request, CTA_TUPLE_PROTO);
  if (filter.protocol != 0) mnl_attr_put_u8(request, CTA_PROTO_NUM, filter.protocol);
  if (filter.port != 0) mnl_attr_put_u16(request, CTA_PROTO_DST_PORT, htons(filter.port));
  mnl_attr_nest_end(request, protocol);
}

// What the kernel leaves out already; Matches looks again.
void PutFilter(nlmsghdr* request, const ConntrackFilter& filter) {
  uint32_t original_flags = 0, reply_flags = 0;
  if (filter.protocol != 0) {
    original_flags |= kProtocol;
    if (filter.port != 0) original_flags |= kDestinationPort;
    nlattr* tuple = mnl_attr_nest_start(request, CTA_TUPLE_ORIG);
    PutProtocol(request, filter);
    mnl_attr_nest_end(request, tuple);
  }
  if (const IpAddress& source = filter.answers_come_from; source.family != 0) {
    reply_flags |= kSourceAddress;
    nlattr* tuple = mnl_attr_nest_start(request, CTA_TUPLE_REPLY);
    nlattr* address = mnl_attr_nest_start(request, CTA_TUPLE_IP);
    mnl_attr_put(request, source.family == AF_INET ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, source.size(),
                 source.bytes.data());
    mnl_attr_nest_end(request, address);
    mnl_attr_nest_end(request, tuple);
  }
  nlattr* flags = mnl_attr_nest_start(request, CTA_FILTER);
  mnl_attr_put_u32(request, CTA_FILTER_ORIG_FLAGS, original_flags);
  mnl_attr_put_u32(request, CTA_FILTER_REPLY_FLAGS, reply_flags);
  mnl_attr_nest_end(request, flags);
}

}  // namespace

absl::Status DeleteConntrack(NetlinkSocket& netfilter, const ConntrackFilter& filter) {
  NetlinkBatch dump;
  PutFilter(Begin(dump, IPCTNL_MSG_CT_GET, NLM_F_DUMP, filter.family), filter);
  std::vector<std::string> found;
  RETURN_IF_ERROR(netfilter.Query(std::move(dump), [&](const nlmsghdr& message) {
    Connection connection = ReadConnection(message, filter.family);
    if (Matches(filter, connection)) found.push_back(std::move(connection.original_tuple));
  }));
  for (const std::string& tuple : found) {
    NetlinkBatch batch;
    nlmsghdr* request = Begin(batch, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, filter.family);
    mnl_attr_put(request, NLA_F_NESTED | CTA_TUPLE_ORIG, tuple.size(), tuple.data());
    const absl::Status deleted = netfilter.Run(std::move(batch));
    if (!deleted.ok() && !absl::IsNotFound(deleted)) return deleted;
  }
  return absl::OkStatus();
}

}  // namespace berth
