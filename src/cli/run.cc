#include <CLI/CLI.hpp>
#include <cstdlib>
#include <list>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/base/undo.h"
#include "src/cli/commands.h"
#include "src/cli/container_end.h"
#include "src/cli/container_streams.h"
#include "src/cli/failure.h"
#include "src/cli/interactive.h"
#include "src/cli/lifecycle.h"
#include "src/cli/log_tail.h"
#include "src/cli/pulling.h"
#include "src/cli/run_config.h"

namespace berth::cli {
namespace {

const char* OwnEnvironment(const char* key) { return std::getenv(key); }

struct Started {
  std::string pod_id;
  std::string uid;
  std::string container_id;
};

// Ctrl-C stops the container, a second one kills it, while its log is still followed.
class Stopper {
 public:
  Stopper(Client& client, const std::string& container_id) : client_(client), id_(container_id) {}
  ~Stopper() {
    for (std::thread& thread : threads_) thread.join();
  }

  void Stop() {
    const absl::Duration grace = threads_.empty() ? kDefaultGrace : absl::ZeroDuration();
    if (threads_.size() >= 2) return;
    // A failure shows as a container that goes on; the next Ctrl-C tries again, harder.
    threads_.emplace_back([this, grace] { client_.StopContainer(id_, grace).IgnoreError(); });
  }

 private:
  Client& client_;
  const std::string id_;
  std::list<std::thread> threads_;
};

class RunCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("IMAGE", options_.image, "pulled if it is not here yet")->required();
    command.add_option("--name", options_.name, "name of the pod and the container")
        ->type_name("NAME");
    command.add_flag("-d,--detach", detach_, "print the container's id and leave it running");
    command.add_flag("--rm", remove_, "remove pod and container when it ends");
    command.add_flag("--host-network", options_.host_network, "use the node's network");
    command.add_option("-e,--env", options_.env, "environment variable; KEY alone passes yours on")
        ->take_all()
        ->allow_extra_args(false)
        ->type_name("KEY=VALUE");
    command.add_option("-w,--workdir", options_.working_dir, "working directory")->type_name("DIR");
    command.add_option("-u,--user", options_.user, "user to run as")->type_name("USER[:GID]");
    command.add_flag("--read-only", options_.read_only, "root file system read-only");
    command.add_option("--memory", options_.memory, "memory limit, like 64m")->type_name("SIZE");
    command.add_option("--cpus", options_.cpus, "CPU limit, like 0.5")->type_name("NUMBER");
    AddInteractiveFlags(command, &interactive_);
    command.footer(
        "What follows IMAGE is the command: berth run --rm IMAGE echo hello\n"
        "The exit code is the command's; 125: berth failed, 126: it cannot be run, 127: it is not "
        "there.");
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    const bool interactive = !detach_ && (interactive_.stdin_open || interactive_.tty);
    RETURN_IF_ERROR(CheckInteractive(
        detach_ ? InteractiveFlags{.detach_keys = interactive_.detach_keys} : interactive_));
    if (detach_ && remove_) {
      return WithHint(absl::UnimplementedError("--rm with --detach: nobody is there to remove it"),
                      "leave one of them out; berth rm -f NAME removes a container later");
    }
    Started started;
    started.uid = NewId();
    if (options_.name.empty()) options_.name = DefaultRunName(options_.image, started.uid);
    options_.command = invocation.container_command;
    options_.tty = interactive_.tty;
    options_.stdin_open = interactive_.stdin_open;
    options_.stdin_once = interactive && interactive_.stdin_open && !interactive_.tty;
    auto config =
        MakeRunConfig(options_, started.uid, RunLogRoot(invocation.socket), OwnEnvironment);
    if (!config.ok()) return WithExitCode(config.status(), kExitUsage);
    Interrupt interrupt;
    std::optional<SessionSignals> signals;
    if (interactive) signals.emplace();
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    RETURN_IF_ERROR(CheckNameIsFree(client));
    RETURN_IF_ERROR(PullIfAbsent(client, interrupt, invocation.output));
    // On failure nothing of it is left.
    Undo undo;
    RETURN_IF_ERROR(Make(client, *config, invocation.socket, &started, &undo));
    const auto start = [&]() -> absl::Status {
      RETURN_IF_ERROR(Explain(client.StartContainer(started.container_id)));
      undo.Commit();
      return absl::OkStatus();
    };
    if (interactive)
      return Interact(client, started, start, {.interrupt = interrupt, .signals = *signals},
                      invocation);
    RETURN_IF_ERROR(start());
    if (detach_) {
      invocation.output.out << started.container_id << "\n";
      return 0;
    }
    return Follow(client, started, interrupt, invocation);
  }

 private:
  absl::Status CheckNameIsFree(Client& client) const {
    ASSIGN_OR_RETURN(const cri::ListPodSandboxResponse pods, client.ListPodSandbox({}));
    for (const cri::PodSandbox& pod : pods.items()) {
      if (!IsRunPod(pod) || pod.metadata().name() != options_.name) continue;
      return WithHint(
          absl::AlreadyExistsError(absl::StrCat("the name ", options_.name, " is in use")),
          absl::StrCat("berth rm -f ", options_.name, " removes it, or choose another --name"));
    }
    return absl::OkStatus();
  }

