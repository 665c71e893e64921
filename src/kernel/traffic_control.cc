#include "src/kernel/traffic_control.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"

namespace berth {
namespace {

constexpr uint16_t kCreate = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
constexpr uint32_t kFirstHandle = 1 << 16;  // "1:" as tc(8) writes it
constexpr uint32_t kIngressHandle = 0xffff0000;

tcmsg* Begin(NetlinkBatch& batch, nlmsghdr** request, uint16_t type, int index,
             absl::string_view kind) {
  *request =
      batch.Begin(type, kCreate, absl::StrCat("add ", kind), absl::StrCat("to interface ", index));
  auto* message = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(*request, sizeof(tcmsg)));
  message->tcm_family = AF_UNSPEC;
  message->tcm_ifindex = index;
  mnl_attr_put_strz(*request, TCA_KIND, std::string(kind).c_str());
  return message;
}

}  // namespace

void AddTokenBucket(NetlinkBatch& batch, int index, const TokenBucket& bucket) {
  nlmsghdr* request;
  tcmsg* message = Begin(batch, &request, RTM_NEWQDISC, index, "tbf");
  message->tcm_parent = TC_H_ROOT;
  message->tcm_handle = kFirstHandle;
  tc_tbf_qopt options = {};
  // The 64-bit rate counts; this one says that it does where it does not fit.
  options.rate.rate =
      static_cast<uint32_t>(std::min<uint64_t>(bucket.bytes_per_second, UINT32_MAX));
  options.rate.linklayer = TC_LINKLAYER_ETHERNET;
  options.limit = bucket.queue_bytes;
  nlattr* nest = mnl_attr_nest_start(request, TCA_OPTIONS);
  mnl_attr_put(request, TCA_TBF_PARMS, sizeof(options), &options);
  mnl_attr_put_u32(request, TCA_TBF_BURST, bucket.burst_bytes);
  mnl_attr_put_u64(request, TCA_TBF_RATE64, bucket.bytes_per_second);
  mnl_attr_nest_end(request, nest);
}

void RedirectIncoming(NetlinkBatch& batch, int index, int through) {
  nlmsghdr* request;
  tcmsg* message = Begin(batch, &request, RTM_NEWQDISC, index, "ingress");
  message->tcm_parent = TC_H_INGRESS;
  message->tcm_handle = kIngressHandle;

  message = Begin(batch, &request, RTM_NEWTFILTER, index, "u32");
  message->tcm_parent = kIngressHandle;
  message->tcm_info = TC_H_MAKE(1 << 16, htons(ETH_P_ALL));  // priority 1
  // With one key, of which no bit counts: every packet.
  std::array<char, sizeof(tc_u32_sel) + sizeof(tc_u32_key)> match = {};
  const tc_u32_sel selector = {.flags = TC_U32_TERMINAL, .nkeys = 1};
  std::memcpy(match.data(), &selector, sizeof(selector));
  const tc_mirred mirred = {.action = TC_ACT_STOLEN,
                            .eaction = TCA_EGRESS_REDIR,
                            .ifindex = static_cast<uint32_t>(through)};
  nlattr* options = mnl_attr_nest_start(request, TCA_OPTIONS);
  mnl_attr_put(request, TCA_U32_SEL, match.size(), match.data());
  nlattr* actions = mnl_attr_nest_start(request, TCA_U32_ACT);
  nlattr* first = mnl_attr_nest_start(request, 1);
  mnl_attr_put_strz(request, TCA_ACT_KIND, "mirred");
  nlattr* action_options = mnl_attr_nest_start(request, TCA_ACT_OPTIONS);
  mnl_attr_put(request, TCA_MIRRED_PARMS, sizeof(mirred), &mirred);
  mnl_attr_nest_end(request, action_options);
  mnl_attr_nest_end(request, first);
  mnl_attr_nest_end(request, actions);
  mnl_attr_nest_end(request, options);
}

}  // namespace berth
