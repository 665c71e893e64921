#include "src/nri/plugin.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"

namespace berth::nri {
namespace {

constexpr char kNriVersion[] = "0.12.0";
constexpr uint32_t kAllEvents = (1U << (api::LAST - 1)) - 1;
constexpr size_t kMaxName = 256;
// Of one message of Synchronize, below the 4 MiB that a message may have.
constexpr size_t kSynchronizeBytes = 3 << 20;

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' ||
         c == '+';
}

absl::StatusOr<PluginName> CheckedName(absl::string_view index, absl::string_view base) {
  bool good = index.size() == 2 && absl::ascii_isdigit(static_cast<unsigned char>(index[0])) &&
              absl::ascii_isdigit(static_cast<unsigned char>(index[1])) && !base.empty() &&
              base.size() <= kMaxName;
  for (const char c : base) good = good && IsNameCharacter(c);
  if (good) return PluginName{.index = std::string(index), .base = std::string(base)};
  return absl::InvalidArgumentError(
      absl::StrCat("\"", EscapeForLog(index), "\" and \"", EscapeForLog(base),
                   "\" are no index (two digits) and name of an NRI plugin"));
}

template <typename Message>
absl::Status Parse(const std::string& payload, Message* message) {
  if (message->ParseFromString(payload)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("no ", Message::descriptor()->name()));
}

}  // namespace

absl::StatusOr<PluginName> ParsePluginName(absl::string_view text) {
  const size_t dash = text.find('-');
  if (dash == text.npos) return CheckedName(text, "");
  return CheckedName(text.substr(0, dash), text.substr(dash + 1));
}

absl::StatusOr<std::shared_ptr<Plugin>> Plugin::Start(UniqueFd socket,
                                                      std::optional<PluginName> name,
                                                      const PluginTimeouts& timeouts,
                                                      Callbacks callbacks) {
  std::shared_ptr<Plugin> plugin(new Plugin(std::move(name), timeouts, std::move(callbacks)));
  ASSIGN_OR_RETURN(plugin->connection_,
                   Connection::Start(
                       std::move(socket), kPluginService, kRuntimeService, timeouts.request,
                       [raw = plugin.get()](const std::string& method, const std::string& payload) {
                         return raw->Serve(method, payload);
                       },
                       [raw = plugin.get()](const absl::Status& why) {
                         {
                           absl::MutexLock lock(&raw->mu_);
                           raw->ended_ = true;
                         }
                         raw->callbacks_.ended(*raw, why);
                       }));
  return plugin;
}

absl::StatusOr<std::string> Plugin::Serve(const std::string& method, const std::string& payload) {
  if (method == "RegisterPlugin") {
    api::RegisterPluginRequest request;
    RETURN_IF_ERROR(Parse(payload, &request));
    RETURN_IF_ERROR(Register(request));
    return std::string();  // an Empty
  }
  if (method == "UpdateContainers") {
    api::UpdateContainersRequest request;
    RETURN_IF_ERROR(Parse(payload, &request));
    return callbacks_.update(*this, request).SerializeAsString();
  }
  return absl::UnimplementedError(absl::StrCat("method ", method));
}

absl::Status Plugin::Register(const api::RegisterPluginRequest& request) {
  ASSIGN_OR_RETURN(PluginName name, CheckedName(request.plugin_idx(), request.plugin_name()));
  absl::MutexLock lock(&mu_);
  if (registered_)
    return absl::FailedPreconditionError(absl::StrCat(name_->Full(), " is registered already"));
  if (!name_.has_value()) name_ = std::move(name);
  registered_ = true;
  return absl::OkStatus();
}

absl::Status Plugin::AwaitRegistration() {
  absl::MutexLock lock(&mu_);
  const auto decided = [this]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return registered_ || ended_; };
  if (!AwaitFor(mu_, absl::Condition(&decided), timeouts_.registration)) {
    return absl::DeadlineExceededError(
        absl::StrCat("not registered within ", absl::FormatDuration(timeouts_.registration)));
  }
  return registered_ ? absl::OkStatus() : absl::UnavailableError("gone before it was registered");
}

absl::Status Plugin::Configure(const std::string& config, const std::string& runtime_version) {
  api::ConfigureRequest request;
  request.set_config(config);
  request.set_runtime_name("berth");
  request.set_runtime_version(runtime_version);
  request.set_registration_timeout(absl::ToInt64Milliseconds(timeouts_.registration));
  request.set_request_timeout(absl::ToInt64Milliseconds(timeouts_.request));
  request.set_nri_version(kNriVersion);
  api::ConfigureResponse response;
  RETURN_IF_ERROR(connection_->Call("Configure", request, timeouts_.registration, &response));
  const auto events = static_cast<uint32_t>(response.events());
  if ((events & ~kAllEvents) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("it wants to be told events that there are not: ", absl::Hex(events)));
  }
  absl::MutexLock lock(&mu_);
  events_ = events == 0 ? kAllEvents : events;
  return absl::OkStatus();
}

absl::StatusOr<api::SynchronizeResponse> Plugin::Synchronize(const api::SynchronizeRequest& all) {
  api::SynchronizeResponse wanted;
  api::SynchronizeRequest part;
  size_t bytes = 0;
  const auto send = [&](bool more) -> absl::Status {
    part.set_more(more);
    api::SynchronizeResponse response;
    RETURN_IF_ERROR(connection_->Call("Synchronize", part, timeouts_.registration, &response));
    wanted.MergeFrom(response);
    part.Clear();
    bytes = 0;
    return absl::OkStatus();
  };
  const auto add = [&](const auto& entry, auto* entries) -> absl::Status {
    const size_t size = entry.ByteSizeLong();
    if (bytes > 0 && bytes + size > kSynchronizeBytes) RETURN_IF_ERROR(send(/*more=*/true));
    *entries->Add() = entry;
    bytes += size;
    return absl::OkStatus();
  };
  for (const api::PodSandbox& pod : all.pods()) RETURN_IF_ERROR(add(pod, part.mutable_pods()));
  for (const api::Container& container : all.containers())
    RETURN_IF_ERROR(add(container, part.mutable_containers()));
  RETURN_IF_ERROR(send(/*more=*/false));
  return wanted;
}

std::string Plugin::name() const {
  absl::MutexLock lock(&mu_);
  return name_.has_value() ? name_->Full() : "(not registered)";
}

PluginName Plugin::parts() const {
  absl::MutexLock lock(&mu_);
  return name_.value_or(PluginName());
}

bool Plugin::Wants(api::Event event) const {
  absl::MutexLock lock(&mu_);
  return (events_ & 1U << (event - 1)) != 0;
}

absl::Status Plugin::Call(const char* method, const google::protobuf::MessageLite& request,
                          google::protobuf::MessageLite* reply) {
  const absl::Status called = connection_->Call(method, request, timeouts_.request, reply);
  return called.ok() ? called : Annotate(called, absl::StrCat("NRI plugin ", name()));
}

bool Plugin::IsGone(const absl::Status& status) {
  return absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status);
}

}  // namespace berth::nri
