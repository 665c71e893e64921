#include "src/kernel/selinux.h"

#include <fcntl.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr uint32_t kCategories = 1024;
constexpr size_t kMaxBytes = 64 << 10;
constexpr absl::string_view kPrivilegedType = "spc_t";

bool IsIdentifier(absl::string_view word) {
  return !word.empty() && word.size() <= 255 && std::all_of(word.begin(), word.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
  });
}

absl::Status BadLevel(absl::string_view level, absl::string_view cause) {
  return absl::InvalidArgumentError(absl::StrCat("selinux level \"", level, "\": ", cause));
}

// "s3" with 's', "c12" with 'c'.
std::optional<uint32_t> Numbered(char letter, absl::string_view word) {
  uint32_t number = 0;
  if (word.size() < 2 || word.size() > 5 || word[0] != letter ||
      !std::all_of(word.begin() + 1, word.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(word.substr(1), &number) || number >= kCategories) {
    return std::nullopt;
  }
  return number;
}

// One side of a range: "s0", "s0:c1,c3.c5".
bool IsSensitivity(absl::string_view side) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(side, absl::MaxSplits(':', 1));
  if (!Numbered('s', parts.first)) return false;
  if (parts.first.size() == side.size()) return true;
  for (const absl::string_view item : absl::StrSplit(parts.second, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(item, '.');
    const std::optional<uint32_t> low = Numbered('c', ends.front());
    const std::optional<uint32_t> high = Numbered('c', ends.back());
    if (ends.size() > 2 || !low || !high || *low > *high) return false;
    if (ends.size() == 2 && *low == *high) return false;
  }
  return true;
}

// The value of KEY=value or key = "value" in a file of lines; '#' begins a comment line.
std::string ValueOf(absl::string_view text, absl::string_view key) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits('=', 1));
    if (absl::StripAsciiWhitespace(parts.first) != key) continue;
    absl::string_view value = absl::StripAsciiWhitespace(parts.second);
    if (absl::ConsumePrefix(&value, "\"")) absl::ConsumeSuffix(&value, "\"");
    return std::string(value);
  }
  return std::string();
}

absl::Status CheckPart(absl::string_view name, const std::string& value) {
  if (value.empty() || IsIdentifier(value)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("selinux ", name, " \"", value, "\": malformed"));
}

void Replace(const std::string& wanted, std::string* part) {
  if (!wanted.empty()) *part = wanted;
}

// The kernel answers EINVAL to a context that its policy does not have.
absl::Status AskKernel(const LsmPaths& paths, const std::string& context) {
  const absl::Status asked =
      WriteFileAt(AT_FDCWD, absl::StrCat(paths.selinuxfs, "/context"), context);
  if (asked.ok()) return asked;
  return absl::InvalidArgumentError(
      absl::StrCat("selinux context ", context, ": refused by the policy: ", asked.message()));
}

}  // namespace

std::string SelinuxContext::ToString() const {
  const std::string text = absl::StrCat(user, ":", role, ":", type);
  return level.empty() ? text : absl::StrCat(text, ":", level);
}

absl::Status CheckSelinuxLevel(absl::string_view level) {
  const std::vector<absl::string_view> sides = absl::StrSplit(level, '-');
  if (sides.size() > 2) return BadLevel(level, "not a range");
  for (const absl::string_view side : sides)
    if (!IsSensitivity(side)) return BadLevel(level, "not of the form s0:c1,c2");
  return absl::OkStatus();
}

absl::StatusOr<SelinuxContext> ParseSelinuxContext(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(':', 3));
  if (parts.size() < 3 || !IsIdentifier(parts[0]) || !IsIdentifier(parts[1]) ||
      !IsIdentifier(parts[2])) {
    return absl::InvalidArgumentError(
        absl::StrCat("selinux context \"", text, "\": not user:role:type:level"));
  }
  SelinuxContext context{
      .user = std::string(parts[0]), .role = std::string(parts[1]), .type = std::string(parts[2])};
  if (parts.size() == 4) {
    RETURN_IF_ERROR(CheckSelinuxLevel(parts[3]));
    context.level = std::string(parts[3]);
  }
  return context;
}

