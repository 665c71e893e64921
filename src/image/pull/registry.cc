#include "src/image/pull/registry.h"

#include <algorithm>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/image/strict_json.h"

namespace berth {
namespace {

constexpr int kMaxRedirects = 5;
constexpr size_t kMaxTokenBytes = 1 << 20;

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// The host of "https://index.docker.io/v1/" or "host:5000", as a reference would call it.
std::string HostOfServerAddress(absl::string_view address) {
  if (const size_t scheme = address.find("://"); scheme != absl::string_view::npos) {
    address.remove_prefix(scheme + 3);
  }
  std::string host(address.substr(0, address.find('/')));
  if (host == "index.docker.io" || host == "registry-1.docker.io") return "docker.io";
  return host;
}

std::string BaseUrl(const Reference& reference, bool plain_http) {
  const bool http = plain_http || IsLoopbackHost(reference.host);
  return absl::StrCat(http ? "http" : "https", "://", reference.ApiHost(), "/v2/");
}

// Is this answer the continuation that "Range: bytes=<offset>-" asked for?
bool ContinuesAt(const HttpAnswer& answer, int64_t offset) {
  const std::string range = answer.Header("content-range");
  return absl::StartsWith(range, absl::StrCat("bytes ", offset, "-"));
}

}  // namespace

Registry::Registry(const Reference& reference, const RegistryAuth& auth, const Options& options)
    : path_(reference.path), base_(BaseUrl(reference, options.plain_http)), options_(options) {
  const bool for_us =
      auth.server_address.empty() || HostOfServerAddress(auth.server_address) == reference.host;
  if (for_us) auth_ = auth;
  if (!auth_.registry_token.empty()) authorization_ = absl::StrCat("Bearer ", auth_.registry_token);
}

std::string Registry::Authorization() const {
  absl::MutexLock lock(&mu_);
  return authorization_;
}

HttpRequest Registry::TokenRequest(Http& http, const Url& realm, const Challenge& challenge) const {
  const auto param = [&](const char* name) {
    const auto found = challenge.params.find(name);
    return found == challenge.params.end() ? std::string() : found->second;
  };
  // Only ever our own repository, whatever scope the challenge names.
  std::vector<std::pair<std::string, std::string>> fields = {
      {"scope", absl::StrCat("repository:", path_, ":pull")}};
  if (const std::string service = param("service"); !service.empty())
    fields.emplace_back("service", service);
  HttpRequest request{.url = realm};
  if (!auth_.identity_token.empty()) {
    fields.emplace_back("grant_type", "refresh_token");
    fields.emplace_back("client_id", "berth");
    fields.emplace_back("refresh_token", auth_.identity_token);
    request.form = http.EncodeForm(fields);
    return request;
  }
  const bool has_query = absl::StrContains(realm.Secret(), '?');
  if (auto url =
          Url::Parse(absl::StrCat(realm.Secret(), has_query ? "&" : "?", http.EncodeForm(fields)));
      url.ok()) {
    request.url = *std::move(url);
  }
  if (!auth_.username.empty() || !auth_.password.empty()) {
    request.headers.push_back(
        absl::StrCat("Authorization: Basic ",
                     absl::Base64Escape(absl::StrCat(auth_.username, ":", auth_.password))));
  }
  return request;
}

absl::StatusOr<std::string> Registry::FetchToken(Http& http, const Challenge& challenge) {
  const auto realm_text = challenge.params.find("realm");
  if (realm_text == challenge.params.end()) {
    return absl::UnauthenticatedError("the registry asks for a bearer token and names no realm");
  }
  ASSIGN_OR_RETURN(const Url registry, Url::Parse(base_));
  ASSIGN_OR_RETURN(const Url realm, Url::Parse(realm_text->second));
  RETURN_IF_ERROR(CheckDestination(registry, realm, "token realm"));
  const HttpRequest request = TokenRequest(http, realm, challenge);
  const absl::string_view method = request.form.has_value() ? "POST" : "GET";
  absl::StatusOr<HttpAnswer> answer = http.Fetch(request);
  if (!answer.ok()) {
    return absl::Status(answer.status().code(),
                        absl::StrCat("RegistryUnavailable: ", method, " ", realm.Printable(), ": ",
                                     answer.status().message()));
  }
  if (answer->status != 200) {
    const absl::Status status = AnswerStatus(method, realm, *answer);
    const bool refused = answer->status >= 400 && answer->status < 404;
    return refused ? absl::UnauthenticatedError(status.message()) : status;
  }
  ASSIGN_OR_RETURN(const nlohmann::json json,
                   ParseStrictJson(answer->body, {.bytes = kMaxTokenBytes},
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

absl::Status Registry::Authorize(Http& http, const HttpAnswer& answer, const std::string& refused) {
  if (Authorization() != refused) return absl::OkStatus();
  const auto [begin, end] = answer.headers.equal_range("www-authenticate");
  for (auto header = begin; header != end; ++header) {
    for (const Challenge& challenge : ParseChallenges(header->second)) {
      std::string fresh;
      if (challenge.scheme == "bearer" && auth_.registry_token.empty()) {
        ASSIGN_OR_RETURN(const std::string token, FetchToken(http, challenge));
        fresh = absl::StrCat("Bearer ", token);
      } else if (challenge.scheme == "basic" && !auth_.username.empty()) {
        fresh = absl::StrCat("Basic ",
                             absl::Base64Escape(absl::StrCat(auth_.username, ":", auth_.password)));
      } else {
        continue;
      }
      absl::MutexLock lock(&mu_);
      authorization_ = std::move(fresh);
      return absl::OkStatus();
    }
  }
  return absl::UnauthenticatedError("credentials are required");
}

absl::StatusOr<HttpAnswer> Registry::FollowRedirects(Http& http, HttpRequest request,
                                                     const Http::Sink* sink) {
  ASSIGN_OR_RETURN(const Url registry, Url::Parse(base_));
  for (int redirects = 0;; ++redirects) {
    absl::StatusOr<HttpAnswer> answer = http.Fetch(request, sink);
    if (!answer.ok()) {
      const bool unreached = absl::IsUnavailable(answer.status());
      return absl::Status(answer.status().code(),
                          absl::StrCat(unreached ? "RegistryUnavailable: " : "", "GET ",
                                       request.url.Printable(), ": ", answer.status().message()));
    }
    if (!IsRedirect(answer->status)) {
      const bool success = answer->status == 200 || answer->status == 206;
      // The registry's own 401 is the caller's to answer; that of another host is a failure.
      const bool challenge = answer->status == 401 && redirects == 0;
      if (success || challenge) return answer;
      return AnswerStatus("GET", request.url, *answer);
    }
    if (redirects == kMaxRedirects) {
      return absl::FailedPreconditionError(absl::StrCat(
          "GET ", request.url.Printable(), ": more than ", kMaxRedirects, " redirects"));
    }
    ASSIGN_OR_RETURN(Url next, request.url.Resolve(answer->Header("location")));
    RETURN_IF_ERROR(CheckDestination(registry, next, "redirect to"));
    if (!next.SameOrigin(request.url)) {
      auto& headers = request.headers;
      headers.erase(std::remove_if(
                        headers.begin(), headers.end(),
                        [](const std::string& h) { return absl::StartsWith(h, "Authorization:"); }),
                    headers.end());
    }
    request.url = std::move(next);
  }
}

absl::StatusOr<HttpAnswer> Registry::Get(Http& http, const std::string& path,
                                         const std::vector<std::string>& headers,
                                         const Http::Sink* sink) {
  ASSIGN_OR_RETURN(const Url url, Url::Parse(absl::StrCat(base_, path_, path)));
  for (bool again : {true, false}) {
    HttpRequest request{.url = url, .headers = headers};
    const std::string authorization = Authorization();
    if (!authorization.empty())
      request.headers.push_back(absl::StrCat("Authorization: ", authorization));
    ASSIGN_OR_RETURN(HttpAnswer answer, FollowRedirects(http, std::move(request), sink));
    if (answer.status != 401) return answer;
    if (!again) return AnswerStatus("GET", url, answer);
    if (absl::Status authorized = Authorize(http, answer, authorization); !authorized.ok()) {
      if (!absl::IsUnauthenticated(authorized)) return authorized;
      return absl::UnauthenticatedError(absl::StrCat(AnswerStatus("GET", url, answer).message(),
                                                     " (", authorized.message(), ")"));
    }
  }
  return absl::InternalError("registry: unreachable");
}

absl::StatusOr<Registry::Document> Registry::FetchManifest(Http& http,
                                                           const std::string& selector) {
  Document document;
  const std::string path = absl::StrCat("/manifests/", selector);
  const Http::Sink sink{.accepts = [](const HttpAnswer& answer) { return answer.status == 200; },
                        .take = [&](absl::string_view bytes) -> absl::Status {
                          document.bytes.append(bytes.data(), bytes.size());
                          if (document.bytes.size() <= kMaxManifestBytes) return absl::OkStatus();
                          return absl::ResourceExhaustedError(absl::StrCat(
                              "the manifest is longer than ", kMaxManifestBytes, " bytes"));
                        }};
  ASSIGN_OR_RETURN(const HttpAnswer answer,
                   Get(http, path, {absl::StrCat("Accept: ", AcceptedManifestTypes())}, &sink));
  document.content_type = answer.Header("content-type");
  std::string expected = answer.Header("docker-content-digest");
  if (absl::StrContains(selector, ':')) expected = selector;
  absl::string_view algorithm = "sha256";
  absl::StatusOr<Digest> expected_digest;
  if (!expected.empty()) {
    expected_digest = Digest::Parse(expected);
    if (!expected_digest.ok()) return expected_digest.status();
    algorithm = expected_digest->algorithm();
  }
  Hasher hasher(algorithm);
  hasher.Update(document.bytes);
  document.digest = hasher.Finish();
  if (!expected.empty() && document.digest != *expected_digest) {
    return absl::DataLossError(absl::StrCat("GET ", base_, path_, path, ": manifest has digest ",
                                            document.digest.text(), ", expected ", expected));
  }
  return document;
}

absl::StatusOr<std::string> Registry::FetchBlob(Http& http, const Descriptor& blob) {
  std::string bytes;
  RETURN_IF_ERROR(StreamBlob(http, blob, [&](absl::string_view more) -> absl::Status {
    bytes.append(more.data(), more.size());
    if (static_cast<int64_t>(bytes.size()) <= blob.size) return absl::OkStatus();
    return absl::DataLossError(
        absl::StrCat("blob is longer than the ", blob.size, " bytes of the manifest"));
  }));
  Hasher hasher(blob.digest.algorithm());
  hasher.Update(bytes);
  const Digest digest = hasher.Finish();
  if (digest == blob.digest && static_cast<int64_t>(bytes.size()) == blob.size) return bytes;
  return absl::DataLossError(absl::StrCat("GET ", base_, path_, "/blobs/", blob.digest.text(),
                                          ": blob has ", bytes.size(), " bytes and digest ",
                                          digest.text(), ", the manifest says ", blob.size));
}

absl::Status Registry::StreamBlob(Http& http, const Descriptor& blob, BlobSink take) {
  const std::string path = absl::StrCat("/blobs/", blob.digest.text());
  int64_t received = 0, to_skip = 0;
  for (int fruitless = 1;; ++fruitless) {
    const int64_t offset = received;
    absl::Status taken;  // the sink's own verdict: no reason to try again
    const Http::Sink sink{
        .accepts =
            [&](const HttpAnswer& answer) {
              to_skip = answer.status == 206 ? 0 : offset;
              return answer.status == 200 || (answer.status == 206 && ContinuesAt(answer, offset));
            },
        .take = [&](absl::string_view bytes) -> absl::Status {
          const auto skip =
              static_cast<size_t>(std::min<int64_t>(to_skip, static_cast<int64_t>(bytes.size())));
          to_skip -= static_cast<int64_t>(skip);
          bytes.remove_prefix(skip);
          received += static_cast<int64_t>(bytes.size());
          if (!bytes.empty()) taken = take(bytes);
          return taken;
        }};
    std::vector<std::string> headers;
    if (offset > 0) headers.push_back(absl::StrCat("Range: bytes=", offset, "-"));
    const absl::StatusOr<HttpAnswer> answer = Get(http, path, headers, &sink);
    if (answer.ok()) return absl::OkStatus();  // a blob that is too short is the sink's discovery
    if (!taken.ok()) return Annotate(taken, absl::StrCat("GET ", base_, path_, path));
    if (!absl::IsUnavailable(answer.status())) return answer.status();
    if (received > offset) fruitless = 0;
    if (fruitless >= options_.blob_attempts) {
      return Annotate(answer.status(),
                      absl::StrCat("after ", received, " of ", blob.size, " bytes"));
    }
    if (fruitless > 0) absl::SleepFor(options_.retry_delay * fruitless);
  }
}

}  // namespace berth
