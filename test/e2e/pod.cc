#include "test/e2e/pod.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "test/e2e/isolation.h"
#include "test/e2e/node.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;

constexpr size_t kHostnameLength = 63;  // what a kubelet sends at most

constexpr const char* kMaskedPaths[] = {
    "/proc/asound",     "/proc/acpi",        "/proc/interrupts",
    "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};
constexpr const char* kReadonlyPaths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                          "/proc/sysrq-trigger"};

absl::StatusOr<nlohmann::json> ParseJson(const std::string& text) {
  nlohmann::json value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded())
    return absl::InvalidArgumentError(absl::StrCat("not JSON: ", text.substr(0, 500)));
  return value;
}

}  // namespace

cri::PodSandboxConfig MakePodConfig(const std::string& name) {
  cri::PodSandboxConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_metadata()->set_uid(absl::StrCat("uid-", name));
  config.mutable_metadata()->set_namespace_("e2e");
  config.set_log_directory(absl::StrCat(NodeDir(), "/logs/", name));
  return config;
}

cri::PodSandboxConfig MakeKubeletPodConfig(const std::string& name) {
  cri::PodSandboxConfig config = MakePodConfig(name);
  config.set_hostname(name.substr(0, kHostnameLength));
  auto* dns = config.mutable_dns_config();
  dns->add_servers("10.10.10.10");
  dns->add_searches("e2e.svc.cluster.local");
  dns->add_searches("svc.cluster.local");
  dns->add_options("ndots:5");
  auto& labels = *config.mutable_labels();
  labels["io.kubernetes.pod.name"] = name;
  labels["io.kubernetes.pod.namespace"] = "e2e";
  labels["io.kubernetes.pod.uid"] = config.metadata().uid();
  labels["app"] = name;
  (*config.mutable_annotations())["kubernetes.io/config.source"] = "api";
  config.add_port_mappings()->set_container_port(80);
  auto* linux = config.mutable_linux();
  linux->set_cgroup_parent(
      absl::StrCat("/", NodeName(), "/kubepods/burstable/pod", config.metadata().uid()));
  MakeCgroup(linux->cgroup_parent());
  auto* options = NamespaceOptions(config);
  options->set_pid(cri::CONTAINER);
  options->mutable_userns_options()->set_mode(cri::NODE);
  linux->mutable_security_context()->mutable_seccomp()->set_profile_type(
      cri::SecurityProfile::RuntimeDefault);
  linux->mutable_overhead();
  linux->mutable_resources()->set_cpu_shares(102);
  linux->mutable_resources()->set_memory_limit_in_bytes(64 << 20);
  fs::create_directories(config.log_directory());
  return config;
}

cri::NamespaceOption* NamespaceOptions(cri::PodSandboxConfig& config) {
  return config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
}

cri::LinuxContainerSecurityContext* Security(cri::ContainerConfig& config) {
  return config.mutable_linux()->mutable_security_context();
}

cri::NamespaceOption* NamespaceOptions(cri::ContainerConfig& config) {
  return Security(config)->mutable_namespace_options();
}

cri::ContainerConfig MakeProbe(const std::string& name, const std::vector<std::string>& arguments) {
  cri::ContainerConfig config;
  config.mutable_metadata()->set_name(name);
  if (absl::StatusOr<Node*> node = Node::Shared(); node.ok()) {
    config.mutable_image()->set_image((*node)->probe_image());
  }
  config.add_command("/probe");
  for (const std::string& argument : arguments) config.add_command(argument);
  config.set_log_path(absl::StrCat(name, "/0.log"));
  return config;
}

cri::ContainerConfig MakeKubeletProbe(const std::string& name,
                                      const std::vector<std::string>& arguments) {
  cri::ContainerConfig config = MakeProbe(name, arguments);
  if (absl::StatusOr<Node*> node = Node::Shared(); node.ok()) {
    config.mutable_image()->set_user_specified_image(config.image().image());
    config.mutable_image()->set_image((*node)->probe_id());
  }
  auto* env = config.add_envs();
  env->set_key("KUBERNETES_SERVICE_HOST");
  env->set_value("10.96.0.1");
  (*config.mutable_labels())["io.kubernetes.container.name"] = name;
  (*config.mutable_annotations())["io.kubernetes.container.restartCount"] = "0";
  (*config.mutable_annotations())["io.kubernetes.container.hash"] = "1a2b3c4d";
  auto* resources = config.mutable_linux()->mutable_resources();
  resources->set_cpu_period(100000);
  resources->set_cpu_quota(50000);
  resources->set_cpu_shares(256);
  resources->set_memory_limit_in_bytes(64 << 20);
  resources->set_memory_swap_limit_in_bytes(64 << 20);
  resources->set_oom_score_adj(998);
  for (const char* size : {"2MB", "1GB"}) resources->add_hugepage_limits()->set_page_size(size);
  auto* security = Security(config);
  security->mutable_namespace_options()->set_pid(cri::CONTAINER);
  security->mutable_namespace_options()->mutable_userns_options()->set_mode(cri::NODE);
  security->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  for (const char* path : kMaskedPaths) security->add_masked_paths(path);
  for (const char* path : kReadonlyPaths) security->add_readonly_paths(path);
  return config;
}

