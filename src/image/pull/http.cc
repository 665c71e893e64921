#include "src/image/pull/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "src/base/log.h"
#include "src/image/reference.h"

namespace berth {
namespace {

constexpr size_t kMaxHeaderBytes = 64 << 10;
constexpr long kReceiveBuffer = 256 << 10;

absl::Duration MonotonicNow() {
  timespec now;
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return absl::DurationFromTimespec(now);
}

// The text is borrowed for the transfer.
void SetBlob(CURL* curl, CURLoption option, const std::string& text) {
  if (text.empty()) return;
  curl_blob blob = {const_cast<char*>(text.data()), text.size(), CURL_BLOB_NOCOPY};
  curl_easy_setopt(curl, option, &blob);
}

void SetTls(CURL* curl, const HttpTls& tls) {
  SetBlob(curl, CURLOPT_CAINFO_BLOB, tls.ca_bundle);
  if (tls.skip_verify) {
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  SetBlob(curl, CURLOPT_SSLCERT_BLOB, tls.certificate);
  // A PEM file may hold both.
  SetBlob(curl, CURLOPT_SSLKEY_BLOB, tls.key.empty() ? tls.certificate : tls.key);
}

// Certificates: who asks again gets the same answer.
bool WillNotHeal(CURLcode code) {
  constexpr std::array kCodes = {CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE,
                                 CURLE_SSL_CERTPROBLEM, CURLE_SSL_ISSUER_ERROR};
  return std::find(kCodes.begin(), kCodes.end(), code) != kCodes.end();
}

}  // namespace

// The state of one Fetch, seen by libcurl's callbacks.
struct Http::Transfer {
  const Options& options;
  const Sink* sink;
  StallGuard guard;
  HttpAnswer answer;
  size_t header_bytes = 0;
  std::optional<bool> sink_takes;
  absl::Status failure;

  size_t Fail(absl::Status status) {
    failure = std::move(status);
    return CURL_WRITEFUNC_ERROR;
  }

  size_t OnHeader(absl::string_view line) {
    guard.Received(static_cast<int64_t>(line.size()), MonotonicNow());
    header_bytes += line.size();
    if (header_bytes > kMaxHeaderBytes)
      return Fail(absl::ResourceExhaustedError("the answer's headers are too long"));
    if (absl::StartsWith(
            line, "HTTP/")) {  // an interim answer (1xx) or the proxy's comes before the real one
      answer.headers.clear();
      return line.size();
    }
    if (const size_t colon = line.find(':'); colon != absl::string_view::npos) {
      answer.headers.emplace(absl::AsciiStrToLower(line.substr(0, colon)),
                             std::string(absl::StripAsciiWhitespace(line.substr(colon + 1))));
    }
    return line.size();
  }

  size_t OnBody(CURL* curl, absl::string_view bytes) {
    const absl::Duration start = MonotonicNow();
    guard.Received(static_cast<int64_t>(bytes.size()), start);
    if (!sink_takes.has_value()) {
      long status = 0;
      curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
      answer.status = static_cast<int>(status);
      sink_takes = sink != nullptr && sink->accepts(answer);
    }
    if (!*sink_takes) {
      answer.body.append(bytes.data(), bytes.size());
      if (answer.body.size() <= options.max_body) return bytes.size();
      return Fail(absl::ResourceExhaustedError(
          absl::StrCat("the answer is longer than ", options.max_body, " bytes")));
    }
    if (options.bandwidth != nullptr) options.bandwidth->Take(static_cast<int64_t>(bytes.size()));
    if (absl::Status taken = sink->take(bytes); !taken.ok()) return Fail(std::move(taken));
    guard.Excuse(MonotonicNow() - start);
    return bytes.size();
  }

  int OnProgress() {
    if (options.cancelled && options.cancelled()) {
      failure = absl::CancelledError("cancelled");
      return 1;
    }
    const std::string stalled = guard.Check(MonotonicNow());
    if (stalled.empty()) return 0;
    failure = absl::UnavailableError(absl::StrCat("stalled: ", stalled));
    return 1;
  }
};

std::string HttpAnswer::Header(const std::string& name) const {
  const auto header = headers.find(name);
  return header == headers.end() ? "" : header->second;
}

void Http::Free::operator()(void* curl) const { curl_easy_cleanup(curl); }

Http::Http(const Options& options) : options_(options), curl_(curl_easy_init()) {
  if (curl_ == nullptr) std::abort();  // out of memory
}

Http::~Http() = default;

std::string Http::EncodeForm(const std::vector<std::pair<std::string, std::string>>& fields) const {
  std::string form;
  for (const auto& [name, value] : fields) {
    char* escaped = curl_easy_escape(curl_.get(), value.data(), static_cast<int>(value.size()));
    absl::StrAppend(&form, form.empty() ? "" : "&", name, "=", escaped == nullptr ? "" : escaped);
    curl_free(escaped);
  }
  return form;
}

absl::StatusOr<HttpAnswer> Http::Fetch(const HttpRequest& request, const Sink* sink) {
  CURL* const curl = curl_.get();
  curl_easy_reset(curl);  // keeps connections
  Transfer transfer{
      .options = options_, .sink = sink, .guard = StallGuard(options_.stall, MonotonicNow())};

  curl_slist* headers = nullptr;
  for (const std::string& header : request.headers)
    headers = curl_slist_append(headers, header.c_str());
  const auto free_headers = absl::MakeCleanup([headers] { curl_slist_free_all(headers); });
  char reason[CURL_ERROR_SIZE] = "";

  curl_easy_setopt(curl, CURLOPT_URL, request.url.Secret().c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, options_.user_agent.c_str());
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, kReceiveBuffer);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(absl::ToInt64Milliseconds(
                       request.connect_timeout > absl::ZeroDuration() ? request.connect_timeout
                                                                      : options_.connect_timeout)));
  curl_easy_setopt(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (IsLoopbackHost(request.url.host())) curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  if (request.tls != nullptr) SetTls(curl, *request.tls);
  if (request.form.has_value()) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.form->size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.form->c_str());
  }

  using Write = size_t (*)(char*, size_t, size_t, void*);
  struct Context {
    CURL* curl;
    Transfer* transfer;
  } context{curl, &transfer};
  const Write on_header = [](char* data, size_t size, size_t count, void* user) {
    return static_cast<Context*>(user)->transfer->OnHeader({data, size * count});
  };
  const Write on_body = [](char* data, size_t size, size_t count, void* user) {
    auto* c = static_cast<Context*>(user);
    return c->transfer->OnBody(c->curl, {data, size * count});
  };
  const curl_xferinfo_callback on_progress = [](void* user, curl_off_t, curl_off_t, curl_off_t,
                                                curl_off_t) {
    return static_cast<Context*>(user)->transfer->OnProgress();
  };
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &context);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &context);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &context);

  const CURLcode code = curl_easy_perform(curl);
  if (!transfer.failure.ok()) return transfer.failure;
  if (code != CURLE_OK) {
    return absl::Status(
        WillNotHeal(code) ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kUnavailable,
        EscapeForLog(reason[0] != '\0' ? reason : curl_easy_strerror(code)));
  }
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  transfer.answer.status = static_cast<int>(status);
  return std::move(transfer.answer);
}

}  // namespace berth
