#include "src/image/pull/token.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/strict_json.h"
#include "src/image/pull/answer_status.h"

namespace berth {
namespace {

constexpr size_t kMaxTokenBytes = 1 << 20;

std::string Param(const Challenge& challenge, const char* name) {
  const auto found = challenge.params.find(name);
  return found == challenge.params.end() ? "" : found->second;
}

absl::StatusOr<HttpRequest> ToHttp(Http& http, const TokenRequest& request, const Url& realm,
                                   const Challenge& challenge) {
  const RegistryAuth& auth = request.auth;
  const bool own_host = realm.host() == request.registry.host();
  HttpRequest wire{.url = realm,
                   .tls = own_host ? request.tls : request.foreign_tls,
                   .connect_timeout = request.connect_timeout};
  std::vector<std::pair<std::string, std::string>> fields = {
      {"scope", absl::StrCat("repository:", request.repository, ":pull")}};
  if (const std::string service = Param(challenge, "service"); !service.empty())
    fields.emplace_back("service", service);
  if (!auth.identity_token.empty()) {
    fields.emplace_back("grant_type", "refresh_token");
    fields.emplace_back("client_id", "berth");
    fields.emplace_back("refresh_token", auth.identity_token);
    wire.form = http.EncodeForm(fields);
    return wire;
  }
  const bool has_query = absl::StrContains(realm.Secret(), '?');
  ASSIGN_OR_RETURN(wire.url, Url::Parse(absl::StrCat(realm.Secret(), has_query ? "&" : "?",
                                                     http.EncodeForm(fields))));
  if (!auth.username.empty() || !auth.password.empty()) {
    wire.headers.push_back(
        absl::StrCat("Authorization: Basic ",
                     absl::Base64Escape(absl::StrCat(auth.username, ":", auth.password))));
  }
  return wire;
}

absl::StatusOr<std::string> TokenOf(const HttpAnswer& answer, const Url& realm) {
  ASSIGN_OR_RETURN(const nlohmann::json json,
                   ParseStrictJson(answer.body, {.bytes = kMaxTokenBytes},
                                   absl::StrCat("token of ", realm.Printable())));
  for (const char* name : {"token", "access_token"}) {
    if (!json.is_object() || !json.contains(name) || !json[name].is_string()) continue;
    const std::string token = json[name].get<std::string>();
    const bool printable =
        std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
    if (!token.empty() && printable) return token;
  }
  return absl::UnauthenticatedError(
      absl::StrCat("GET ", realm.Printable(), ": the answer holds no token"));
}

}  // namespace

absl::StatusOr<std::string> FetchToken(Http& http, const TokenRequest& request,
                                       const Challenge& challenge) {
  const std::string realm_text = Param(challenge, "realm");
  if (realm_text.empty()) {
    return absl::UnauthenticatedError("the registry asks for a bearer token and names no realm");
  }
  ASSIGN_OR_RETURN(const Url realm, Url::Parse(realm_text));
  RETURN_IF_ERROR(CheckDestination(request.registry, realm, "token realm"));
  ASSIGN_OR_RETURN(const HttpRequest wire, ToHttp(http, request, realm, challenge));
  const absl::string_view method = wire.form.has_value() ? "POST" : "GET";
  const absl::StatusOr<HttpAnswer> answer = http.Fetch(wire);
  if (!answer.ok()) {
    return absl::Status(
        answer.status().code(),
        absl::StrCat(absl::IsUnavailable(answer.status()) ? kRegistryUnavailable : "", method, " ",
                     realm.Printable(), ": ", answer.status().message()));
  }
  if (answer->status != 200) {
    const absl::Status status = AnswerStatus(method, realm, *answer);
    const bool refused = answer->status >= 400 && answer->status < 404;
    return refused ? absl::UnauthenticatedError(status.message()) : status;
  }
  return TokenOf(*answer, realm);
}

}  // namespace berth
