#include "hack/benchmarks/process_table.h"

#include <dirent.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace berth::bench {
namespace {

std::string ProcFile(pid_t pid, absl::string_view name) {
  return absl::StrCat("/proc/", pid, "/", name);
}

std::set<pid_t> AllProcesses() {
  std::set<pid_t> pids;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  if (proc == nullptr) return pids;
  while (const dirent* entry = ::readdir(proc.get())) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(entry->d_name, &pid)) pids.insert(pid);
  }
  return pids;
}

std::set<pid_t> Ancestors(pid_t pid) {
  std::set<pid_t> ancestors;
  while (pid > 1 && ancestors.insert(pid).second) pid = ParentOf(pid);
  return ancestors;
}

}  // namespace

std::string ReadText(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();  // catches what the buffer throws when a process goes while it is read
  return text.str();
}

int64_t KilobytesOf(absl::string_view text, absl::string_view key) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::ConsumePrefix(&line, key) || !absl::ConsumePrefix(&line, ":")) continue;
    if (!absl::ConsumeSuffix(&line, " kB")) continue;
    int64_t value = 0;
    if (absl::SimpleAtoi(absl::StripAsciiWhitespace(line), &value)) return value;
  }
  return 0;
}

int64_t PssKib(pid_t pid) { return KilobytesOf(ReadText(ProcFile(pid, "smaps_rollup")), "Pss"); }

int64_t RssKib(pid_t pid) { return KilobytesOf(ReadText(ProcFile(pid, "status")), "VmRSS"); }

absl::Duration CpuTimeOf(pid_t pid) {
  const std::string text = ReadText(ProcFile(pid, "stat"));
  const size_t name_end = text.rfind(')');  // the name in parentheses may hold anything
  if (name_end == std::string::npos) return absl::ZeroDuration();
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(text).substr(name_end + 1), ' ', absl::SkipEmpty());
  constexpr size_t kUser = 11, kSystem = 12;  // fields 14 and 15 of proc_pid_stat(5)
  int64_t user = 0, system = 0;
  if (fields.size() <= kSystem || !absl::SimpleAtoi(fields[kUser], &user) ||
      !absl::SimpleAtoi(fields[kSystem], &system))
    return absl::ZeroDuration();
  return absl::Seconds(user + system) / ::sysconf(_SC_CLK_TCK);
}

std::string CommandOf(pid_t pid) {
  return std::string(absl::StripTrailingAsciiWhitespace(ReadText(ProcFile(pid, "comm"))));
}

pid_t ParentOf(pid_t pid) {
  for (absl::string_view line : absl::StrSplit(ReadText(ProcFile(pid, "status")), '\n')) {
    pid_t parent = 0;
    if (absl::ConsumePrefix(&line, "PPid:") && absl::SimpleAtoi(line, &parent)) return parent;
  }
  return 0;
}

bool NamesCgroup(absl::string_view proc_cgroup, absl::string_view cgroup) {
  for (const absl::string_view line : absl::StrSplit(proc_cgroup, '\n')) {
    const std::pair<absl::string_view, absl::string_view> numbered =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    const std::pair<absl::string_view, absl::string_view> named =
        absl::StrSplit(numbered.second, absl::MaxSplits(':', 1));
    absl::string_view path = named.second;
    if (absl::ConsumePrefix(&path, cgroup) && (path.empty() || path[0] == '/')) return true;
  }
  return false;
}

bool InCgroup(pid_t pid, const std::string& cgroup) {
  return NamesCgroup(ReadText(ProcFile(pid, "cgroup")), cgroup);
}

std::set<pid_t> ProcessesIn(const std::string& cgroup) {
  std::set<pid_t> found;
  for (const pid_t pid : AllProcesses()) {
    if (InCgroup(pid, cgroup)) found.insert(pid);
  }
  return found;
}

std::set<pid_t> WithMonitors(const std::set<pid_t>& pids, pid_t daemon) {
  const std::set<pid_t> own = Ancestors(::getpid());
  std::set<pid_t> all;
  for (const pid_t pid : pids) {
    for (const pid_t ancestor : Ancestors(pid)) {
      if (ancestor != daemon && own.count(ancestor) == 0) all.insert(ancestor);
    }
  }
  return all;
}

}  // namespace berth::bench
