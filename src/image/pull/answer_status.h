// An HTTP failure in a person's words. Pure.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/image/pull/http.h"
#include "src/image/pull/url.h"

namespace berth {

// How a message of code Unavailable begins: the kubelet knows the word.
inline constexpr absl::string_view kRegistryUnavailable = "RegistryUnavailable: ";

// Status of an HTTP answer that is no success: NotFound, Unauthenticated, PermissionDenied,
// ResourceExhausted (429), Unavailable (5xx), FailedPrecondition (else); "GET <url>: 404 Not Found:
// <the registry's own words>". 429 and 503 carry their Retry-After (retry_after.h).
absl::Status AnswerStatus(absl::string_view method, const Url& url, const HttpAnswer& answer);

}  // namespace berth
