#include "src/kernel/process_facts.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace berth {
namespace {

void CountDescriptors(pid_t pid, size_t* left, ProcessFacts* facts) {
  const std::string path = absl::StrCat("/proc/", pid, "/fd");
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = *left > 0 ? ::readdir(directory) : nullptr) {
    if (entry->d_name[0] == '.') continue;
    --*left;
    ++facts->open_files;
    char target[16];
    const ssize_t length = ::readlinkat(::dirfd(directory), entry->d_name, target, sizeof(target));
    if (length > 0 &&
        absl::StartsWith(absl::string_view(target, static_cast<size_t>(length)), "socket:["))
      ++facts->sockets;
  }
  ::closedir(directory);
}

}  // namespace

ProcessFacts ReadProcessFacts(const std::vector<pid_t>& pids, size_t max_descriptors) {
  ProcessFacts facts;
  facts.processes = pids.size();
  for (const pid_t pid : pids) CountDescriptors(pid, &max_descriptors, &facts);
  rlimit limit;
  if (!pids.empty() && ::prlimit(pids[0], RLIMIT_NOFILE, nullptr, &limit) == 0 &&
      limit.rlim_cur != RLIM_INFINITY)
    facts.open_files_limit = limit.rlim_cur;
  return facts;
}

}  // namespace berth
