// berthd: the node daemon.
#include <fcntl.h>
#include <grpc/grpc.h>
#include <grpcpp/server_builder.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/image/image_store.h"
#include "src/image/pull_cgroup.h"
#include "src/kernel/file.h"
#include "src/kernel/program_pages.h"
#include "src/kernel/socket.h"
#include "src/kernel/tcp_listener.h"
#include "src/metrics/daemon_metrics.h"
#include "src/nri/plugins.h"
#include "src/sandbox/data_dir.h"
#include "src/sandbox/network/bridge.h"
#include "src/sandbox/network/cni_network.h"
#include "src/sandbox/network/network_choice.h"
#include "src/sandbox/node.h"
#include "src/sandbox/stats_sampler.h"
#include "src/sandbox/streaming/stream_service.h"
#include "src/server/berthd_man.h"
#include "src/server/client_limits.h"
#include "src/server/config_reference.h"
#include "src/server/convert/requests.h"
#include "src/server/daemon_options.h"
#include "src/server/health_service.h"
#include "src/server/http_endpoint.h"
#include "src/server/listener.h"
#include "src/server/notify.h"
#include "src/server/reload.h"
#include "src/server/runtime_service.h"
#include "src/server/self_check.h"
#include "src/server/signal_loop.h"
#include "src/server/telemetry.h"

