#include "src/kernel/systemd_scope.h"

#include <systemd/sd-bus.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"

namespace berth {
namespace {

constexpr char kDestination[] = "org.freedesktop.systemd1";
constexpr char kPath[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";
constexpr char kPrivateSocket[] = "unix:path=/run/systemd/private";
constexpr absl::string_view kSlice = ".slice";
constexpr size_t kMaxUnitName = 255;  // UNIT_NAME_MAX less its NUL

struct BusCloser {
  void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
};
struct MessageCloser {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Bus = std::unique_ptr<sd_bus, BusCloser>;
using Message = std::unique_ptr<sd_bus_message, MessageCloser>;

absl::Status BusStatus(absl::string_view call, absl::string_view object, int negative_errno) {
  return ErrnoStatus(call, object, -negative_errno);
}

absl::StatusOr<Bus> ConnectTo(const char* address, bool is_bus) {
  sd_bus* made = nullptr;
  int result = sd_bus_new(&made);
  Bus bus(made);
  if (result >= 0) result = sd_bus_set_address(bus.get(), address);
  if (result >= 0 && is_bus) result = sd_bus_set_bus_client(bus.get(), 1);
  if (result >= 0) result = sd_bus_start(bus.get());
  if (result < 0) {
    return absl::UnavailableError(
        absl::StrCat("connect ", address, ": ", BusStatus("", "", result).message()));
  }
  return bus;
}

absl::StatusOr<Bus> OpenBus(const std::string& address) {
  if (!address.empty()) return ConnectTo(address.c_str(), /*is_bus=*/true);
  sd_bus* system = nullptr;
  if (sd_bus_open_system(&system) >= 0) return Bus(system);
  return ConnectTo(kPrivateSocket, /*is_bus=*/false);
}

// The rest of `deadline` for one call, in the microseconds of sd-bus; at least one (0 is its
// default).
uint64_t Microseconds(absl::Time deadline) {
  return static_cast<uint64_t>(
      std::max<int64_t>(1, absl::ToInt64Microseconds(deadline - SteadyNow())));
}

// How systemd's jobs ended, as its signals tell it: also of a job whose number we do not know yet.
struct JobResults {
  std::map<std::string, std::string> by_path;
};

int OnJobRemoved(sd_bus_message* message, void* data, sd_bus_error*) {
  uint32_t id;
  const char *path, *unit, *result;
  if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) >= 0)
    static_cast<JobResults*>(data)->by_path[path] = result;
  return 0;
}

// A conversation with systemd's manager.
class Manager {
 public:
  static absl::StatusOr<std::unique_ptr<Manager>> Open(const std::string& address,
                                                       absl::Time deadline) {
    ASSIGN_OR_RETURN(Bus bus, OpenBus(address));
    std::unique_ptr<Manager> manager(new Manager(std::move(bus), deadline));
    RETURN_IF_ERROR(manager->Listen());
    return manager;
  }

  // Calls `method` with `request`, which is of NewCall. `error` takes the name of a D-Bus error.
  absl::StatusOr<Message> Call(Message request, absl::string_view object, std::string* error) {
    sd_bus_error failure = SD_BUS_ERROR_NULL;
    const absl::Cleanup free_failure = [&] { sd_bus_error_free(&failure); };
    sd_bus_message* reply = nullptr;
    const std::string method = sd_bus_message_get_member(request.get());
    const int result =
        sd_bus_call(bus_.get(), request.get(), Microseconds(deadline_), &failure, &reply);
    if (result >= 0) return Message(reply);
    if (failure.name != nullptr && error != nullptr) *error = failure.name;
    const absl::Status status = BusStatus(method, object, result);
    if (result == -ETIMEDOUT)
      return absl::DeadlineExceededError(absl::StrCat(method, " ", object, ": no answer in time"));
    if (failure.message == nullptr) return status;
    return absl::Status(status.code(), absl::StrCat(method, " ", object, ": ", failure.message));
  }

  absl::StatusOr<Message> NewCall(const char* method) {
    sd_bus_message* made = nullptr;
    const int result =
        sd_bus_message_new_method_call(bus_.get(), &made, kDestination, kPath, kManager, method);
    if (result < 0) return BusStatus("make call", method, result);
    return Message(made);
  }

  // A call with strings only. The reply's object path, or "" for methods without.
  absl::StatusOr<std::string> CallStrings(const char* method,
                                          const std::vector<std::string>& arguments,
                                          std::string* error = nullptr) {
    ASSIGN_OR_RETURN(Message request, NewCall(method));
    for (const std::string& argument : arguments) {
      const int result = sd_bus_message_append(request.get(), "s", argument.c_str());
      if (result < 0) return BusStatus(method, argument, result);
    }
    ASSIGN_OR_RETURN(const Message reply,
                     Call(std::move(request),
                          arguments.empty() ? absl::string_view("systemd") : arguments[0], error));
    return ObjectPath(reply);
  }

