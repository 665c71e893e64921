#include "src/nri/roster.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/start_thread.h"
#include "src/base/status_macros.h"
#include "src/kernel/socket.h"
#include "src/runtime/trusted_file.h"

namespace berth::nri {
namespace {

constexpr size_t kMaxPlugins = 64;  // connections at the same time
constexpr size_t kMaxConfig = 1 << 20;
constexpr absl::Duration kProgramEnd = absl::Seconds(2);  // of a plugin whose connection is closed
constexpr char kProgramPath[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr int kProgramSocket = 3;

}  // namespace

absl::Status Roster::Serve(Callbacks callbacks) {
  callbacks_ = std::move(callbacks);
  wake_.reset(::eventfd(0, EFD_CLOEXEC));
  if (!wake_.valid()) return ErrnoStatus("eventfd", "of NRI");
  const std::string directory = std::filesystem::path(options_.socket).parent_path();
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return ErrnoStatus("mkdir", directory, error.value());
  ASSIGN_OR_RETURN(listener_, ListenUnix(options_.socket, SOCK_STREAM, 0600));
  StartInstalled();
  ASSIGN_OR_RETURN(acceptor_, StartThread("that accepts NRI plugins", [this] { Accept(); }));
  return absl::OkStatus();
}

void Roster::Stop() {
  {
    absl::MutexLock lock(&mu_);
    if (std::exchange(stopping_, true)) return;
  }
  if (listener_.valid()) ::unlink(options_.socket.c_str());
  if (wake_.valid()) ::eventfd_write(wake_.get(), 1);
  if (acceptor_.joinable()) acceptor_.join();
  std::list<Member> members;
  {
    absl::MutexLock lock(&mu_);
    members.swap(members_);
  }
  for (Member& member : members) {
    api::Empty reply;
    if (member.takes_part && !member.ended)
      member.plugin->Call("Shutdown", api::Empty(), &reply).IgnoreError();
    member.plugin->Close();
  }
  for (Member& member : members) member.handshake.join();
  for (SpawnedProcess& program : programs_) {
    pollfd ended = {.fd = program.pidfd.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ended, 1, static_cast<int>(absl::ToInt64Milliseconds(kProgramEnd))) == 0)
      ::syscall(SYS_pidfd_send_signal, program.pidfd.get(), SIGKILL, nullptr, 0);
    ::waitid(P_PIDFD, static_cast<id_t>(program.pidfd.get()), nullptr, WEXITED);
  }
}

void Roster::Accept() {
  while (true) {
    std::vector<pollfd> ready = {{.fd = wake_.get(), .events = POLLIN, .revents = 0},
                                 {.fd = listener_.get(), .events = POLLIN, .revents = 0}};
    for (const SpawnedProcess& program : programs_)
      ready.push_back({.fd = program.pidfd.get(), .events = POLLIN, .revents = 0});
    if (::poll(ready.data(), ready.size(), -1) < 0) continue;
    if (ready[0].revents != 0) {
      eventfd_t count = 0;
      ::eventfd_read(wake_.get(), &count);
      absl::MutexLock lock(&mu_);
      if (stopping_) return;
    }
    Reap();
    if (ready[1].revents == 0) continue;
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.valid()) continue;
    if (const absl::Status added = Add(std::move(socket), std::nullopt); !added.ok())
      log_.Warning("NRI plugin refused", {{"error", added.message()}});
  }
}

absl::Status Roster::Add(UniqueFd socket, std::optional<PluginName> name) {
  {
    absl::MutexLock lock(&mu_);
    if (members_.size() >= kMaxPlugins)
      return absl::ResourceExhaustedError(absl::StrCat("there are ", kMaxPlugins, " plugins"));
  }
  ASSIGN_OR_RETURN(PluginPtr plugin,
                   Plugin::Start(std::move(socket), std::move(name), options_.timeouts,
                                 {.update = callbacks_.update,
                                  .ended = [this](const Plugin& from, const absl::Status& why) {
                                    if (MarkEnded(from))
                                      log_.Info("NRI plugin has gone", {{"plugin", from.name()},
                                                                        {"error", why.message()}});
                                  }}));
  absl::MutexLock lock(&mu_);
  Member& member = members_.emplace_back();
  member.plugin = plugin;
  absl::StatusOr<std::thread> handshake =
      StartThread("of an NRI plugin's handshake", [this, plugin] { ShakeHands(plugin); });
  if (!handshake.ok()) {
    members_.pop_back();
    return handshake.status();
  }
  member.handshake = *std::move(handshake);
  return absl::OkStatus();
}

void Roster::ShakeHands(const PluginPtr& plugin) {
  const absl::Status admitted = Admit(plugin);
  if (admitted.ok()) {
    log_.Info("NRI plugin takes part", {{"plugin", plugin->name()}});
    return;
  }
  log_.Warning("NRI plugin does not take part",
               {{"plugin", plugin->name()}, {"error", admitted.message()}});
  plugin->Close();
  MarkEnded(*plugin);  // its connection may have ended before it was a member
}

