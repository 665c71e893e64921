// Amounts as people write and read them: sizes, memory limits, CPUs, percentages.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::cli {

// Powers of 1000, three digits: "0B", "999B", "1.23MB", "12.3GB". For images and transfers.
std::string FormatSize(uint64_t bytes);

// Powers of 1024: "64MiB", "1.5GiB". For memory.
std::string FormatMemory(uint64_t bytes);

// "64m", "1.5g", "512k", "1048576", "64MiB": units are powers of 1024 with and without "i" and "b".
// InvalidArgument for anything else, for zero and for more than 2^62 bytes.
absl::StatusOr<int64_t> ParseMemory(absl::string_view text);

// "0.5" as the CPU time in microseconds of every kCpuPeriodMicros. InvalidArgument below 0.01 CPU,
// which is the least the kernel takes (a quota of 1 ms), and above 8192.
inline constexpr int64_t kCpuPeriodMicros = 100000;
absl::StatusOr<int64_t> ParseCpuQuota(absl::string_view text);

}  // namespace berth::cli
