#include "src/nri/testing/fake_plugin.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/socket.h"

namespace berth::nri {
namespace {

namespace api = ::nri::pkg::api::v1alpha1;

constexpr absl::Duration kPatience = absl::Seconds(10);

// The ids in a call; both are "" where it is about nobody.
std::pair<std::string, std::string> SubjectOf(const FakePlugin::Call& call) {
  api::ContainerRequest request;  // a PodRequest has its pod there, too
  if (call.method == "Configure" || call.method == "Synchronize" ||
      !request.ParseFromString(call.payload))
    return {};
  return {request.pod().id(), request.container().id()};
}

}  // namespace

absl::StatusOr<std::unique_ptr<FakePlugin>> FakePlugin::Connect(const std::string& socket,
                                                                const std::string& index,
                                                                const std::string& name,
                                                                Answers answers, int32_t events) {
  ASSIGN_OR_RETURN(UniqueFd connected, ConnectUnix(socket, SOCK_STREAM));
  std::unique_ptr<FakePlugin> plugin(new FakePlugin(std::move(answers), events));
  FakePlugin* raw = plugin.get();
  ASSIGN_OR_RETURN(plugin->connection_,
                   Connection::Start(
                       std::move(connected), kRuntimeService, kPluginService, kPatience,
                       [raw](const std::string& method, const std::string& payload) {
                         return raw->Serve(method, payload);
                       },
                       [raw](const absl::Status&) {
                         absl::MutexLock lock(&raw->mu_);
                         raw->ended_ = true;
                       }));
  api::RegisterPluginRequest request;
  request.set_plugin_idx(index);
  request.set_plugin_name(name);
  request.set_nri_version("0.12.0");
  api::Empty reply;
  RETURN_IF_ERROR(plugin->connection_->Call("RegisterPlugin", request, kPatience, &reply));
  return plugin;
}

absl::StatusOr<std::string> FakePlugin::Serve(const std::string& method,
                                              const std::string& payload) {
  {
    absl::MutexLock lock(&mu_);
    calls_.push_back({.method = method, .payload = payload});
  }
  const auto answer = answers_.find(method);
  if (answer != answers_.end()) return answer->second(payload);
  if (method != "Configure") return std::string();
  api::ConfigureResponse response;
  response.set_events(events_);
  return response.SerializeAsString();
}

std::vector<FakePlugin::Call> FakePlugin::Calls() const {
  absl::MutexLock lock(&mu_);
  return calls_;
}

std::vector<std::string> FakePlugin::Methods(const std::string& id) const {
  std::vector<std::string> methods;
  for (const Call& call : Calls()) {
    const auto [pod, container] = SubjectOf(call);
    if (id.empty() || id == (container.empty() ? pod : container)) methods.push_back(call.method);
  }
  return methods;
}

bool FakePlugin::AwaitCall(const std::string& method) const {
  absl::MutexLock lock(&mu_);
  const auto called = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return std::any_of(calls_.begin(), calls_.end(),
                       [&](const Call& call) { return call.method == method; });
  };
  return AwaitFor(mu_, absl::Condition(&called), kPatience);
}

bool FakePlugin::AwaitEnd() const {
  absl::MutexLock lock(&mu_);
  return AwaitFor(mu_, absl::Condition(&ended_), kPatience);
}

absl::StatusOr<api::UpdateContainersResponse> FakePlugin::Update(
    const api::UpdateContainersRequest& request) {
  api::UpdateContainersResponse response;
  RETURN_IF_ERROR(connection_->Call("UpdateContainers", request, kPatience, &response));
  return response;
}

}  // namespace berth::nri
