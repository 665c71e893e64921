// Notices when somebody else changes the network's nftables table: `nft flush ruleset`, which
// firewall services do when they reload, takes away masquerade, host ports and what keeps pods off
// the host's loopback. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"
#include "src/kernel/netlink_events.h"

namespace berth {

class TableWatch {
 public:
  // Calls `changed`, on a thread of its own, after changes of the table that another socket than
  // the one with number `own_port` made; a tenth of a second apart at least.
  static absl::StatusOr<std::unique_ptr<TableWatch>> Start(std::string table, uint32_t own_port,
                                                           std::function<void()> changed);
  TableWatch(const TableWatch&) = delete;
  TableWatch& operator=(const TableWatch&) = delete;
  ~TableWatch();

 private:
  TableWatch(std::string table, uint32_t own_port, std::function<void()> changed,
             NetlinkEvents events, UniqueFd stop);
  void Loop();
  // True: `stop_` is set.
  bool Wait(int timeout_ms, bool for_events) const;

  const std::string table_;
  const uint32_t own_port_;
  const std::function<void()> changed_;
  NetlinkEvents events_;
  UniqueFd stop_;  // an eventfd
  std::thread thread_;
};

}  // namespace berth
