// The mode of berth-monitor that looks at device nodes of the host for berthd.
#pragma once

namespace berth::monitor {

// Sends, over fd 3 (SOCK_SEQPACKET), the DeviceRecord of every device that each path stands for,
// each path ended by one of kind kEnd. Directories are walked without following links. A path on a
// dead file system blocks this process and nobody else.
int DescribeDevices(char** paths, int count);

}  // namespace berth::monitor