std::vector<std::string> MakeCgroup(const std::string& parent) {
  const fs::path root = "/sys/fs/cgroup";
  std::vector<std::string> made;
  if (fs::exists(root / "cgroup.controllers")) {
    made.push_back(root.string() + parent);
  } else {
    for (const char* controller :
         {"cpu", "cpuacct", "memory", "pids", "cpuset", "devices", "freezer", "blkio"}) {
      if (fs::exists(root / controller)) made.push_back((root / controller).string() + parent);
    }
  }
  for (const std::string& dir : made) fs::create_directories(dir);
  // A cpuset of v1 takes no process before it has CPUs and memory nodes: given down from the root.
  if (fs::path dir = root / "cpuset"; fs::exists(dir)) {
    for (const fs::path& step : fs::path(parent).relative_path()) {
      for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
        std::ofstream(dir / step / file) << ContentOf(dir / file);
      }
      dir /= step;
    }
  }
  if (fs::exists(root / "cgroup.controllers")) {
    // Controllers are given down level by level, to the parent of what is made below.
    for (fs::path dir = root, rest = fs::path(parent).relative_path();
         const fs::path& step : rest) {
      for (const char* controller : {"+cpu", "+memory", "+pids", "+io"}) {
        std::ofstream(dir / "cgroup.subtree_control") << controller;
      }
      dir /= step;
    }
    for (const char* controller : {"+cpu", "+memory", "+pids", "+io"}) {
      std::ofstream(root.string() + parent + "/cgroup.subtree_control") << controller;
    }
  }
  return made;
}

void RemoveMadeCgroups() {
  const fs::path root = "/sys/fs/cgroup";
  std::error_code error;
  std::vector<fs::path> hierarchies = {root};
  for (const auto& entry : fs::directory_iterator(root, error)) hierarchies.push_back(entry.path());
  for (const fs::path& hierarchy : hierarchies) {
    const fs::path top = hierarchy / NodeName() / "kubepods";
    std::vector<fs::path> dirs = {top};
    for (fs::recursive_directory_iterator it(top, error), end; !error && it != end;
         it.increment(error)) {
      if (it->is_directory() && it.depth() < 2) dirs.push_back(it->path());
    }
    for (auto dir = dirs.rbegin(); dir != dirs.rend(); ++dir) rmdir(dir->c_str());
  }
}

absl::StatusOr<Pod> Pod::Run(Client& client, const cri::PodSandboxConfig& config,
                             const std::string& handler) {
  ASSIGN_OR_RETURN(std::string id, client.RunPod(config, handler));
  return Pod(&client, std::move(id), config);
}

Pod::Pod(Client* client, std::string id, cri::PodSandboxConfig config)
    : client_(client), id_(std::move(id)), config_(std::move(config)) {
  const absl::StatusOr<Node*> node = Node::Shared();
  on_shared_node_ = node.ok() && &(*node)->client() == client;
}

// The client of this moment: a restart of the shared daemon replaces it.
Client& Pod::client() const {
  if (!on_shared_node_) return *client_;
  const absl::StatusOr<Node*> node = Node::Shared();
  return node.ok() ? (*node)->client() : *client_;
}

Pod::Pod(Pod&& other) noexcept
    : client_(std::exchange(other.client_, nullptr)),
      on_shared_node_(other.on_shared_node_),
      id_(std::move(other.id_)),
      config_(std::move(other.config_)) {}

Pod& Pod::operator=(Pod&& other) noexcept {
  if (this != &other) {
    Reset();
    client_ = std::exchange(other.client_, nullptr);
    on_shared_node_ = other.on_shared_node_;
    id_ = std::move(other.id_);
    config_ = std::move(other.config_);
  }
  return *this;
}

Pod::~Pod() { Reset(); }

void Pod::Reset() {
  if (client_ == nullptr) return;
  Client& client = this->client();
  if (const absl::Status status = client.StopPod(id_); !status.ok())
    ADD_FAILURE() << "StopPodSandbox: " << status;
  if (const absl::Status status = client.RemovePod(id_); !status.ok())
    ADD_FAILURE() << "RemovePodSandbox: " << status;
  client_ = nullptr;
}

std::string Pod::LogPath(const std::string& container_name) const {
  return absl::StrCat(config_.log_directory(), "/", container_name, "/0.log");
}

absl::StatusOr<std::string> Pod::Create(const cri::ContainerConfig& config) {
  return client().Create(id_, config, config_);
}

absl::StatusOr<std::string> Pod::RunContainer(const cri::ContainerConfig& config) {
  ASSIGN_OR_RETURN(std::string id, Create(config));
  RETURN_IF_ERROR(client().Start(id));
  return id;
}

absl::StatusOr<FinishedContainer> Pod::RunToEnd(const cri::ContainerConfig& config) {
  FinishedContainer finished;
  ASSIGN_OR_RETURN(finished.id, RunContainer(config));
  ASSIGN_OR_RETURN(finished.status, client().WaitExit(finished.id));
  ASSIGN_OR_RETURN(finished.log, ReadLog(finished.status.log_path()));
  return finished;
}

absl::StatusOr<nlohmann::json> Pod::RunForJson(const cri::ContainerConfig& config) {
  ASSIGN_OR_RETURN(const FinishedContainer finished, RunToEnd(config));
  if (finished.status.exit_code() != 0) {
    return absl::InternalError(absl::StrCat("exit code ", finished.status.exit_code(), ": ",
                                            finished.status.message(),
                                            Joined(finished.log, "stderr")));
  }
  return ParseJson(Joined(finished.log, "stdout"));
}

absl::StatusOr<nlohmann::json> Pod::ExecForJson(const std::string& container,
                                                const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {"/probe"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  ASSIGN_OR_RETURN(const auto response, client().Exec(container, command));
  if (response.exit_code() != 0) {
    return absl::InternalError(
        absl::StrCat("exit code ", response.exit_code(), ": ", response.stderr()));
  }
  return ParseJson(response.stdout());
}

}  // namespace berth::e2e