absl::StatusOr<SelinuxDefaults> ReadSelinuxDefaults(const LsmPaths& paths) {
  ASSIGN_OR_RETURN(const std::string config,
                   ReadFileAt(AT_FDCWD, absl::StrCat(paths.selinux_etc, "/config"), kMaxBytes));
  const std::string policy = ValueOf(config, "SELINUXTYPE");
  if (!IsIdentifier(policy) || policy[0] == '.') {
    return absl::FailedPreconditionError(
        absl::StrCat("read ", paths.selinux_etc, "/config: no SELINUXTYPE"));
  }
  const std::string path = absl::StrCat(paths.selinux_etc, "/", policy, "/contexts/lxc_contexts");
  ASSIGN_OR_RETURN(const std::string contexts, ReadFileAt(AT_FDCWD, path, kMaxBytes));
  SelinuxDefaults defaults;
  ASSIGN_OR_RETURN(defaults.process, ParseSelinuxContext(ValueOf(contexts, "process")));
  ASSIGN_OR_RETURN(defaults.file, ParseSelinuxContext(ValueOf(contexts, "file")));
  return defaults;
}

absl::StatusOr<SelinuxLabels> MergeSelinux(const SelinuxDefaults& defaults,
                                           const SelinuxRequest& request, absl::string_view level,
                                           bool privileged) {
  RETURN_IF_ERROR(CheckPart("user", request.user));
  RETURN_IF_ERROR(CheckPart("role", request.role));
  RETURN_IF_ERROR(CheckPart("type", request.type));
  if (!request.level.empty()) RETURN_IF_ERROR(CheckSelinuxLevel(request.level));
  SelinuxContext process = defaults.process, mount = defaults.file;
  if (privileged) process.type = std::string(kPrivilegedType);
  Replace(request.user, &process.user);
  Replace(request.role, &process.role);
  Replace(request.type, &process.type);
  Replace(std::string(level), &process.level);
  Replace(request.level, &process.level);
  mount.level = process.level;
  return SelinuxLabels{.process = process.ToString(), .mount = mount.ToString()};
}

absl::StatusOr<SelinuxLabels> ResolveSelinux(const SelinuxRequest& request, absl::string_view level,
                                             bool privileged, const LsmFacts& facts,
                                             const LsmPaths& paths) {
  if (!facts.selinux) {
    if (request.IsEmpty()) return SelinuxLabels{};
    const std::string asked =
        absl::StrJoin({request.user, request.role, request.type, request.level}, ":");
    return absl::FailedPreconditionError(absl::StrCat(
        "selinux options ", asked, ": asked for, but SELinux is not enabled on this node"));
  }
  ASSIGN_OR_RETURN(const SelinuxDefaults defaults, ReadSelinuxDefaults(paths));
  ASSIGN_OR_RETURN(SelinuxLabels labels, MergeSelinux(defaults, request, level, privileged));
  RETURN_IF_ERROR(AskKernel(paths, labels.process));
  return labels;
}

namespace {

constexpr uint32_t kPairs = kCategories * (kCategories - 1) / 2;

uint32_t PairOf(uint32_t low, uint32_t high) { return high * (high - 1) / 2 + low; }

std::string LevelOf(uint32_t pair) {
  uint32_t high = 1;
  while (PairOf(0, high + 1) <= pair) ++high;
  return absl::StrCat("s0:c", pair - PairOf(0, high), ",c", high);
}

// The pair of a level that Allocate could have given.
std::optional<uint32_t> OwnPair(absl::string_view level) {
  if (!absl::ConsumePrefix(&level, "s0:")) return std::nullopt;
  const std::vector<absl::string_view> items = absl::StrSplit(level, ',');
  if (items.size() != 2) return std::nullopt;
  const std::optional<uint32_t> one = Numbered('c', items[0]), two = Numbered('c', items[1]);
  if (!one || !two || *one == *two) return std::nullopt;
  return PairOf(std::min(*one, *two), std::max(*one, *two));
}

}  // namespace

absl::StatusOr<std::string> SelinuxCategories::Allocate() {
  absl::MutexLock lock(&mu_);
  if (taken_.size() == kPairs)
    return absl::ResourceExhaustedError("selinux categories: every pair is taken");
  while (taken_.count(next_) != 0) next_ = (next_ + 1) % kPairs;
  const uint32_t pair = next_;
  taken_.insert(pair);
  next_ = (next_ + 1) % kPairs;
  return LevelOf(pair);
}

absl::Status SelinuxCategories::Reserve(absl::string_view level) {
  const std::optional<uint32_t> pair = OwnPair(level);
  if (!pair) return absl::OkStatus();
  absl::MutexLock lock(&mu_);
  if (!taken_.insert(*pair).second)
    return absl::AlreadyExistsError(absl::StrCat("selinux categories: ", level, " is taken"));
  return absl::OkStatus();
}

void SelinuxCategories::Release(absl::string_view level) {
  const std::optional<uint32_t> pair = OwnPair(level);
  if (!pair) return;
  absl::MutexLock lock(&mu_);
  taken_.erase(*pair);
}

}  // namespace berth
