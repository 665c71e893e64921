#include "src/oci/app.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "nlohmann/json.hpp"
#include "src/base/status_macros.h"
#include "src/oci/commands.h"
#include "src/oci/oci_config.h"

namespace berth::oci {
namespace {

constexpr int kFailed = 1;

constexpr char kAbout[] =
    "Runs containers from OCI bundles with Berth's built-in executor.\n\n"
    "A bundle is a directory with a config.json (OCI runtime specification 1.x) and a root file\n"
    "system. An engine calls create, start, kill and delete; a person may use run. What\n"
    "config.json asks for is honoured, or refused by the name of its field.";

constexpr char kFooter[] =
    "Files: ROOT/ID/ holds the state of a container, from create to delete.\n"
    "Exit code: that of the container's process for run and exec (128+n for signal n), else 0,\n"
    "or 1 with a message on stderr and in the log.";

struct GlobalOptions {
  std::string root = "/run/berth-oci", log, log_format = "text";
  bool debug = false, systemd_cgroup = false;
};

std::string LogLine(const GlobalOptions& global, const absl::Status& status) {
  const std::string now = absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone());
  const std::string message(status.message());
  if (global.log_format == "json") {
    return nlohmann::json({{"level", "error"}, {"msg", message}, {"time", now}})
               .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) +
           "\n";
  }
  return absl::StrCat(
      "time=", now, " level=error msg=",
      nlohmann::json(message).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), "\n");
}

class App {
 public:
  explicit App(const AppEnvironment& environment)
      : environment_(environment), app_(kAbout, "berth-oci") {}

  int Run(std::vector<std::string> arguments);

 private:
  using Action = std::function<absl::StatusOr<int>(const Runtime&)>;

  CLI::App* Add(const char* name, const char* about, Action action);
  CLI::App* AddWithId(const char* name, const char* about, Action action);
  static Action Quiet(std::function<absl::Status(const Runtime&)> action);
  void DeclareGlobal();
  void DeclareCreation(CLI::App* command);
  void DeclareLife();
  void DeclareExec();
  void DeclareReports();
  void DeclareUpdate();
  absl::Status CheckEnvironment() const;
  absl::Status CheckCreation() const;
  int Fail(const absl::Status& status) const;

  const AppEnvironment& environment_;
  CLI::App app_;
  GlobalOptions global_;
  Action action_;
  std::string id_;
  RunOptions run_;
  ExecOptions exec_;
  KillOptions kill_;
  UpdateOptions update_;
  bool no_pivot_ = false, force_ = false, quiet_ = false, all_ = false;
  int preserve_fds_ = 0;
  std::string format_ = "table", bundle_ = ".";
};

App::Action App::Quiet(std::function<absl::Status(const Runtime&)> action) {
  return [action = std::move(action)](const Runtime& runtime) -> absl::StatusOr<int> {
    RETURN_IF_ERROR(action(runtime));
    return 0;
  };
}

CLI::App* App::Add(const char* name, const char* about, Action action) {
  CLI::App* command = app_.add_subcommand(name, about);
  command->callback([this, action = std::move(action)] { action_ = action; });
  return command;
}

CLI::App* App::AddWithId(const char* name, const char* about, Action action) {
  CLI::App* command = Add(name, about, std::move(action));
  command->add_option("ID", id_, "the container")->required();
  return command;
}

void App::DeclareGlobal() {
  app_.require_subcommand(1);
  app_.footer(kFooter);
  app_.set_version_flag("--version,-v",
                        absl::StrCat("berth-oci version ", BERTH_VERSION, "\nspec: ", kOciVersion));
  app_.add_option("--root", global_.root, "where the states of containers are")
      ->capture_default_str();
  app_.add_option("--log", global_.log, "file that errors are appended to");
  app_.add_option("--log-format", global_.log_format, "of the log")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app_.add_flag("--debug", global_.debug, "accepted; nothing more is logged");
  app_.add_flag("--systemd-cgroup", global_.systemd_cgroup, "refused: cgroupfs only");
}

