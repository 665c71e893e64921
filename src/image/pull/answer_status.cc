#include "src/image/pull/answer_status.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "src/base/log.h"
#include "src/base/strict_json.h"
#include "src/image/pull/retry_after.h"

namespace berth {
namespace {

constexpr size_t kMaxWords = 512;

struct KnownStatus {
  int status;
  absl::string_view reason;
  absl::StatusCode code;
};
constexpr std::array kKnown = {
    KnownStatus{400, "Bad Request", absl::StatusCode::kFailedPrecondition},
    KnownStatus{401, "Unauthorized", absl::StatusCode::kUnauthenticated},
    KnownStatus{403, "Forbidden", absl::StatusCode::kPermissionDenied},
    KnownStatus{404, "Not Found", absl::StatusCode::kNotFound},
    KnownStatus{429, "Too Many Requests", absl::StatusCode::kResourceExhausted},
    KnownStatus{500, "Internal Server Error", absl::StatusCode::kUnavailable},
    KnownStatus{502, "Bad Gateway", absl::StatusCode::kUnavailable},
    KnownStatus{503, "Service Unavailable", absl::StatusCode::kUnavailable},
    KnownStatus{504, "Gateway Timeout", absl::StatusCode::kUnavailable},
};

KnownStatus Describe(int status) {
  for (const KnownStatus& known : kKnown) {
    if (known.status == status) return known;
  }
  const bool server = status >= 500;
  return {status, "",
          server ? absl::StatusCode::kUnavailable : absl::StatusCode::kFailedPrecondition};
}

std::string Text(const nlohmann::json& object, const char* name) {
  if (!object.is_object() || !object.contains(name) || !object[name].is_string()) return "";
  return object[name].get<std::string>();
}

// {"errors": [{"code": "DENIED", "message": "..."}]} or {"details": "..."}, else the body itself.
std::string RegistryWords(const std::string& body) {
  const auto json = ParseStrictJson(body, {.bytes = 64 << 10, .depth = 16}, "error body");
  if (!json.ok()) return body;
  if (json->is_object() && json->contains("errors") && (*json)["errors"].is_array()) {
    std::string words;
    for (const nlohmann::json& error : (*json)["errors"]) {
      const std::string code = Text(error, "code"), message = Text(error, "message");
      absl::StrAppend(&words, words.empty() ? "" : "; ", code,
                      code.empty() || message.empty() ? "" : ": ", message);
    }
    if (!words.empty()) return words;
  }
  for (const char* name : {"details", "message", "error"}) {
    if (std::string words = Text(*json, name); !words.empty()) return words;
  }
  return body;
}

}  // namespace

absl::Status AnswerStatus(absl::string_view method, const Url& url, const HttpAnswer& answer) {
  const KnownStatus known = Describe(answer.status);
  const std::string words = EscapeForLog(RegistryWords(answer.body).substr(0, kMaxWords));
  absl::Status status(
      known.code,
      absl::StrCat(known.code == absl::StatusCode::kUnavailable ? kRegistryUnavailable : "", method,
                   " ", url.Printable(), ": ", answer.status, known.reason.empty() ? "" : " ",
                   known.reason, words.empty() ? "" : ": ", words));
  if (answer.status == 429 || answer.status == 503) {
    SetRetryAfter(answer.Header("retry-after"), &status);
  }
  return status;
}

}  // namespace berth
