#include "src/cli/run_config.h"

#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/base/id.h"
#include "src/base/status_macros.h"
#include "src/cli/quantity.h"

namespace berth::cli {
namespace {

constexpr char kRunLabel[] = "berth/run";
constexpr char kNamespace[] = "berth";
constexpr size_t kMaxNameLength = 63;  // a name is also the host name

// What the kubelet masks for an ordinary container; a CRI request without them masks nothing.
constexpr std::array kMaskedPaths = {
    "/proc/acpi",       "/proc/asound",        "/proc/interrupts",  "/proc/kcore",
    "/proc/keys",       "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
    "/proc/timer_list", "/proc/timer_stats",   "/sys/firmware",     "/sys/devices/virtual/powercap",
};
constexpr std::array kReadOnlyPaths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                       "/proc/sysrq-trigger"};

absl::Status CheckName(absl::string_view name) {
  bool good = !name.empty() && name.size() <= kMaxNameLength && absl::ascii_isalnum(name[0]);
  for (const char c : name)
    good = good && (absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.');
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--name \"", name, "\": a name has up to 63 letters, digits, dots, dashes and underscores"));
}

absl::Status SetUser(const std::string& user, cri::LinuxContainerSecurityContext* security) {
  const size_t colon = user.find(':');
  const std::string name = user.substr(0, colon);
  int64_t id = 0;
  if (name.empty())
    return absl::InvalidArgumentError(absl::StrCat("--user \"", user, "\": no user"));
  if (absl::SimpleAtoi(name, &id)) {
    if (id < 0)
      return absl::InvalidArgumentError(absl::StrCat("--user \"", user, "\": below zero"));
    security->mutable_run_as_user()->set_value(id);
  } else {
    security->set_run_as_username(name);
  }
  if (colon == std::string::npos) return absl::OkStatus();
  if (!absl::SimpleAtoi(user.substr(colon + 1), &id) || id < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--user \"", user, "\": the group must be a number"));
  }
  security->mutable_run_as_group()->set_value(id);
  return absl::OkStatus();
}

absl::Status SetEnv(const std::vector<std::string>& env, const char* (*own_env)(const char*),
                    cri::ContainerConfig* config) {
  for (const std::string& variable : env) {
    const size_t equals = variable.find('=');
    const std::string key = variable.substr(0, equals);
    if (key.empty())
      return absl::InvalidArgumentError(absl::StrCat("--env \"", variable, "\": no name"));
    const char* inherited = equals == std::string::npos ? own_env(key.c_str()) : nullptr;
    if (equals == std::string::npos && inherited == nullptr) continue;
    cri::KeyValue* entry = config->add_envs();
    entry->set_key(key);
    entry->set_value(inherited != nullptr ? inherited : variable.substr(equals + 1));
  }
  return absl::OkStatus();
}

absl::Status SetResources(const RunOptions& options, cri::LinuxContainerResources* resources) {
  if (!options.memory.empty()) {
    const auto bytes = ParseMemory(options.memory);
    if (!bytes.ok()) return Annotate(bytes.status(), "--memory");
    resources->set_memory_limit_in_bytes(*bytes);
  }
  if (!options.cpus.empty()) {
    const auto quota = ParseCpuQuota(options.cpus);
    if (!quota.ok()) return Annotate(quota.status(), "--cpus");
    resources->set_cpu_period(kCpuPeriodMicros);
    resources->set_cpu_quota(*quota);
  }
  return absl::OkStatus();
}

void SetNamespaces(bool host_network, cri::NamespaceOption* options) {
  options->set_network(host_network ? cri::NODE : cri::POD);
  options->set_pid(cri::CONTAINER);
  options->set_ipc(cri::POD);
}

cri::PodSandboxConfig MakePod(const RunOptions& options, const std::string& uid,
                              const std::string& log_root) {
  cri::PodSandboxConfig pod;
  pod.mutable_metadata()->set_name(options.name);
  pod.mutable_metadata()->set_namespace_(kNamespace);
  pod.mutable_metadata()->set_uid(uid);
  if (!options.host_network) pod.set_hostname(options.name);
  pod.set_log_directory(absl::StrCat(log_root, "/", uid));
  (*pod.mutable_labels())[kRunLabel] = options.name;
  cri::LinuxSandboxSecurityContext* security = pod.mutable_linux()->mutable_security_context();
  SetNamespaces(options.host_network, security->mutable_namespace_options());
  security->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  return pod;
}

}  // namespace

absl::StatusOr<RunConfig> MakeRunConfig(const RunOptions& options, const std::string& uid,
                                        const std::string& log_root,
                                        const char* (*own_env)(const char* key)) {
  RETURN_IF_ERROR(CheckName(options.name));
  RunConfig config;
  config.pod = MakePod(options, uid, log_root);
  cri::ContainerConfig& container = config.container;
  container.mutable_metadata()->set_name(options.name);
  container.mutable_image()->set_image(options.image);
  container.mutable_image()->set_user_specified_image(options.image);
  for (const std::string& word : options.command) container.add_args(word);
  container.set_working_dir(options.working_dir);
  container.set_log_path(absl::StrCat(options.name, ".log"));
  container.set_tty(options.tty);
  container.set_stdin(options.stdin_open);
  container.set_stdin_once(options.stdin_once);
  (*container.mutable_labels())[kRunLabel] = options.name;
  RETURN_IF_ERROR(SetEnv(options.env, own_env, &container));
  RETURN_IF_ERROR(SetResources(options, container.mutable_linux()->mutable_resources()));
  cri::LinuxContainerSecurityContext* security =
      container.mutable_linux()->mutable_security_context();
  SetNamespaces(options.host_network, security->mutable_namespace_options());
  security->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  security->set_readonly_rootfs(options.read_only);
  for (const char* path : kMaskedPaths) security->add_masked_paths(path);
  for (const char* path : kReadOnlyPaths) security->add_readonly_paths(path);
  if (!options.user.empty()) RETURN_IF_ERROR(SetUser(options.user, security));
  return config;
}

std::string DefaultRunName(absl::string_view image, absl::string_view uid) {
  image = image.substr(0, image.find('@'));
  const size_t slash = image.rfind('/');
  if (slash != absl::string_view::npos) image.remove_prefix(slash + 1);
  image = image.substr(0, image.find(':'));
  std::string name;
  for (const char c : image.substr(0, 40))
    name += absl::ascii_isalnum(c) ? absl::ascii_tolower(c) : '-';
  if (name.empty() || !absl::ascii_isalnum(name[0])) name = absl::StrCat("pod", name);
  return absl::StrCat(name, "-", uid.substr(0, 4));
}

bool IsRunPod(const cri::PodSandbox& pod) {
  return pod.labels().contains(kRunLabel) && IsFullId(pod.metadata().uid());
}

std::string RunLogRoot(const std::string& socket) {
  if (socket == kDefaultSocket) return "/var/log/berth";
  return absl::StrCat(socket.substr(0, socket.rfind('/') + 1), "logs");
}

}  // namespace berth::cli