  static std::string ObjectPath(const Message& reply) {
    const char* path = nullptr;
    return sd_bus_message_read(reply.get(), "o", &path) > 0 ? path : "";
  }

  // Waits for the end of `job`, which must be "done" (or one of these states for a stop).
  absl::Status Wait(const std::string& job, const std::string& call, const std::string& unit) {
    while (jobs_.by_path.find(job) == jobs_.by_path.end()) {
      const int processed = sd_bus_process(bus_.get(), nullptr);
      if (processed < 0) return BusStatus(call, unit, processed);
      if (processed > 0) continue;
      if (SteadyNow() >= deadline_) {
        return absl::DeadlineExceededError(
            absl::StrCat(call, " ", unit, ": systemd has not ended the job in time"));
      }
      const int waited = sd_bus_wait(bus_.get(), Microseconds(deadline_));
      if (waited < 0 && waited != -EINTR) return BusStatus(call, unit, waited);
    }
    const std::string& result = jobs_.by_path[job];
    if (result == "done" || result == "skipped") return absl::OkStatus();
    return absl::InternalError(absl::StrCat(call, " ", unit, ": systemd's job ended as ", result));
  }

  // Sent without waiting: for what has to be taken back after the deadline.
  void Abandon(const std::string& unit) {
    sd_bus_call_method_async(bus_.get(), nullptr, kDestination, kPath, kManager, "StopUnit",
                             nullptr, nullptr, "ss", unit.c_str(), "replace");
    sd_bus_flush(bus_.get());
  }

 private:
  Manager(Bus bus, absl::Time deadline) : bus_(std::move(bus)), deadline_(deadline) {}

  // Before any job: so no end of one is missed. On its own socket systemd sends signals unasked.
  absl::Status Listen() {
    const int result = sd_bus_match_signal(bus_.get(), nullptr, kDestination, kPath, kManager,
                                           "JobRemoved", OnJobRemoved, &jobs_);
    if (result < 0) {
      return absl::UnavailableError(
          absl::StrCat("listen to systemd: ", BusStatus("", "", result).message()));
    }
    const absl::Status subscribed = CallStrings("Subscribe", {}).status();
    if (subscribed.ok() || absl::IsDeadlineExceeded(subscribed)) return subscribed;
    return absl::UnavailableError(subscribed.message());
  }

