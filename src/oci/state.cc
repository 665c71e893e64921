#include "src/oci/state.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/oci/field_reader.h"

namespace berth::oci {
namespace {

constexpr size_t kIdMax = 200;
constexpr size_t kConfigMax = 4 << 20;
// Fields of /proc/PID/stat behind the name, counted from "state" (proc_pid_stat(5)).
constexpr size_t kStateField = 0, kStartTimeField = 19;

absl::Status NoContainer(const std::string& id) {
  return absl::NotFoundError(absl::StrCat("container ", id, " does not exist"));
}

}  // namespace

const char* StatusName(ContainerStatus status) {
  switch (status) {
    case ContainerStatus::kCreating:
      return "creating";
    case ContainerStatus::kCreated:
      return "created";
    case ContainerStatus::kRunning:
      return "running";
    case ContainerStatus::kPaused:
      return "paused";
    case ContainerStatus::kStopped:
      return "stopped";
  }
  return "";
}

absl::Status CheckId(absl::string_view id) {
  const bool good = !id.empty() && id.size() <= kIdMax && id != "." && id != ".." &&
                    std::all_of(id.begin(), id.end(), [](unsigned char c) {
                      return absl::ascii_isalnum(c) || c == '_' || c == '+' || c == '-' || c == '.';
                    });
  return good ? absl::OkStatus()
              : absl::InvalidArgumentError(
                    absl::StrCat("container id \"", id,
                                 "\": letters, digits, _ + - and . only, at most ", kIdMax));
}

std::string EncodeState(const ContainerState& state) {
  const nlohmann::json json = {{"version", 1},
                               {"ociVersion", state.oci_version},
                               {"id", state.id},
                               {"bundle", state.bundle},
                               {"rootfs", state.rootfs},
                               {"cgroupPath", state.cgroup_path},
                               {"created", state.created},
                               {"configDigest", state.config_digest},
                               {"pid", state.pid},
                               {"startTime", state.start_time},
                               {"annotations", state.annotations}};
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

absl::StatusOr<ContainerState> DecodeState(absl::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::DataLossError("state.json: not a JSON object");
  ReadLog log;
  const FieldReader root(&json, "", &log);
  if (root.Int("version") != 1) return absl::DataLossError("state.json: not of version 1");
  ContainerState state = {.oci_version = root.String("ociVersion"),
                          .id = root.String("id"),
                          .bundle = root.String("bundle"),
                          .rootfs = root.String("rootfs"),
                          .cgroup_path = root.String("cgroupPath"),
                          .created = root.String("created"),
                          .config_digest = root.String("configDigest"),
                          .pid = static_cast<pid_t>(root.Int("pid", 0, 1 << 30).value_or(0)),
                          .start_time = root.Unsigned("startTime").value_or(0),
                          .annotations = root.StringMap("annotations")};
  if (!log.status.ok())
    return absl::DataLossError(absl::StrCat("state.json: ", log.status.message()));
  return state;
}

absl::StatusOr<uint64_t> ProcessStartTime(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string stat,
                   ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", pid, "/stat")));
  // The name may hold anything, ") " too: it ends at the last parenthesis.
  const size_t end = stat.rfind(") ");
  if (end == std::string::npos) return absl::DataLossError(absl::StrCat("stat of ", pid));
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(stat).substr(end + 2), ' ');
  uint64_t ticks = 0;
  if (fields.size() <= kStartTimeField || !absl::SimpleAtoi(fields[kStartTimeField], &ticks))
    return absl::DataLossError(absl::StrCat("stat of ", pid));
  if (fields[kStateField] == "Z" || fields[kStateField] == "X")
    return absl::NotFoundError(absl::StrCat("process ", pid, " has ended"));
  return ticks;
}

absl::StatusOr<UniqueFd> OpenProcess(const ContainerState& state) {
  const absl::Status gone =
      absl::NotFoundError(absl::StrCat("container ", state.id, " is not running"));
  if (state.pid <= 0) return gone;
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, state.pid, 0)));
  if (!pidfd.valid()) return gone;
  // Behind the open: a pid that was given again has another start time.
  const absl::StatusOr<uint64_t> start_time = ProcessStartTime(state.pid);
  if (!start_time.ok() || *start_time != state.start_time) return gone;
  return pidfd;
}

absl::Status StateDirectory::Create(const std::string& id) const {
  RETURN_IF_ERROR(CheckId(id));
  RETURN_IF_ERROR(MakeDirs(root_, 0700));
  if (::mkdir(PathOf(id).c_str(), 0700) == 0) return absl::OkStatus();
  if (errno == EEXIST)
    return absl::AlreadyExistsError(absl::StrCat("container ", id, " already exists"));
  return ErrnoStatus("mkdir", PathOf(id));
}

absl::Status StateDirectory::Write(const ContainerState& state) const {
  return ReplaceFileAt(AT_FDCWD, PathOf(state.id) + "/state.json", EncodeState(state), 0600);
}

absl::Status StateDirectory::WriteConfig(const std::string& id, absl::string_view json) const {
  return ReplaceFileAt(AT_FDCWD, PathOf(id) + "/config.json", json, 0600);
}

absl::StatusOr<ContainerState> StateDirectory::Read(const std::string& id) const {
  RETURN_IF_ERROR(CheckId(id));
  const absl::StatusOr<std::string> text = ReadFileAt(AT_FDCWD, PathOf(id) + "/state.json");
  if (absl::IsNotFound(text.status())) return NoContainer(id);
  if (!text.ok()) return text.status();
  absl::StatusOr<ContainerState> state = DecodeState(*text);
  return state.ok() ? state : Annotate(state.status(), absl::StrCat("container ", id));
}

absl::StatusOr<std::string> StateDirectory::ReadConfig(const std::string& id) const {
  return ReadFileAt(AT_FDCWD, PathOf(id) + "/config.json", kConfigMax);
}

absl::StatusOr<std::vector<std::string>> StateDirectory::Ids() const {
  absl::StatusOr<std::vector<std::string>> ids = ListDir(AT_FDCWD, root_);
  if (absl::IsNotFound(ids.status())) return std::vector<std::string>();
  if (ids.ok()) std::sort(ids->begin(), ids->end());
  return ids;
}

absl::Status StateDirectory::Remove(const std::string& id) const {
  const absl::StatusOr<UniqueFd> root = OpenDir(AT_FDCWD, root_);
  if (absl::IsNotFound(root.status())) return absl::OkStatus();
  return root.ok() ? RemoveTreeAt(root->get(), id) : root.status();
}

ContainerStatus StateDirectory::StatusOf(const ContainerState& state) const {
  if (state.pid == 0) return ContainerStatus::kCreating;
  if (!OpenProcess(state).ok()) return ContainerStatus::kStopped;
  const std::string fifo = absl::StrCat(PathOf(state.id), "/", kStartFifo);
  return ::access(fifo.c_str(), F_OK) == 0 ? ContainerStatus::kCreated : ContainerStatus::kRunning;
}

}  // namespace berth::oci
