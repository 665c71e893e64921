#include "test/e2e/token_server.h"

#include <nlohmann/json.hpp>

#include <map>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace berth::e2e {
namespace {

using Json = nlohmann::json;
using testing_image::StubAnswer;
using testing_image::StubRequest;

std::string Base64Url(const std::string& bytes) {
  std::string text;
  absl::WebSafeBase64Escape(bytes, &text);  // with padding, which a JWT has not
  while (!text.empty() && text.back() == '=') text.pop_back();
  return text;
}

std::string Unescape(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      plain += absl::HexStringToBytes(text.substr(i + 1, 2));
      i += 2;
    } else {
      plain += text[i] == '+' ? ' ' : text[i];
    }
  }
  return plain;
}

std::map<std::string, std::string> Form(const std::string& text) {
  std::map<std::string, std::string> fields;
  for (const absl::string_view field : absl::StrSplit(text, '&')) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(field, absl::MaxSplits('=', 1));
    fields[Unescape(pair.first)] = Unescape(pair.second);
  }
  return fields;
}

}  // namespace

TokenServer::TokenServer(const Certificate& signer) : signer_(signer) {
  server_.Handle("/token", [this](const StubRequest& request) { return Answer(request); });
}

std::string TokenServer::Token(const std::string& repository) const {
  const int64_t now = absl::ToUnixSeconds(absl::Now());
  const Json header = {
      {"typ", "JWT"}, {"alg", "RS256"}, {"x5c", {absl::Base64Escape(signer_.Der())}}};
  const Json claims = {
      {"iss", kIssuer},
      {"sub", kUser},
      {"aud", kService},
      {"nbf", now - 60},
      {"iat", now - 60},
      {"exp", now + 600},
      {"jti", absl::StrCat(now)},
      {"access", {{{"type", "repository"}, {"name", repository}, {"actions", {"pull"}}}}}};
  const std::string signed_part =
      absl::StrCat(Base64Url(header.dump()), ".", Base64Url(claims.dump()));
  return absl::StrCat(signed_part, ".", Base64Url(signer_.SignBytes(signed_part)));
}

StubAnswer TokenServer::Answer(const StubRequest& request) const {
  const size_t query = request.target.find('?');
  const std::map<std::string, std::string> fields =
      Form(request.method == "POST"     ? request.body
           : query == std::string::npos ? ""
                                        : request.target.substr(query + 1));
  const auto field = [&](const char* name) {
    const auto found = fields.find(name);
    return found == fields.end() ? "" : found->second;
  };
  const std::string basic =
      absl::StrCat("Basic ", absl::Base64Escape(absl::StrCat(kUser, ":", kPassword)));
  const bool known = request.method == "POST" ? field("grant_type") == "refresh_token" &&
                                                    field("refresh_token") == kIdentityToken
                                              : request.Header("authorization") == basic;
  const std::vector<std::string> scope = absl::StrSplit(field("scope"), ':');
  const bool sound = field("service") == kService && scope.size() == 3 &&
                     scope[0] == "repository" && scope[2] == "pull";
  if (!known || !sound) return {.status = 401, .body = "{\"details\":\"who are you?\"}"};
  const char* name = request.method == "POST" ? "access_token" : "token";
  return {.headers = {"Content-Type: application/json"},
          .body = Json{{name, Token(scope[1])}, {"expires_in", 300}}.dump()};
}

}  // namespace berth::e2e
