#include "src/sandbox/network/table_watch.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/kernel/netlink.h"

namespace berth {
namespace {

constexpr int kPauseMilliseconds = 100;

// Of all kinds of changes of a table the first attribute is its name (enum nft_*_attributes).
static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 &&
              NFTA_SET_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1);

bool IsChangeOf(const nlmsghdr& message, absl::string_view table) {
  if (NFNL_SUBSYS_ID(message.nlmsg_type) != NFNL_SUBSYS_NFTABLES ||
      NFNL_MSG_TYPE(message.nlmsg_type) == NFT_MSG_NEWGEN) {
    return false;
  }
  bool found = false;
  ForEachAttribute(message, sizeof(nfgenmsg), [&](const nlattr& attribute) {
    if (mnl_attr_get_type(&attribute) != NFTA_TABLE_NAME ||
        mnl_attr_validate(&attribute, MNL_TYPE_NUL_STRING) != 0)
      return;
    found = table == mnl_attr_get_str(&attribute);
  });
  return found;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TableWatch>> TableWatch::Start(std::string table, uint32_t own_port,
                                                              std::function<void()> changed) {
  ASSIGN_OR_RETURN(NetlinkEvents events, NetlinkEvents::Open(NETLINK_NETFILTER, NFNLGRP_NFTABLES));
  UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
  if (!stop.valid()) return ErrnoStatus("make", "eventfd");
  return std::unique_ptr<TableWatch>(new TableWatch(std::move(table), own_port, std::move(changed),
                                                    std::move(events), std::move(stop)));
}

TableWatch::TableWatch(std::string table, uint32_t own_port, std::function<void()> changed,
                       NetlinkEvents events, UniqueFd stop)
    : table_(std::move(table)),
      own_port_(own_port),
      changed_(std::move(changed)),
      events_(std::move(events)),
      stop_(std::move(stop)),
      thread_([this] { Loop(); }) {}

TableWatch::~TableWatch() {
  const uint64_t one = 1;
  while (::write(stop_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
  }
  thread_.join();
}

bool TableWatch::Wait(int timeout_ms, bool for_events) const {
  pollfd fds[2] = {{.fd = stop_.get(), .events = POLLIN, .revents = 0},
                   {.fd = for_events ? events_.fd() : -1, .events = POLLIN, .revents = 0}};
  ::poll(fds, 2, timeout_ms);
  return fds[0].revents != 0;
}

void TableWatch::Loop() {
  while (!Wait(-1, /*for_events=*/true)) {
    bool theirs = false;
    const bool complete = events_.Drain([&](const nlmsghdr& message) {
      theirs |= message.nlmsg_pid != own_port_ && IsChangeOf(message, table_);
    });
    if (complete && !theirs) continue;
    changed_();
    if (Wait(kPauseMilliseconds, /*for_events=*/false)) return;
  }
}

}  // namespace berth