  absl::Status PullIfAbsent(Client& client, Interrupt& interrupt, Output& output) const {
    const auto known = client.ImageStatus(options_.image);
    if (!known.ok()) return InContext(known.status(), options_.image);
    if (known->has_image()) return absl::OkStatus();
    v1::PullImageRequest request;
    request.set_reference(options_.image);
    return PullWithProgress(client, request, interrupt, output).status();
  }

  absl::Status Make(Client& client, const RunConfig& config, const std::string& socket,
                    Started* started, Undo* undo) const {
    cri::RunPodSandboxRequest run_pod;
    *run_pod.mutable_config() = config.pod;
    ASSIGN_OR_RETURN(started->pod_id, client.RunPodSandbox(run_pod));
    undo->Push([&client, &socket, started] {
      RemoveRunPod(client, started->pod_id, started->uid, socket).IgnoreError();
    });
    cri::CreateContainerRequest create;
    create.set_pod_sandbox_id(started->pod_id);
    *create.mutable_config() = config.container;
    *create.mutable_sandbox_config() = config.pod;
    const auto container_id = client.CreateContainer(create);
    if (!container_id.ok()) return Explain(container_id.status());
    started->container_id = *container_id;
    return absl::OkStatus();
  }

  absl::Status Explain(const absl::Status& status) const {
    if (status.ok()) return status;
    return WithExitCode(InContext(status, options_.image), LaunchExitCode(status));
  }

  // With a session instead of the log: attached before the start, so that nothing is missed.
  absl::StatusOr<int> Interact(Client& client, const Started& started,
                               const std::function<absl::Status()>& start,
                               const SessionEvents& events, Invocation& invocation) const {
    SessionOptions session = SessionOptionsOf(interactive_);
    ASSIGN_OR_RETURN(session.url,
                     client.Attach(MakeAttachRequest(started.container_id, interactive_.stdin_open,
                                                     interactive_.tty)));
    bool started_it = false;
    session.on_ready = [&] {
      started_it = true;
      return start();
    };
    SessionEnd end;
    {
      Stopper stopper(client, started.container_id);
      session.on_interrupt = [&] {
        stopper.Stop();
        return true;
      };
      ASSIGN_OR_RETURN(end, RunSession(session, events, invocation.output));
    }
    if (!started_it) {  // and nothing of it stays
      RETURN_IF_ERROR(end.failure);
      return end.exit_code;
    }
    if (end.kind == SessionEnd::Kind::kFinished && end.failure.ok()) {
      RETURN_IF_ERROR(AwaitExitCode(client, started.container_id).status());
      return Conclude(client, started, invocation);
    }
    const absl::string_view why =
        end.kind == SessionEnd::Kind::kDetached ? "detached" : end.failure.message();
    invocation.output.err << DescribeFailure(
        WithHint(absl::UnavailableError(absl::StrCat("run: ", why.empty() ? "interrupted" : why,
                                                     ": ", options_.name, " goes on")),
                 absl::StrCat("berth attach ", options_.name, " returns to it, berth rm -f ",
                              options_.name, " removes it")),
        invocation.output.err_colour);
    return end.failure.ok() ? end.exit_code : kExitRefused;
  }

  absl::StatusOr<int> Follow(Client& client, const Started& started, Interrupt& interrupt,
                             Invocation& invocation) const {
    ASSIGN_OR_RETURN(const cri::ContainerStatus status,
                     GetContainerStatus(client, started.container_id));
    {
      Stopper stopper(client, started.container_id);
      EndWatch watch(client, started.container_id);
      LogTail log(status.log_path(), {}, invocation.output);
      const FollowHooks hooks{.interrupt_fd = interrupt.fd(), .on_interrupt = [&] {
                                while (interrupt.Take() != 0) stopper.Stop();
                              }};
      RETURN_IF_ERROR(FollowLogs({{.log = &log, .ended = [&] { return watch.Ended(); }}}, hooks));
    }
    return Conclude(client, started, invocation);
  }

  // The container has ended.
  absl::StatusOr<int> Conclude(Client& client, const Started& started,
                               Invocation& invocation) const {
    ASSIGN_OR_RETURN(const cri::ContainerStatus status,
                     GetContainerStatus(client, started.container_id));
    if (status.reason() == "OOMKilled") {
      invocation.output.err << DescribeFailure(
          WithHint(absl::ResourceExhaustedError(absl::StrCat(
                       "run: ", options_.name, ": killed, it used more memory than it may")),
                   options_.memory.empty() ? "" : "give it more with --memory"),
          invocation.output.err_colour);
    }
    // Nothing runs in the pod any more: its network goes back now, its log stays. The container has
    // ended as it has, whether or not that succeeds.
    const absl::Status cleaned =
        remove_ ? RemoveRunPod(client, started.pod_id, started.uid, invocation.socket)
                : client.StopPodSandbox(started.pod_id);
    if (!cleaned.ok()) {
      invocation.output.err << DescribeFailure(
          WithHint(
              InContext(cleaned, absl::StrCat("run: the pod ", options_.name, " is left behind")),
              absl::StrCat("berth rm -f ", options_.name, " tries again to remove it")),
          invocation.output.err_colour);
    }
    return status.exit_code();
  }

  RunOptions options_;
  bool detach_ = false;
  bool remove_ = false;
  InteractiveFlags interactive_;
};

}  // namespace

std::unique_ptr<Command> MakeRun() { return std::make_unique<RunCommand>(); }

}  // namespace berth::cli