namespace berth {
namespace {

constexpr absl::Duration kShutdownTimeout = absl::Seconds(5);
constexpr absl::Duration kEvictionGrace = absl::Seconds(10);  // of a container an NRI plugin ends
constexpr absl::Duration kSocketPatience = absl::Seconds(2);
// Between looks whether pods, containers and images are left alone.
constexpr absl::Duration kLookInterval = absl::Minutes(1);

absl::Status CheckNode() {
  if (geteuid() != 0) return absl::PermissionDeniedError("berthd must run as root");
  utsname name;
  int major = 0, minor = 0;
  if (uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2 || major < 5 ||
      (major == 5 && minor < 15)) {
    return absl::FailedPreconditionError(
        absl::StrCat("kernel ", name.release, " is too old: Berth needs Linux 5.15 or newer"));
  }
  return absl::OkStatus();
}

// The helper that keeps the lock keeps the socket for a moment longer.
absl::StatusOr<UniqueFd> ListenPatiently(const std::string& path) {
  const absl::Time patience = SteadyNow() + kSocketPatience;
  absl::StatusOr<UniqueFd> socket = ListenUnix(path, SOCK_STREAM, 0660);
  while (absl::IsAlreadyExists(socket.status()) && SteadyNow() < patience) {
    absl::SleepFor(absl::Milliseconds(10));
    socket = ListenUnix(path, SOCK_STREAM, 0660);
  }
  return socket;
}

absl::StatusOr<std::string> HelperDirectory() {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (length < 0) return ErrnoStatus("readlink", "/proc/self/exe");
  return std::filesystem::path(std::string(path, static_cast<size_t>(length)))
      .parent_path()
      .string();
}

// What curl reads of the environment; a pull inherits nothing else.
std::vector<std::string> ProxyEnvironment() {
  std::vector<std::string> environment;
  for (const char* name :
       {"HTTPS_PROXY", "https_proxy", "http_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY"}) {
    if (const char* value = std::getenv(name); value != nullptr)
      environment.push_back(absl::StrCat(name, "=", value));
  }
  return environment;
}

RequestPolicy PolicyOf(const Config& config, const Node& node) {
  const std::vector<Node::Handler> handlers = node.Handlers();
  RequestPolicy policy{.handlers = {},
                       .systemd_cgroups = config.cgroup_driver == "systemd",
                       .apparmor = node.lsm().apparmor,
                       .selinux = node.lsm().selinux,
                       .user_namespaces_host_network = handlers[0].user_namespaces};
  for (const Node::Handler& handler : handlers) {
    policy.handlers.push_back({.name = handler.name,
                               .recursive_read_only_mounts = handler.recursive_readonly,
                               .user_namespaces = handler.user_namespaces});
  }
  return policy;
}

// Null where it is turned off.
std::unique_ptr<nri::Plugins> MakePlugins(nri::Options options) {
  if (options.socket.empty()) return nullptr;
  options.runtime_version = kVersion;
  return std::make_unique<nri::Plugins>(options);
}

// What an NRI plugin wants of the node, it is not asked about.
nri::Plugins::Access AccessTo(Node& node) {
  return {.snapshot = [&node] { return node.Snapshot(); },
          .spec = [&node](const ContainerRecord& container,
                          const PodRecord& pod) { return node.SpecOf(container, pod); },
          .update = [&node](const std::string& id,
                            const CgroupLimits& changes) { return node.ChangeLimits(id, changes); },
          .stop =
              [&node](const std::string& id) {
                return node.StopContainer(id, kEvictionGrace, absl::InfiniteFuture());
              }};
}

// Null where it is turned off.
absl::StatusOr<std::unique_ptr<StreamService>> StartStreaming(StreamService::Options options,
                                                              const Node& node, const Log& log) {
  if (options.listen.empty()) return nullptr;
  absl::StatusOr<std::unique_ptr<StreamService>> started =
      StreamService::Start(std::move(options), node);
  if (!absl::IsNotFound(started.status())) return started;
  log.Warning("no exec, attach and port-forward", {{"error", started.status().message()}});
  return nullptr;
}

// Sockets, pods and kept-open cgroup files take descriptors: as many as this process may have.
// Returns the limit as it was, which is what pods inherit.
rlimit RaiseDescriptorLimit() {
  rlimit before = {};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit raised = {.rlim_cur = before.rlim_max, .rlim_max = before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &raised);
  return before;
}

// Who asks is not known there: it is for this node only.
absl::StatusOr<UniqueFd> ListenForScrapes(const std::string& address) {
  absl::string_view path = address;
  if (absl::ConsumePrefix(&path, "unix://"))
    return ListenUnix(std::string(path), SOCK_STREAM, 0660);
  ASSIGN_OR_RETURN(TcpListener listener, ListenTcp(address));
  if (!listener.loopback)
    return absl::InvalidArgumentError(absl::StrCat(address, " is not a loopback address"));
  return std::move(listener.socket);
}

// What the start, a pull that received layers, or what was done since needed, and what follows may
// not.
void GiveBackMemory(const Log& log) {
  malloc_trim(0);
  if (const absl::Status released = ReleaseProgramPages(); !released.ok())
    log.Debug("the program stays resident", {{"error", released.message()}});
}

// `read` reads the configuration again, at SIGHUP.
absl::Status Serve(const Config& config, const std::function<absl::StatusOr<Config>()>& read,
                   Log& log) {
  RETURN_IF_ERROR(CheckNode());
  const sigset_t signals = BlockServiceSignals();
  umask(022);

  RETURN_IF_ERROR(MakeDirs(config.data_dir, 0700));
  RETURN_IF_ERROR(MakeDirs(config.state_dir, 0700));
  ASSIGN_OR_RETURN(const UniqueFd lock, LockDataDir(config.data_dir));
  ASSIGN_OR_RETURN(const std::string helpers, HelperDirectory());
  const rlimit descriptors = RaiseDescriptorLimit();
  ASSIGN_OR_RETURN(DaemonOptions options, OptionsOf(config, helpers, descriptors, log));
  DaemonMetrics metrics(kVersion);
  std::function<void(const OperationRecord&)> operation_ended;
  OperationLog operations({}, [&operation_ended](const OperationRecord& operation) {
    if (operation_ended) operation_ended(operation);
  });
  ASSIGN_OR_RETURN(const std::unique_ptr<Database> database, OpenDatabase(config.data_dir, log));
  database->Observe([&metrics](absl::string_view kind, absl::Duration took) {
    metrics.ObserveStore(kind, took);
  });
  ASSIGN_OR_RETURN(const std::unique_ptr<PullCgroups> pull_cgroups,
                   PullCgroups::Open(std::move(options.pull_cgroups)));
  options.images.pull_cgroups = pull_cgroups.get();
  options.images.pull_env = ProxyEnvironment();
  ASSIGN_OR_RETURN(const std::unique_ptr<ImageStore> images,
                   ImageStore::Open(std::move(options.images), *database));
  RETURN_IF_ERROR(database->MarkFilled());
  ASSIGN_OR_RETURN(const std::unique_ptr<BridgeNetwork> network,
                   BridgeNetwork::Open(std::move(options.bridge), *database));
  ASSIGN_OR_RETURN(const std::unique_ptr<CniNetwork> cni,
                   CniNetwork::Open(std::move(options.cni), *database));
  NetworkChoice networks(options.network_mode, *network, *cni);
  options.node.parsers = StoredRequestParsers();
  options.node.parsers.adjustment = nri::ReadAdjustment;
  options.node.operations = &operations;
  const std::unique_ptr<nri::Plugins> plugins = MakePlugins(std::move(options.plugins));
  options.node.plugins = plugins.get();
  ASSIGN_OR_RETURN(const std::unique_ptr<Node> node,
                   Node::Open(std::move(options.node), *database, *images, networks));
  const auto release = absl::MakeCleanup([&node] { node->ReleaseIfIdle(); });
  const auto without_plugins = absl::MakeCleanup([&plugins] {
    if (plugins != nullptr) plugins->Stop();
  });
  EventLog event_log(node->events());
  std::atomic<uint64_t> operations_done = 0;
  std::atomic<int64_t> received_bytes = 0;  // by the pulls that memory was given back after
  operation_ended = [&](const OperationRecord& operation) {
    ++operations_done;
    ObserveOperation(operation, metrics);
    event_log.Add(operation);
    if (absl::string_view(operation.kind) != "PullImage") return;
    const ImageStore::PullCounts pulls = images->Counts();
    if (pulls.running == 0 && received_bytes.exchange(pulls.received_bytes) != pulls.received_bytes)
      GiveBackMemory(log);
  };
  const auto unobserved = absl::MakeCleanup([&] { operation_ended = nullptr; });
  StatsSampler sampler(
      {.snapshot = [&node] { return node->Snapshot(); },
       .cgroups = &node->cgroups(),
       .interfaces = [&node](absl::string_view pod) { return node->PodInterfaces(pod); },
       .events = &node->events()},
      options.sampler);
  EventStreams event_streams(node->events());
  const Calls calls(log, metrics);
  metrics.AddReader([&images = *images] { return ReadPulls(images); });
  metrics.AddReader([&network = *network] { return ReadNetwork(network.counts()); });
  metrics.AddReader([&cni = *cni] { return ReadCni(cni.counts()); });
  metrics.AddReader([&] { return ReadNode(*node, sampler); });
  metrics.AddReader([&] { return ReadServer(calls, event_streams); });
  metrics.AddReader(ReadProcessMetrics);
  std::atomic<bool> serving = false, container_series = config.metrics_containers == "true";
  const TelemetryEndpoint telemetry(
      {.metrics = metrics,
       .node = *node,
       .sampler = sampler,
       .containers = [&container_series] { return container_series.load(); },
       .ready = [&serving] { return serving.load(); }});
  std::optional<HttpEndpoint> endpoint;
  if (!config.metrics_listen.empty()) {
    absl::StatusOr<UniqueFd> listener = ListenForScrapes(config.metrics_listen);
    if (!listener.ok()) return Annotate(listener.status(), "metrics.listen");
    endpoint.emplace(*std::move(listener), [&telemetry](const HttpRequest& request) {
      return telemetry.Answer(request);
    });
  }

  ASSIGN_OR_RETURN(const std::unique_ptr<StreamService> streams,
                   StartStreaming(std::move(options.streaming), *node, log));
  RuntimeService runtime_service(*node, config, calls,
                                 {.sampler = sampler, .events = event_streams},
                                 PolicyOf(config, *node), streams.get());
  ImageService image_service(*node, *images, calls, operations);
  AdminService admin_service(*node, *images, calls, operations, event_log);
  HealthService health_service({"runtime.v1.RuntimeService", "runtime.v1.ImageService"});
  RETURN_IF_ERROR(CheckRoomForThreads());
  // Never shut down: that waits for each thread of its timers, those included that it counted and
  // the kernel refused (EAGAIN).
  grpc_init();
  grpc::ServerBuilder builder;
  BoundClients(options.keepalive, &builder);
  builder.RegisterService(&runtime_service);
  builder.RegisterService(&image_service);
  builder.RegisterService(&admin_service);
  builder.RegisterService(&health_service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return absl::InternalError("gRPC server does not start");
  if (plugins != nullptr) RETURN_IF_ERROR(plugins->Serve(AccessTo(*node)));
  // State is known by now: a client never sees an empty or partial list.
  RETURN_IF_ERROR(MakeDirs(std::filesystem::path(config.socket).parent_path().string(), 0755));
  ASSIGN_OR_RETURN(UniqueFd socket, ListenPatiently(config.socket));
  {
    ASSIGN_OR_RETURN(
        const std::unique_ptr<Listener> listener,
        Listener::Start(std::move(socket),
                        ConnectionLimits(options.max_connections, descriptors.rlim_max), *server,
                        log));
    serving = true;
    NotifyServiceManager("READY=1");
    log.Info("serving",
             {{"socket", config.socket}, {"version", kVersion}, {"data_dir", config.data_dir}});
    GiveBackMemory(log);
    Config running = config;
    const SignalLoop loop = {
        .signals = signals,
        .reload =
            [&] {
              ReloadConfig(read, &running, &log);
              container_series = running.metrics_containers == "true";
            },
        .check =
            [&config](absl::Duration patience) { return CheckServing(config.socket, patience); },
        .on_failed_check =
            [&log](const absl::Status& status) {
              log.Warning("the service manager's watchdog is not told that berthd serves",
                          {{"error", status.message()}});
            },
        .watchdog_patience = WatchdogPatience(),
        .work_done = [&operations_done] { return operations_done.load(); },
        .on_rest = [&log] { GiveBackMemory(log); },
        .look_interval = kLookInterval};
    const int signal = loop.Run();
    log.Info("stopping; pods go on running", {{"signal", strsignal(signal)}});
    serving = false;
    health_service.Stop();
    NotifyServiceManager("STOPPING=1");
    unlink(config.socket.c_str());
  }
  event_streams.Stop();
  event_log.Stop();
  // gRPC would wait for idle clients too, and a connected kubelet is one.
  calls.AwaitIdle(SteadyNow() + kShutdownTimeout);
  server->Shutdown(std::chrono::system_clock::now());
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  CLI::App app{
      "The daemon of Berth: serves the Kubernetes container runtime interface (CRI) on a unix "
      "socket, and keeps the node's pods, containers and images. Pods need no running berthd: it "
      "may be ended, killed and started at any time.",
      "berthd"};
  std::string dir, file = "/etc/berth/berth.toml";
  app.add_option("--dir", dir,
                 "keep everything below this directory (data, state, socket, configuration)");
  CLI::Option* config_option =
      app.add_option("--config", file, "configuration file")->capture_default_str();
  app.set_version_flag("--version", kVersion);
  CLI::App* config_command = app.add_subcommand("config", "look at the configuration");
  config_command->require_subcommand(1);
  CLI::App* print_default =
      config_command->add_subcommand("default", "print the default configuration");
  CLI::App* check = config_command->add_subcommand(
      "check", "read the configuration and say what is wrong with it");
  CLI::App* dump = config_command->add_subcommand("dump", "print the configuration in force");
  CLI::App* man = app.add_subcommand("man", "print berthd(8)")->group("");
  CLI::App* config_man = config_command->add_subcommand("man", "print berth.toml(5)")->group("");
  CLI::App* reference =
      config_command->add_subcommand("reference", "print docs/configuration.md")->group("");
  CLI11_PARSE(app, argc, argv);

  const std::string source = absl::StrCat("Berth ", kVersion);
  if (*man) {
    std::fputs(BerthdManPage(app, source).c_str(), stdout);
    return 0;
  }
  if (*config_man) {
    std::fputs(ConfigManPage(source).c_str(), stdout);
    return 0;
  }
  if (*reference) {
    std::fputs(ConfigMarkdown().c_str(), stdout);
    return 0;
  }
  Config defaults;
  if (!dir.empty()) {
    std::error_code error;
    dir = std::filesystem::absolute(dir, error).lexically_normal().string();
    if (dir.size() > 1 && dir.back() == '/') dir.pop_back();
    defaults = ConfigForDir(dir);
    if (config_option->count() == 0) file = dir + "/berth.toml";
  }
  if (*print_default) {
    std::fputs(DumpConfig(defaults).c_str(), stdout);
    return 0;
  }
  const auto read = [&] { return LoadConfig(file, defaults); };
  const absl::StatusOr<Config> config = read();
  if (!config.ok()) {
    std::fprintf(stderr, "berthd: %s\n", std::string(config.status().message()).c_str());
    return 1;
  }
  if (*check) {
    std::puts("configuration is good");
    return 0;
  }
  if (*dump) {
    std::fputs(DumpConfig(*config).c_str(), stdout);
    return 0;
  }
  Log log;
  ConfigureLog(*config, &log);
  absl::Status served;
  try {
    served = Serve(*config, read, log);
  } catch (const std::system_error& error) {  // no thread to be had at the start
    served = absl::ResourceExhaustedError(absl::StrCat("start thread: ", error.what()));
  }
  if (served.ok()) return 0;
  log.Error("berthd ends", {{"error", served.message()}});
  return 1;
}

}  // namespace
}  // namespace berth

int main(int argc, char** argv) {
  // Debian builds abseil in its debug mode, which records the order of all locks: a cost for each
  // lock, and a daemon that aborts on what only might be a deadlock.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return berth::Main(argc, argv);
}
