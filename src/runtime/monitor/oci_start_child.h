// The process that berth-monitor --oci starts: two plans, and between them the wait for "start".
#pragma once

#include "src/runtime/monitor/channel.h"
#include "src/runtime/monitor/plan.h"

namespace berth::monitor {

// Of a ChannelMessage: the first plan is done, and the process waits.
inline constexpr ChannelTag kOciWaiting = static_cast<ChannelTag>(100);

// The launcher's socket to berth-oci.
inline constexpr int kOciControlFd = 3;

struct OciStart {
  const Plan* prepare = nullptr;
  const Plan* execute = nullptr;
  const int* fds = nullptr;  // of both plans
  int fd_count = 0;
  int channel = -1;
  int container = -1;
  int start = -1, result = -1;  // fifos; -1: goes on without a wait
  bool new_keyring = false;
};

[[noreturn]] void RunOciChild(const OciStart& request);

}  // namespace berth::monitor
