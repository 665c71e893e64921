// What is in a file.
#pragma once

#include <filesystem>
#include <string>

namespace berth::e2e {

// "" where it cannot be read: one of a process or a cgroup may go at any moment (ESRCH, ENODEV).
std::string ContentOf(const std::filesystem::path& path);

}  // namespace berth::e2e
