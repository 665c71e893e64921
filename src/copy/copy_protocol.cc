#include "src/copy/copy_protocol.h"

#include <array>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

constexpr char kProgram[] = "berth-copy";
constexpr size_t kMaxFailureBytes = 4096;

struct BoolFlag {
  const char* name;
  bool CopyJob::*value;
};
constexpr std::array kBools = {BoolFlag{"--follow-link", &CopyJob::follow_link},
                               BoolFlag{"--plan-by-source", &CopyJob::plan_by_source},
                               BoolFlag{"--source-directory", &CopyJob::source_directory},
                               BoolFlag{"--source-contents", &CopyJob::source_contents},
                               BoolFlag{"--keep-owner", &CopyJob::keep_owner}};

struct TextFlag {
  const char* name;
  std::string CopyJob::*value;
};
constexpr std::array kTexts = {TextFlag{"--path=", &CopyJob::path},
                               TextFlag{"--source-name=", &CopyJob::source_name}};

struct RootFlag {
  const char* name;
  std::string CopyRoot::*value;
};
constexpr std::array kRoots = {RootFlag{"--upper=", &CopyRoot::upper},
                               RootFlag{"--work=", &CopyRoot::work}};

std::string Packet(CopyPacket type, absl::string_view payload) {
  return absl::StrCat(std::string(1, static_cast<char>(type)), payload);
}

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("berth-copy: malformed ", what));
}

absl::Status TakeArgument(absl::string_view argument, CopyJob* job) {
  for (const BoolFlag& flag : kBools) {
    if (argument == flag.name) {
      job->*flag.value = true;
      return absl::OkStatus();
    }
  }
  for (const TextFlag& flag : kTexts) {
    if (absl::ConsumePrefix(&argument, flag.name)) {
      job->*flag.value = std::string(argument);
      return absl::OkStatus();
    }
  }
  for (const RootFlag& flag : kRoots) {
    if (absl::ConsumePrefix(&argument, flag.name)) {
      job->root.*flag.value = std::string(argument);
      return absl::OkStatus();
    }
  }
  if (argument == "--read-only") {
    job->root.read_only = true;
  } else if (absl::ConsumePrefix(&argument, "--layer=")) {
    job->root.layers.emplace_back(argument);
  } else if (!absl::ConsumePrefix(&argument, "--pid=") ||
             !absl::SimpleAtoi(argument, &job->root.pid) || job->root.pid <= 0) {
    return Malformed("argument");
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<std::string> EncodeCopyJob(const CopyJob& job) {
  std::vector<std::string> argv = {kProgram,
                                   job.direction == CopyJob::Direction::kOut ? "out" : "in"};
  for (const BoolFlag& flag : kBools) {
    if (job.*flag.value) argv.emplace_back(flag.name);
  }
  for (const TextFlag& flag : kTexts) argv.push_back(absl::StrCat(flag.name, job.*flag.value));
  if (job.root.pid != 0) {
    argv.push_back(absl::StrCat("--pid=", job.root.pid));
    return argv;
  }
  for (const RootFlag& flag : kRoots) argv.push_back(absl::StrCat(flag.name, job.root.*flag.value));
  if (job.root.read_only) argv.emplace_back("--read-only");
  for (const std::string& layer : job.root.layers) argv.push_back(absl::StrCat("--layer=", layer));
  return argv;
}

absl::StatusOr<CopyJob> DecodeCopyJob(const std::vector<std::string>& argv) {
  CopyJob job;
  if (argv.size() < 2 || (argv[1] != "out" && argv[1] != "in")) return Malformed("arguments");
  job.direction = argv[1] == "out" ? CopyJob::Direction::kOut : CopyJob::Direction::kIn;
  for (size_t i = 2; i < argv.size(); ++i) RETURN_IF_ERROR(TakeArgument(argv[i], &job));
  return job;
}

// Numbers with a space between, then texts with a NUL between: neither can be in a name.
std::string EncodeCopyStat(const CopyStat& stat) {
  return Packet(CopyPacket::kStat, absl::StrCat(stat.mode, " ", stat.size, " ", stat.mtime_ns,
                                                absl::string_view("\0", 1), stat.name,
                                                absl::string_view("\0", 1), stat.link_target));
}

absl::StatusOr<CopyStat> DecodeCopyStat(absl::string_view text) {
  const std::vector<absl::string_view> fields = absl::StrSplit(text, '\0');
  if (fields.size() != 3) return Malformed("stat");
  CopyStat stat{.name = std::string(fields[1]), .link_target = std::string(fields[2])};
  const std::vector<absl::string_view> numbers = absl::StrSplit(fields[0], ' ');
  if (numbers.size() != 3 || !absl::SimpleAtoi(numbers[0], &stat.mode) ||
      !absl::SimpleAtoi(numbers[1], &stat.size) || !absl::SimpleAtoi(numbers[2], &stat.mtime_ns)) {
    return Malformed("stat");
  }
  return stat;
}

std::string EncodeCopyOutcome(const CopyOutcome& outcome) {
  return Packet(CopyPacket::kEnd,
                absl::StrCat(outcome.entries, " ", outcome.bytes, " ", outcome.skipped_devices,
                             absl::string_view("\0", 1), outcome.first_skipped));
}

absl::StatusOr<CopyOutcome> DecodeCopyOutcome(absl::string_view text) {
  const std::vector<absl::string_view> fields = absl::StrSplit(text, '\0');
  if (fields.size() != 2) return Malformed("outcome");
  CopyOutcome outcome{.first_skipped = std::string(fields[1])};
  const std::vector<absl::string_view> numbers = absl::StrSplit(fields[0], ' ');
  if (numbers.size() != 3 || !absl::SimpleAtoi(numbers[0], &outcome.entries) ||
      !absl::SimpleAtoi(numbers[1], &outcome.bytes) ||
      !absl::SimpleAtoi(numbers[2], &outcome.skipped_devices)) {
    return Malformed("outcome");
  }
  return outcome;
}

std::string EncodeCopyFailure(const absl::Status& status) {
  return Packet(CopyPacket::kFailed, absl::StrCat(static_cast<int>(status.code()), " ",
                                                  status.message().substr(0, kMaxFailureBytes)));
}

absl::Status DecodeCopyFailure(absl::string_view text) {
  const size_t space = text.find(' ');
  int code = 0;
  if (space == absl::string_view::npos || !absl::SimpleAtoi(text.substr(0, space), &code) ||
      code <= 0 || code > static_cast<int>(absl::StatusCode::kUnauthenticated)) {
    return Malformed("failure");
  }
  return absl::Status(static_cast<absl::StatusCode>(code), text.substr(space + 1));
}

}  // namespace berth
