#include "src/image/endpoint_json.h"

#include <array>
#include <utility>

#include "src/base/json_fields.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

using Json = nlohmann::json;

struct Text {
  const char* name;
  std::string RegistryAuth::*value;
};
constexpr std::array kAuthTexts = {
    Text{"username", &RegistryAuth::username},
    Text{"password", &RegistryAuth::password},
    Text{"identity_token", &RegistryAuth::identity_token},
    Text{"registry_token", &RegistryAuth::registry_token},
    Text{"server_address", &RegistryAuth::server_address},
};

struct Flag {
  const char* name;
  bool RegistryEndpoint::*value;
};
constexpr std::array kFlags = {
    Flag{"mirror", &RegistryEndpoint::mirror},
    Flag{"can_pull", &RegistryEndpoint::can_pull},
    Flag{"can_resolve", &RegistryEndpoint::can_resolve},
    Flag{"skip_verify", &RegistryEndpoint::skip_verify},
};

Json ToJson(const RegistryEndpoint& endpoint) {
  Json headers = Json::array();
  for (const auto& [name, value] : endpoint.headers) {
    headers.push_back({{"name", name}, {"value", value}});
  }
  Json json = {{"url", endpoint.url},
               {"ca", endpoint.ca},
               {"client_certificate", endpoint.client.certificate},
               {"client_key", endpoint.client.key},
               {"headers", std::move(headers)},
               {"dial_timeout_ms", absl::ToInt64Milliseconds(endpoint.dial_timeout)},
               {"auth", EncodeAuth(endpoint.auth)}};
  for (const Flag& flag : kFlags) json[flag.name] = endpoint.*flag.value;
  return json;
}

absl::StatusOr<RegistryEndpoint> EndpointOf(const Json& json) {
  RegistryEndpoint endpoint;
  ASSIGN_OR_RETURN(endpoint.url, StringMember(json, "url"));
  if (endpoint.url.empty()) return absl::InvalidArgumentError("endpoint: no url");
  for (const Flag& flag : kFlags) {
    const Json* member = FindMember(json, flag.name);
    if (member == nullptr || !member->is_boolean()) {
      return absl::InvalidArgumentError(std::string("endpoint: no boolean ") + flag.name);
    }
    endpoint.*flag.value = member->get<bool>();
  }
  ASSIGN_OR_RETURN(endpoint.ca, StringListMember(json, "ca"));
  ASSIGN_OR_RETURN(endpoint.client.certificate, StringMember(json, "client_certificate"));
  ASSIGN_OR_RETURN(endpoint.client.key, StringMember(json, "client_key"));
  if (const Json* headers = FindMember(json, "headers"); headers != nullptr) {
    for (const Json& header : *headers) {
      std::pair<std::string, std::string> pair;
      ASSIGN_OR_RETURN(pair.first, StringMember(header, "name"));
      ASSIGN_OR_RETURN(pair.second, StringMember(header, "value"));
      endpoint.headers.push_back(std::move(pair));
    }
  }
  ASSIGN_OR_RETURN(const int64_t dial_timeout_ms, SizeMember(json, "dial_timeout_ms"));
  endpoint.dial_timeout = absl::Milliseconds(dial_timeout_ms);
  if (const Json* auth = FindMember(json, "auth"); auth != nullptr) {
    ASSIGN_OR_RETURN(endpoint.auth, DecodeAuth(*auth));
  }
  return endpoint;
}

}  // namespace

Json EncodeAuth(const RegistryAuth& auth) {
  Json json = Json::object();
  for (const Text& text : kAuthTexts) json[text.name] = auth.*text.value;
  return json;
}

absl::StatusOr<RegistryAuth> DecodeAuth(const Json& auth) {
  RegistryAuth decoded;
  for (const Text& text : kAuthTexts) {
    ASSIGN_OR_RETURN(decoded.*text.value, StringMember(auth, text.name));
  }
  return decoded;
}

Json EncodeEndpoints(const std::vector<RegistryEndpoint>& endpoints) {
  Json list = Json::array();
  for (const RegistryEndpoint& endpoint : endpoints) list.push_back(ToJson(endpoint));
  return list;
}

absl::StatusOr<std::vector<RegistryEndpoint>> DecodeEndpoints(const Json& list) {
  if (!list.is_array()) return absl::InvalidArgumentError("endpoints: no list");
  std::vector<RegistryEndpoint> endpoints;
  for (const Json& item : list) {
    ASSIGN_OR_RETURN(RegistryEndpoint endpoint, EndpointOf(item));
    endpoints.push_back(std::move(endpoint));
  }
  return endpoints;
}

}  // namespace berth
