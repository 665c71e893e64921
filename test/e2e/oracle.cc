#include "test/e2e/oracle.h"

#include <linux/magic.h>
#include <net/if.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <regex>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kPollInterval = absl::Milliseconds(10);

std::string LinkTarget(const fs::path& path) {
  std::error_code error;
  const fs::path target = fs::read_symlink(path, error);
  return error ? "" : target.string();
}

std::vector<fs::path> Entries(const fs::path& dir) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    paths.push_back(it->path());
  }
  return paths;
}

std::vector<fs::path> Processes() {
  std::vector<fs::path> paths = Entries("/proc");
  std::erase_if(paths, [](const fs::path& path) {
    const std::string name = path.filename();
    return name.find_first_not_of("0123456789") != std::string::npos;
  });
  return paths;
}

// Random parts of names and ids become "*".
std::string WithoutRandom(const std::string& name) {
  static const std::regex* random = new std::regex("[0-9a-f]{6,}");
  return std::regex_replace(name, *random, "*");
}

absl::Status AddMounts(const OracleScope&, Snapshot& snapshot) {
  for (absl::string_view line :
       absl::StrSplit(ContentOf("/proc/self/mountinfo"), '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> sides = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    const std::vector<absl::string_view> fields = absl::StrSplit(sides[0], ' ');
    if (sides.size() < 2 || fields.size() < 5)
      return absl::InternalError(absl::StrCat("mountinfo line: ", line));
    ++snapshot[absl::StrCat("mount ", std::string(fields[4]), " ", std::string(sides[1]))];
  }
  return absl::OkStatus();
}

// Namespaces that any process is in or any process holds open.
absl::Status AddNamespaces(const OracleScope&, Snapshot& snapshot) {
  std::set<std::string> seen;
  for (const fs::path& process : Processes()) {
    for (const fs::path& link : Entries(process / "ns")) seen.insert(LinkTarget(link));
    for (const fs::path& link : Entries(process / "fd")) {
      const std::string target = LinkTarget(link);
      if (absl::StrContains(target, ":[") && !absl::StartsWith(target, "socket:") &&
          !absl::StartsWith(target, "pipe:") && !absl::StartsWith(target, "anon_inode:")) {
        seen.insert(target);
      }
    }
  }
  for (const std::string& name : seen) {
    if (!name.empty()) ++snapshot[absl::StrCat("namespace ", name.substr(0, name.find(':')))];
  }
  return absl::OkStatus();
}

absl::Status AddLinks(const OracleScope&, Snapshot& snapshot) {
  struct if_nameindex* links = if_nameindex();
  if (links == nullptr) return ErrnoStatus("if_nameindex", "node");
  for (struct if_nameindex* link = links; link->if_index != 0; ++link) {
    ++snapshot[absl::StrCat("link ", WithoutRandom(link->if_name))];
  }
  if_freenameindex(links);
  return absl::OkStatus();
}

absl::Status AddPacketFilter(const OracleScope&, Snapshot& snapshot) {
  FILE* output = popen("PATH=/usr/sbin:/usr/bin nft -s list ruleset 2>/dev/null", "re");
  if (output == nullptr) return ErrnoStatus("popen", "nft");
  char line[4096];
  std::string table;
  while (fgets(line, sizeof line, output) != nullptr) {
    const std::string text(absl::StripAsciiWhitespace(line));
    if (absl::StartsWith(text, "table ")) table = text;
    if (!text.empty() && text != "}") ++snapshot[absl::StrCat("nft ", table, " ", text)];
  }
  pclose(output);
  return absl::OkStatus();
}

// What an external runtime takes for a hierarchy that is not mounted is none (handlers.cc).
bool IsCgroup(const fs::path& dir) {
  struct statfs info;
  return statfs(dir.c_str(), &info) == 0 &&
         (info.f_type == CGROUP_SUPER_MAGIC || info.f_type == CGROUP2_SUPER_MAGIC);
}

void AddCgroupsBelow(const fs::path& dir, const std::string& name, int depth, Snapshot& snapshot) {
  std::error_code error;
  for (const fs::path& child : Entries(dir)) {
    if (!fs::is_directory(fs::symlink_status(child, error))) continue;
    const bool ours = absl::StrContains(child.string(), name) && IsCgroup(child);
    if (ours) ++snapshot[absl::StrCat("cgroup ", child.string())];
    if (ours || depth > 0) AddCgroupsBelow(child, name, depth - 1, snapshot);
  }
}

absl::Status AddCgroups(const OracleScope& scope, Snapshot& snapshot) {
  if (!scope.cgroup_name.empty()) AddCgroupsBelow("/sys/fs/cgroup", scope.cgroup_name, 2, snapshot);
  return absl::OkStatus();
}

// Those come and go as the kernel likes; only the machine's own PID namespace has them. `fields` is
// what stands behind the name in stat; proc_pid_stat(5), PF_KTHREAD of include/linux/sched.h.
bool IsKernelThread(absl::string_view fields) {
  constexpr uint32_t kKernelThread = 0x00200000;
  const std::vector<absl::string_view> words =
      absl::StrSplit(fields, ' ', absl::SkipEmpty());  // state ppid pgrp session tty tpgid flags
  uint32_t flags = 0;
  return words.size() > 6 && absl::SimpleAtoi(words[6], &flags) && (flags & kKernelThread) != 0;
}

absl::Status AddProcesses(const OracleScope&, Snapshot& snapshot) {
  for (const fs::path& process : Processes()) {
    const std::string stat = ContentOf(process / "stat");  // "pid (comm) state ppid ..."
    const size_t open = stat.find('('), close = stat.rfind(')');
    if (open == std::string::npos || close == std::string::npos || close + 2 >= stat.size())
      continue;
    if (IsKernelThread(absl::string_view(stat).substr(close + 1))) continue;
    const std::string comm = stat.substr(open + 1, close - open - 1);
    const std::string suffix = stat[close + 2] == 'Z' ? " (zombie)" : "";
    ++snapshot[absl::StrCat("process ", comm, suffix)];
  }
  return absl::OkStatus();
}

absl::Status AddDaemonFds(const OracleScope& scope, Snapshot& snapshot) {
  if (scope.daemon <= 0) return absl::OkStatus();
  const fs::path self = absl::StrCat("/proc/", scope.daemon, "/fd");
  for (const fs::path& fd : Entries(self)) {
    const std::string target = LinkTarget(fd);
    const std::string kind =
        absl::StrContains(target, ":[") && !absl::StartsWith(target, "anon_inode:")
            ? target.substr(0, target.find(':'))
            : WithoutRandom(target);
    if (!kind.empty()) ++snapshot[absl::StrCat("fd ", kind)];
  }
  return absl::OkStatus();
}

bool IsDatabaseSideFile(const std::string& name) {
  return absl::EndsWith(name, "-wal") || absl::EndsWith(name, "-shm");
}

// Layers are numbered as they come: an image that was removed and pulled again has others. The
// directories that wait for their pods and containers are as many, with names of no meaning.
std::string WithoutNumber(const std::string& path) {
  static const std::regex* number = new std::regex("((^|/)(layers|ready))/[0-9a-f]+");
  return std::regex_replace(path, *number, "$1/*");
}

// Everything below the daemon's directory; of an unpacked layer only its directory.
void AddFilesBelow(const fs::path& root, const fs::path& dir, int depth, Snapshot& snapshot) {
  std::error_code error;
  for (const fs::path& path : Entries(dir)) {
    if (IsDatabaseSideFile(path.filename())) continue;
    ++snapshot[absl::StrCat("file ", WithoutNumber(fs::relative(path, root, error).string()))];
    const bool descend =
        fs::is_directory(fs::symlink_status(path, error)) && dir.filename() != "layers";
    if (descend && depth > 0) AddFilesBelow(root, path, depth - 1, snapshot);
  }
}

absl::Status AddFiles(const OracleScope& scope, Snapshot& snapshot) {
  if (!scope.data_dir.empty()) AddFilesBelow(scope.data_dir, scope.data_dir, 4, snapshot);
  return absl::OkStatus();
}

// Rows of every table of one SQLite file, by their first column.
absl::Status AddRowsOf(const std::string& path, Snapshot& snapshot) {
  sqlite3* db = nullptr;
  absl::Status status;
  if (sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE, nullptr) != SQLITE_OK) {
    status = absl::InternalError(absl::StrCat("sqlite3_open ", path, ": ", sqlite3_errmsg(db)));
    sqlite3_close(db);
    return status;
  }
  sqlite3_busy_timeout(db, 2000);
  std::vector<std::string> tables;
  const auto for_each = [&](const std::string& sql, auto each) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) {
      status =
          absl::InternalError(absl::StrCat("sqlite3_prepare ", path, ": ", sqlite3_errmsg(db)));
      return;
    }
    while (sqlite3_step(statement) == SQLITE_ROW) {
      const unsigned char* text = sqlite3_column_text(statement, 0);
      each(text == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(text)));
    }
    sqlite3_finalize(statement);
  };
  for_each("SELECT name FROM sqlite_master WHERE type='table'",
           [&](std::string name) { tables.push_back(name); });
  for (const std::string& table : tables) {
    for_each(absl::StrCat("SELECT * FROM \"", table, "\""), [&](std::string key) {
      ++snapshot[absl::StrCat("row ", table, " ", table == "layers" ? "*" : key)];
    });
  }
  sqlite3_close(db);
  return status;
}