  JobResults jobs_;
  Bus bus_;  // closed before the results that its callback writes to
  const absl::Time deadline_;
};

int AppendBool(sd_bus_message* call, const char* name, bool value) {
  return sd_bus_message_append(call, "(sv)", name, "b", static_cast<int>(value));
}

// The arguments of StartTransientUnit for `request`; negative errno.
int AppendScope(sd_bus_message* call, const ScopeRequest& request) {
  const auto text = [&](const char* name, const std::string& value) {
    return sd_bus_message_append(call, "(sv)", name, "s", value.c_str());
  };
  const uint32_t pid = static_cast<uint32_t>(request.parked_pid);
  int result = sd_bus_message_append(call, "ss", request.unit.c_str(), "fail");
  if (result >= 0) result = sd_bus_message_open_container(call, 'a', "(sv)");
  if (result >= 0) result = text("Description", request.description);
  if (result >= 0) result = text("Slice", request.slice);
  if (result >= 0) result = text("CollectMode", "inactive-or-failed");
  if (result >= 0) result = AppendBool(call, "Delegate", true);
  // No ordering before shutdown.target: a pod is stopped by the kubelet and by us, not by systemd.
  if (result >= 0) result = AppendBool(call, "DefaultDependencies", false);
  if (result >= 0) result = sd_bus_message_append(call, "(sv)", "TasksMax", "t", UINT64_MAX);
  for (const auto& [name, value] : request.limits) {
    if (result >= 0) result = sd_bus_message_append(call, "(sv)", name.c_str(), "t", value);
  }
  if (result >= 0) result = sd_bus_message_append(call, "(sv)", "PIDs", "au", 1, pid);
  if (result >= 0) result = sd_bus_message_close_container(call);
  if (result >= 0) result = sd_bus_message_append(call, "a(sa(sv))", 0);
  return result;
}

absl::StatusOr<std::string> StartScope(Manager& manager, const ScopeRequest& request,
                                       std::string* error) {
  ASSIGN_OR_RETURN(Message call, manager.NewCall("StartTransientUnit"));
  const int appended = AppendScope(call.get(), request);
  if (appended < 0) return BusStatus("StartTransientUnit", request.unit, appended);
  ASSIGN_OR_RETURN(const Message reply, manager.Call(std::move(call), request.unit, error));
  return Manager::ObjectPath(reply);
}

absl::Status CheckScope(const ScopeRequest& request) {
  if (!absl::EndsWith(request.unit, ".scope") || request.unit.size() > kMaxUnitName)
    return absl::InvalidArgumentError(absl::StrCat("scope ", request.unit, ": not such a name"));
  if (request.parked_pid <= 0)
    return absl::InvalidArgumentError(absl::StrCat("scope ", request.unit, ": without a process"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> SliceOfCgroupParent(absl::string_view cgroup_parent) {
  const absl::string_view slice = cgroup_parent.substr(cgroup_parent.rfind('/') + 1);
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("cgroup_parent ", cgroup_parent, ": ", why,
                                                   " (systemd's form is \"a-b.slice\")"));
  };
  if (!absl::EndsWith(slice, kSlice)) return refuse("does not end in .slice");
  if (slice.size() > kMaxUnitName) return refuse("is too long for the name of a slice");
  const absl::string_view name = slice.substr(0, slice.size() - kSlice.size());
  if (name == "-") return std::string(slice);
  for (const char each : name) {
    if (!absl::ascii_isalnum(each) && !absl::StrContains(":-_.\\", each))
      return refuse("has a character that no slice may have");
  }
  for (absl::string_view part : absl::StrSplit(name, '-'))
    if (part.empty()) return refuse("has an empty part between dashes");
  for (absl::string_view part : absl::StrSplit(cgroup_parent, '/'))
    if (part == "..") return refuse("has \"..\" in it");
  return std::string(slice);
}

std::string SliceCgroupPath(absl::string_view slice) {
  const absl::string_view name = slice.substr(0, slice.size() - kSlice.size());
  if (name == "-") return "";
  std::string path;
  for (size_t dash = name.find('-');; dash = name.find('-', dash + 1)) {
    absl::StrAppend(&path, "/", name.substr(0, dash), kSlice);
    if (dash == absl::string_view::npos) return path;
  }
}

std::string ScopeCgroupPath(absl::string_view slice, absl::string_view unit) {
  return absl::StrCat(SliceCgroupPath(slice), "/", unit);
}

absl::StatusOr<SystemdScopes> SystemdScopes::Connect(const std::string& address) {
  constexpr absl::Duration kAnswer = absl::Seconds(10);
  const absl::Status answers = Manager::Open(address, SteadyNow() + kAnswer).status();
  if (!answers.ok()) return absl::UnavailableError(absl::StrCat("systemd: ", answers.message()));
  return SystemdScopes(address);
}

absl::Status SystemdScopes::Create(const ScopeRequest& request, absl::Time deadline) const {
  RETURN_IF_ERROR(CheckScope(request));
  RETURN_IF_ERROR(SliceOfCgroupParent(request.slice).status());
  ASSIGN_OR_RETURN(const std::unique_ptr<Manager> manager, Manager::Open(address_, deadline));
  std::string error;
  absl::StatusOr<std::string> job = StartScope(*manager, request, &error);
  if (!job.ok() && error == "org.freedesktop.systemd1.UnitExists") {
    manager->CallStrings("ResetFailedUnit", {request.unit}).IgnoreError();
    error.clear();
    job = StartScope(*manager, request, &error);
    if (!job.ok() && error == "org.freedesktop.systemd1.UnitExists")
      return absl::AlreadyExistsError(job.status().message());
  }
  // A call that was not answered in time may still be carried out.
  absl::Status status =
      job.ok() ? manager->Wait(*job, "StartTransientUnit", request.unit) : job.status();
  if (absl::IsDeadlineExceeded(status)) manager->Abandon(request.unit);
  return status;
}

absl::Status SystemdScopes::Stop(const std::string& unit, absl::Time deadline) const {
  ASSIGN_OR_RETURN(const std::unique_ptr<Manager> manager, Manager::Open(address_, deadline));
  std::string error;
  const absl::StatusOr<std::string> job =
      manager->CallStrings("StopUnit", {unit, "replace"}, &error);
  if (error == "org.freedesktop.systemd1.NoSuchUnit") return absl::OkStatus();
  RETURN_IF_ERROR(job.status());
  RETURN_IF_ERROR(manager->Wait(*job, "StopUnit", unit));
  // What failed meanwhile would keep the name. CollectMode lets the rest go: no such unit is usual.
  manager->CallStrings("ResetFailedUnit", {unit}).IgnoreError();
  return absl::OkStatus();
}

}  // namespace berth
