#include "src/server/convert/container_request.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "src/base/status_macros.h"
#include "src/sandbox/container_spec.h"
#include "src/server/convert/device_request.h"
#include "src/server/convert/mount_request.h"
#include "src/server/convert/namespace_request.h"
#include "src/server/convert/resources_request.h"
#include "src/server/convert/security_request.h"
#include "src/server/convert/text_check.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

// SIGNAL_SIGRTMINPLUS1 is SIGRTMIN+1.
absl::StatusOr<int> SignalNumber(cri::Signal signal) {
  if (signal == cri::SIGNAL_RUNTIME_DEFAULT) return 0;
  const std::string name = cri::Signal_Name(signal);
  if (name.empty())
    return Refused("stop_signal", absl::StrCat("unknown value ", static_cast<int>(signal)));
  return ParseStopSignal(
      absl::StrReplaceAll(name, {{"SIGNAL_", ""}, {"PLUS", "+"}, {"MINUS", "-"}}));
}

absl::Status CheckEnv(const cri::KeyValue& env) {
  RETURN_IF_ERROR(CheckNoNul("envs", env.key()));
  if (env.key().empty() || env.key().find('=') != std::string::npos)
    return Refused("envs", absl::StrCat("\"", env.key(), "\" cannot be the name of a variable"));
  return CheckNoNul(absl::StrCat("envs[", env.key(), "]"), env.value());
}

absl::Status CheckProcess(const cri::ContainerConfig& config) {
  for (const auto* list : {&config.command(), &config.args()}) {
    for (const std::string& word : *list) RETURN_IF_ERROR(CheckNoNul("command and args", word));
  }
  for (const cri::KeyValue& env : config.envs()) RETURN_IF_ERROR(CheckEnv(env));
  return CheckText("working_dir", config.working_dir(), kMaxPath);
}

absl::Status CheckNames(const cri::ContainerConfig& config) {
  if (config.metadata().name().empty()) return Refused("metadata.name", "is empty");
  RETURN_IF_ERROR(CheckText("metadata.name", config.metadata().name(), kMaxName));
  if (config.image().image().empty()) return Refused("image.image", "is empty");
  RETURN_IF_ERROR(CheckText("image.image", config.image().image(), kMaxPath));
  RETURN_IF_ERROR(CheckText("image.runtime_handler", config.image().runtime_handler(), kMaxName));
  RETURN_IF_ERROR(CheckText("log_path", config.log_path(), kMaxPath));
  return LeadsUp(config.log_path()) ? Refused("log_path", "has \"..\" in it") : absl::OkStatus();
}

}  // namespace

ContainerConfig ParseContainer(const cri::CreateContainerRequest& request) {
  const cri::ContainerConfig& from = request.config();
  const cri::NamespaceOption& options = from.linux().security_context().namespace_options();
  ContainerConfig config;
  config.name = from.metadata().name();
  config.attempt = from.metadata().attempt();
  config.image = from.image().image();
  config.command = Strings(from.command());
  config.args = Strings(from.args());
  config.working_dir = from.working_dir();
  for (const cri::KeyValue& env : from.envs())
    config.envs.push_back(absl::StrCat(env.key(), "=", env.value()));
  for (const cri::Mount& mount : from.mounts()) config.mounts.push_back(ParseMount(mount));
  config.devices = ParseDevices(from);
  config.cdi_devices = ParseCdiNames(from);
  config.log_path = from.log_path();
  config.stdin_open = from.stdin();
  config.stdin_once = from.stdin_once();
  config.tty = from.tty();
  config.stop_signal = SignalNumber(from.stop_signal()).value_or(0);
  config.pid = ParseMode(options.pid());
  config.target_id = options.target_id();
  ParseSecurity(from.linux().security_context(), &config);
  config.limits = ParseResources(from.linux().resources());
  config.oom_score_adj = ParseOomScore(from.linux().resources());
  config.labels.insert(from.labels().begin(), from.labels().end());
  config.annotations.insert(from.annotations().begin(), from.annotations().end());
  return config;
}

absl::Status CheckContainer(const cri::CreateContainerRequest& request, const PodConfig& pod,
                            const RequestPolicy& policy) {
  const cri::ContainerConfig& config = request.config();
  const cri::LinuxContainerSecurityContext& security = config.linux().security_context();
  const RequestHandler* handler = FindHandler(policy, pod.runtime_handler);
  if (handler == nullptr) {
    return Refused("runtime_handler", absl::StrCat("\"", pod.runtime_handler,
                                                   "\" of the pod sandbox is not configured"));
  }
  RETURN_IF_ERROR(CheckNames(config));
  RETURN_IF_ERROR(CheckProcess(config));
  RETURN_IF_ERROR(SignalNumber(config.stop_signal()).status());
  for (const cri::Mount& mount : config.mounts())
    RETURN_IF_ERROR(CheckMount(mount, pod.namespaces.user, *handler));
  RETURN_IF_ERROR(CheckDevices(config));
  RETURN_IF_ERROR(CheckContainerNamespaces(security.namespace_options(), pod.namespaces));
  RETURN_IF_ERROR(CheckContainerSecurity(security, pod, policy));
  return CheckResources(config.linux().resources());
}

}  // namespace berth