absl::Status AddRows(const OracleScope& scope, Snapshot& snapshot) {
  if (scope.data_dir.empty()) return absl::OkStatus();
  std::error_code error;
  for (fs::recursive_directory_iterator it(scope.data_dir, error), end; !error && it != end;
       it.increment(error)) {
    if (it.depth() >= 1) it.disable_recursion_pending();
    if (it->path().extension() == ".db" || it->path().extension() == ".sqlite") {
      RETURN_IF_ERROR(AddRowsOf(it->path(), snapshot));
    }
  }
  return absl::OkStatus();
}

absl::Status AddLoopDevices(const OracleScope&, Snapshot& snapshot) {
  for (const fs::path& device : Entries("/sys/block")) {
    const std::string backing = ContentOf(device / "loop" / "backing_file");
    if (!backing.empty()) {
      ++snapshot[absl::StrCat("loop ", device.filename().string(), " ",
                              absl::StripAsciiWhitespace(backing))];
    }
  }
  return absl::OkStatus();
}

absl::Status AddNamedNamespaces(const OracleScope&, Snapshot& snapshot) {
  for (const fs::path& path : Entries("/run/netns"))
    ++snapshot[absl::StrCat("netns ", path.string())];
  return absl::OkStatus();
}

constexpr absl::Status (*kObservers[])(const OracleScope&, Snapshot&) = {
    AddMounts,    AddNamespaces, AddLinks, AddPacketFilter, AddCgroups,        AddProcesses,
    AddDaemonFds, AddFiles,      AddRows,  AddLoopDevices,  AddNamedNamespaces};

}  // namespace

absl::StatusOr<Snapshot> TakeSnapshot(const OracleScope& scope) {
  Snapshot snapshot;
  for (const auto observe : kObservers) RETURN_IF_ERROR(observe(scope, snapshot));
  return snapshot;
}

std::vector<std::string> Differences(const Snapshot& before, const Snapshot& after) {
  Snapshot change = after;
  for (const auto& [entry, count] : before) change[entry] -= count;
  std::vector<std::string> lines;
  for (const auto& [entry, count] : change) {
    if (count > 0) lines.push_back(absl::StrCat("+", count, " ", entry));
    if (count < 0 && !absl::StartsWith(entry, "fd "))
      lines.push_back(absl::StrCat(count, " ", entry));
  }
  return lines;
}

absl::StatusOr<std::vector<std::string>> WaitForSame(const OracleScope& scope,
                                                     const Snapshot& before,
                                                     absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  for (;;) {
    ASSIGN_OR_RETURN(const Snapshot after, TakeSnapshot(scope));
    std::vector<std::string> lines = Differences(before, after);
    if (lines.empty() || absl::Now() > deadline) return lines;
    absl::SleepFor(kPollInterval);
  }
}

}  // namespace berth::e2e
