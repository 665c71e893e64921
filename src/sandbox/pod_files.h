// The files that a pod's containers see at /etc/hosts, /etc/hostname and /etc/resolv.conf.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "src/sandbox/pod_config.h"

namespace berth {

std::string ResolvConf(const DnsConfig& dns);

// Makes the three, empty, in `directory`.
absl::Status ReservePodFiles(const std::string& directory);

// `directory` exists. Written in place: containers have the inodes bind-mounted (the hosts file is
// completed once the pod's addresses are known).
absl::Status WritePodFiles(const std::string& directory, const PodConfig& config);
absl::Status WriteHostsFile(const std::string& directory, const PodConfig& config,
                            const std::vector<std::string>& ips);

}  // namespace berth
