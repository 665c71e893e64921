#include "src/image/pull/endpoint.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/image/pull/answer_status.h"
#include "src/image/pull/challenge.h"
#include "src/image/pull/token.h"

namespace berth {
namespace {

constexpr int kMaxRedirects = 5;

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

HttpTls TlsOf(const RegistryEndpoint& config, const std::string& system_ca) {
  HttpTls tls{.ca_bundle = system_ca,
              .skip_verify = config.skip_verify,
              .certificate = config.client.certificate,
              .key = config.client.key};
  for (const std::string& pem : config.ca) absl::StrAppend(&tls.ca_bundle, "\n", pem);
  return tls;
}

}  // namespace

Endpoint::Endpoint(const RegistryEndpoint& config, Url url, const Reference& reference,
                   const std::string& system_ca)
    : config_(config),
      url_(std::move(url)),
      path_(reference.path),
      query_(config.mirror ? absl::StrCat("?ns=", reference.host) : ""),
      tls_(TlsOf(config, system_ca)),
      // The authorities that vouch for a registry vouch for its blob store too; the rest is between
      // the two of us.
      foreign_tls_{.ca_bundle = tls_.ca_bundle} {
  if (!config_.auth.registry_token.empty())
    authorization_ = absl::StrCat("Bearer ", config_.auth.registry_token);
}

std::string Endpoint::Printable(const std::string& path) const {
  return absl::StrCat(url_.Printable(), "/", path_, path);
}

std::string Endpoint::Authorization() const {
  absl::MutexLock lock(&mu_);
  return authorization_;
}

void Endpoint::Served(const Digest& blob) {
  absl::MutexLock lock(&mu_);
  served_.emplace(blob.text(), false);
}

bool Endpoint::DistrustIfServed(const Digest& blob) {
  absl::MutexLock lock(&mu_);
  const auto found = served_.find(blob.text());
  if (found == served_.end()) return false;
  found->second = true;
  return true;
}

bool Endpoint::Distrusts(const Digest& blob) const {
  absl::MutexLock lock(&mu_);
  const auto found = served_.find(blob.text());
  return found != served_.end() && found->second;
}

std::vector<std::string> Endpoint::OwnHeaders(const std::string& authorization) const {
  std::vector<std::string> headers;
  for (const auto& [name, value] : config_.headers) {
    // A token that we were given for this very repository is the better one.
    if (!authorization.empty() && absl::EqualsIgnoreCase(name, "authorization")) continue;
    // libcurl takes "Name;" for a header without a value.
    headers.push_back(value.empty() ? absl::StrCat(name, ";") : absl::StrCat(name, ": ", value));
  }
  if (!authorization.empty()) headers.push_back(absl::StrCat("Authorization: ", authorization));
  return headers;
}

absl::Status Endpoint::Authorize(Http& http, const HttpAnswer& answer, const std::string& refused) {
  if (Authorization() != refused) return absl::OkStatus();
  const RegistryAuth& auth = config_.auth;
  const auto [begin, end] = answer.headers.equal_range("www-authenticate");
  for (auto header = begin; header != end; ++header) {
    for (const Challenge& challenge : ParseChallenges(header->second)) {
      std::string fresh;
      if (challenge.scheme == "bearer" && auth.registry_token.empty()) {
        ASSIGN_OR_RETURN(const std::string token,
                         FetchToken(http,
                                    {.registry = url_,
                                     .repository = path_,
                                     .auth = auth,
                                     .tls = &tls_,
                                     .foreign_tls = &foreign_tls_,
                                     .connect_timeout = config_.dial_timeout},
                                    challenge));
        fresh = absl::StrCat("Bearer ", token);
      } else if (challenge.scheme == "basic" && !auth.username.empty()) {
        fresh = absl::StrCat("Basic ",
                             absl::Base64Escape(absl::StrCat(auth.username, ":", auth.password)));
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

absl::StatusOr<HttpAnswer> Endpoint::FollowRedirects(Http& http, Url url,
                                                     std::vector<std::string> headers,
                                                     const std::string& authorization,
                                                     const Http::Sink* sink) {
  const size_t common = headers.size();
  for (const std::string& header : OwnHeaders(authorization)) headers.push_back(header);
  for (int redirects = 0;; ++redirects) {
    const HttpRequest request{.url = url,
                              .headers = headers,
                              .tls = url.host() == url_.host() ? &tls_ : &foreign_tls_,
                              .connect_timeout = config_.dial_timeout};
    absl::StatusOr<HttpAnswer> answer = http.Fetch(request, sink);
    if (!answer.ok()) {
      const bool unreached = absl::IsUnavailable(answer.status());
      return absl::Status(answer.status().code(),
                          absl::StrCat(unreached ? kRegistryUnavailable : "", "GET ",
                                       url.Printable(), ": ", answer.status().message()));
    }
    if (!IsRedirect(answer->status)) {
      const bool success = answer->status == 200 || answer->status == 206;
      // The registry's own 401 is the caller's to answer; that of another host is a failure.
      const bool challenge = answer->status == 401 && redirects == 0;
      if (success || challenge) return answer;
      return AnswerStatus("GET", url, *answer);
    }
    if (redirects == kMaxRedirects) {
      return absl::FailedPreconditionError(
          absl::StrCat("GET ", url.Printable(), ": more than ", kMaxRedirects, " redirects"));
    }
    ASSIGN_OR_RETURN(Url next, url.Resolve(answer->Header("location")));
    RETURN_IF_ERROR(CheckDestination(url_, next, "redirect to"));
    if (!next.SameOrigin(url)) headers.resize(common);
    url = std::move(next);
  }
}

absl::StatusOr<HttpAnswer> Endpoint::Get(Http& http, const std::string& path,
                                         const std::vector<std::string>& headers,
                                         const Http::Sink* sink) {
  ASSIGN_OR_RETURN(const Url url,
                   Url::Parse(absl::StrCat(url_.Secret(), "/", path_, path, query_)));
  for (bool again : {true, false}) {
    const std::string authorization = Authorization();
    absl::StatusOr<HttpAnswer> answer = FollowRedirects(http, url, headers, authorization, sink);
    down_.store(absl::IsUnavailable(answer.status()), std::memory_order_relaxed);
    if (!answer.ok() || answer->status != 401) return answer;
    if (!again) return AnswerStatus("GET", url, *answer);
    if (absl::Status authorized = Authorize(http, *answer, authorization); !authorized.ok()) {
      if (!absl::IsUnauthenticated(authorized)) return authorized;
      return absl::UnauthenticatedError(absl::StrCat(AnswerStatus("GET", url, *answer).message(),
                                                     " (", authorized.message(), ")"));
    }
  }
  return absl::InternalError("registry: unreachable");
}

}  // namespace berth