void App::DeclareCreation(CLI::App* command) {
  CreateOptions& create = run_.create;
  command->add_option("--bundle,-b", create.bundle, "directory of the bundle")
      ->capture_default_str();
  command->add_option("--pid-file", create.pid_file, "file that gets the process's id");
  command->add_option("--console-socket", create.console_socket,
                      "unix socket that gets the terminal");
  command->add_flag("--no-pivot", no_pivot_, "refused: the root is always pivoted");
  command->add_flag("--no-new-keyring", create.no_new_keyring, "keep the session keyring");
  command->add_option("--preserve-fds", preserve_fds_, "only 0: no descriptor is passed on");
}

void App::DeclareLife() {
  DeclareCreation(AddWithId("create", "create a container", Quiet([this](const Runtime& runtime) {
                              run_.create.id = id_;
                              RETURN_IF_ERROR(CheckCreation());
                              return Create(runtime, run_.create);
                            })));
  AddWithId("start", "start a created container's process",
            Quiet([this](const Runtime& runtime) { return Start(runtime, id_); }));
  CLI::App* run = AddWithId("run", "create and start a container",
                            [this](const Runtime& runtime) -> absl::StatusOr<int> {
                              run_.create.id = id_;
                              RETURN_IF_ERROR(CheckCreation());
                              return berth::oci::Run(runtime, run_);
                            });
  DeclareCreation(run);
  run->add_flag("--detach,-d", run_.detach, "do not stay with it");
  run->add_flag("--keep", run_.keep, "do not delete it when it has ended");
  CLI::App* kill = AddWithId("kill", "send a signal to a container's process",
                             Quiet([this](const Runtime& runtime) {
                               kill_.id = id_;
                               return Kill(runtime, kill_);
                             }));
  kill->add_option("SIGNAL", kill_.signal, "name or number")->capture_default_str();
  kill->add_flag("--all,-a", kill_.all, "to all of its processes");
  AddWithId("delete", "remove a stopped container",
            Quiet([this](const Runtime& runtime) { return Delete(runtime, id_, force_); }))
      ->add_flag("--force,-f", force_, "kill it if it runs; none is fine, too");
}

void App::DeclareExec() {
  CLI::App* exec =
      AddWithId("exec", "run a process in a container", [this](const Runtime& runtime) {
        exec_.id = id_;
        return Exec(runtime, exec_);
      });
  exec->add_option("--process,-p", exec_.process_file, "process.json");
  exec->add_flag("--detach,-d", exec_.detach, "do not stay with it");
  exec->add_option("--pid-file", exec_.pid_file, "file that gets the process's id");
  exec->add_option("--console-socket", exec_.console_socket, "unix socket that gets the terminal");
  exec->add_flag("--tty,-t", exec_.tty, "with a terminal");
  exec->add_option("--user,-u", exec_.user, "UID or UID:GID");
  exec->add_option("--cwd", exec_.cwd, "working directory");
  exec->add_option("--env,-e", exec_.env, "NAME=VALUE")->allow_extra_args(false);
  exec->add_option("--cap,-c", exec_.capabilities, "capability more")->allow_extra_args(false);
  exec->add_flag("--no-new-privs", exec_.no_new_privs, "set no_new_privs");
  exec->footer("The command follows the ID.");
  exec->prefix_command();
}