absl::Status Roster::Admit(const PluginPtr& plugin) {
  RETURN_IF_ERROR(plugin->AwaitRegistration());
  ASSIGN_OR_RETURN(const std::string config, ConfigOf(plugin->name()));
  RETURN_IF_ERROR(plugin->Configure(config, options_.runtime_version));
  api::SynchronizeResponse wanted;
  {
    absl::MutexLock alone(&admission_);
    ASSIGN_OR_RETURN(wanted, plugin->Synchronize(callbacks_.what_there_is()));
    absl::MutexLock lock(&mu_);
    for (Member& member : members_) {
      if (member.plugin == plugin) member.takes_part = true;
    }
  }
  callbacks_.came(*plugin, wanted);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Roster::ConfigOf(const std::string& name) const {
  if (options_.config_dir.empty()) return std::string();
  for (const std::string& file : {name, name.substr(name.find('-') + 1)}) {
    absl::StatusOr<std::string> config =
        ReadTrustedFile(absl::StrCat(options_.config_dir, "/", file, ".conf"), kMaxConfig);
    if (!absl::IsNotFound(config.status())) return config;
  }
  return std::string();
}

void Roster::StartInstalled() {
  if (options_.plugin_dir.empty()) return;
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(options_.plugin_dir, error))
    files.push_back(entry.path().filename().string());
  if (error && error != std::errc::no_such_file_or_directory)
    log_.Warning("NRI plugins not started",
                 {{"directory", options_.plugin_dir}, {"error", error.message()}});
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) {
    if (const absl::Status started = StartProgram(file); !started.ok())
      log_.Warning("NRI plugin not started", {{"plugin", file}, {"error", started.message()}});
  }
}

absl::Status Roster::StartProgram(const std::string& file) {
  ASSIGN_OR_RETURN(PluginName name, ParsePluginName(file));
  const std::string path = absl::StrCat(options_.plugin_dir, "/", file);
  RETURN_IF_ERROR(CheckTrustedExecutable(path));
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return ErrnoStatus("socketpair", path);
  UniqueFd ours(pair[0]);
  const UniqueFd theirs(pair[1]);
  ASSIGN_OR_RETURN(SpawnedProcess process,
                   Spawn({.path = path,
                          .argv = {path},
                          .env = {kProgramPath, absl::StrCat("NRI_PLUGIN_NAME=", name.base),
                                  absl::StrCat("NRI_PLUGIN_IDX=", name.index),
                                  absl::StrCat("NRI_PLUGIN_SOCKET=", kProgramSocket)},
                          .fds = {-1, STDERR_FILENO, STDERR_FILENO, theirs.get()},
                          .default_oom_score = true,
                          .cwd = "/"}));
  programs_.push_back(std::move(process));
  return Add(std::move(ours), std::move(name));
}

bool Roster::MarkEnded(const Plugin& plugin) {
  bool took_part = false;
  {
    absl::MutexLock lock(&mu_);
    for (Member& member : members_) {
      if (member.plugin.get() != &plugin) continue;
      took_part = member.takes_part;
      member.ended = true;
    }
  }
  ::eventfd_write(wake_.get(), 1);
  return took_part;
}

void Roster::Reap() {
  std::list<Member> ended;
  {
    absl::MutexLock lock(&mu_);
    for (auto member = members_.begin(); member != members_.end();) {
      const auto next = std::next(member);
      if (member->ended) ended.splice(ended.end(), members_, member);
      member = next;
    }
  }
  for (Member& member : ended) member.handshake.join();
  programs_.erase(std::remove_if(programs_.begin(), programs_.end(),
                                 [](const SpawnedProcess& program) {
                                   siginfo_t info = {};
                                   const auto id = static_cast<id_t>(program.pidfd.get());
                                   return ::waitid(P_PIDFD, id, &info, WEXITED | WNOHANG) == 0 &&
                                          info.si_pid != 0;
                                 }),
                  programs_.end());
}

absl::Status Roster::CheckRequired() const {
  absl::MutexLock lock(&mu_);
  for (const std::string& required : options_.required) {
    const bool there = std::any_of(members_.begin(), members_.end(), [&](const Member& member) {
      if (!member.takes_part || member.ended) return false;
      return member.plugin->parts().base == required;
    });
    if (!there) {
      return absl::UnavailableError(
          absl::StrCat("NRI plugin ", required, " is required (nri.required), and is not there"));
    }
  }
  return absl::OkStatus();
}

std::vector<PluginPtr> Roster::Wanting(api::Event event) const {
  std::vector<PluginPtr> wanting;
  {
    absl::MutexLock lock(&mu_);
    for (const Member& member : members_) {
      if (member.takes_part && !member.ended && member.plugin->Wants(event))
        wanting.push_back(member.plugin);
    }
  }
  std::stable_sort(
      wanting.begin(), wanting.end(),
      [](const PluginPtr& left, const PluginPtr& right) { return left->name() < right->name(); });
  return wanting;
}

}  // namespace berth::nri
