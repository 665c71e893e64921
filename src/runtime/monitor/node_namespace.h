// The modes of berth-monitor that serve the whole node rather than one pod.
#pragma once

namespace berth::monitor {

// Makes a mount namespace that holds nothing but the data directory at /data, an empty /rootfs and
// /shm, the usual device nodes in /dev, and /proc and /sys, and waits until stdin ends. Prints
// "ready\n" once it stands. Containers' mount namespaces are copies of it: a clone copies the whole
// table, so it must be short. Exit status 0, or 1 after a line on stderr.
int MakeNodeNamespace(const char* data_dir);

// Sends, over fd 3 (SOCK_SEQPACKET), a VolumeReply for each path, with the descriptor of a detached
// recursive bind of it unless it failed. What is not there is made as a directory. A path on a dead
// file system blocks this process and nobody else.
int OpenVolumes(char** paths, int count);

// Waits until stdin ends. Exit status 0.
int Park();

}  // namespace berth::monitor