void App::DeclareReports() {
  const auto format = [this] { return format_ == "json" ? Format::kJson : Format::kTable; };
  const auto add_format = [this](CLI::App* command) {
    command->add_option("--format,-f", format_, "of the output")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
  };
  AddWithId("state", "print a container's state",
            Quiet([this](const Runtime& runtime) { return PrintState(runtime, id_); }));
  CLI::App* list = Add("list", "list the containers", Quiet([this, format](const Runtime& runtime) {
                         return List(runtime, format(), quiet_);
                       }));
  add_format(list);
  list->add_flag("--quiet,-q", quiet_, "ids only");
  add_format(AddWithId(
      "ps", "list a container's processes",
      Quiet([this, format](const Runtime& runtime) { return Processes(runtime, id_, format()); })));
  Add("features", "print what this runtime knows", Quiet(PrintFeatures));
  Add("spec", "write a config.json to begin with",
      Quiet([this](const Runtime&) { return WriteDefaultSpec(bundle_); }))
      ->add_option("--bundle,-b", bundle_, "directory of the bundle")
      ->capture_default_str();
}

void App::DeclareUpdate() {
  AddWithId("pause", "freeze a container's processes",
            Quiet([this](const Runtime& runtime) { return Freeze(runtime, id_, true); }));
  AddWithId("resume", "let them go on",
            Quiet([this](const Runtime& runtime) { return Freeze(runtime, id_, false); }));
  CLI::App* update =
      AddWithId("update", "change a container's limits", Quiet([this](const Runtime& runtime) {
                  update_.id = id_;
                  return Update(runtime, update_);
                }));
  CgroupLimits& limits = update_.limits;
  update->add_option("--resources,-r", update_.resources_file,
                     "linux.resources as JSON; - is stdin");
  update->add_option("--memory", limits.memory_bytes, "bytes; -1 none");
  update->add_option("--memory-swap", limits.memory_swap_bytes, "bytes with memory; -1 none");
  update->add_option("--cpu-share", limits.cpu_shares, "2 to 262144");
  update->add_option("--cpu-quota", limits.cpu_quota_us, "microseconds a period; -1 none");
  update->add_option("--cpu-period", limits.cpu_period_us, "microseconds");
  update->add_option("--cpuset-cpus", limits.cpuset_cpus, "\"0-2,4\"");
  update->add_option("--cpuset-mems", limits.cpuset_mems, "\"0\"");
  update->add_option("--pids-limit", limits.pids, "processes; -1 none");
}

absl::Status App::CheckEnvironment() const {
  if (!environment_.is_root)
    return absl::PermissionDeniedError("berth-oci: needs root; rootless is not supported");
  if (global_.systemd_cgroup)
    return absl::UnimplementedError("--systemd-cgroup: not supported, cgroups are made directly");
  return absl::OkStatus();
}

absl::Status App::CheckCreation() const {
  if (no_pivot_) return absl::UnimplementedError("--no-pivot: not supported");
  if (preserve_fds_ != 0) return absl::UnimplementedError("--preserve-fds: only 0 is supported");
  return absl::OkStatus();
}

int App::Fail(const absl::Status& status) const {
  *environment_.err << "berth-oci: " << status.message() << std::endl;
  if (!global_.log.empty()) std::ofstream(global_.log, std::ios::app) << LogLine(global_, status);
  return kFailed;
}

int App::Run(std::vector<std::string> arguments) {
  DeclareGlobal();
  DeclareLife();
  DeclareExec();
  DeclareReports();
  DeclareUpdate();
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants it
  try {
    app_.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app_.exit(error, *environment_.out, *environment_.err);
    return Fail(absl::InvalidArgumentError(error.what()));
  }
  exec_.args = app_.get_subcommand("exec")->remaining();
  if (!exec_.args.empty() && exec_.args[0] == "--") exec_.args.erase(exec_.args.begin());
  const Runtime runtime = {.states = StateDirectory(global_.root),
                           .monitor = environment_.monitor,
                           .out = environment_.out,
                           .err = environment_.err};
  if (const absl::Status checked = CheckEnvironment(); !checked.ok()) return Fail(checked);
  const absl::StatusOr<int> code = action_(runtime);
  return code.ok() ? *code : Fail(code.status());
}

}  // namespace

int RunApp(std::vector<std::string> arguments, const AppEnvironment& environment) {
  return App(environment).Run(std::move(arguments));
}

}  // namespace berth::oci
