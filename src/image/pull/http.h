// One HTTP connection's worth of libcurl: a request, its answer, nothing followed and nothing
// remembered. One owner thread per Http; keeps its connection open between requests.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/image/pull/bandwidth.h"
#include "src/image/pull/stall_guard.h"
#include "src/image/pull/url.h"

namespace berth {

// Who the other side must be, and who we are.
struct HttpTls {
  std::string ca_bundle;  // PEM; "" for the library's default
  bool skip_verify = false;
  std::string certificate, key;  // PEM; "" for none
};

struct HttpRequest {
  Url url;
  std::vector<std::string> headers;  // "Name: value"
  std::optional<std::string> form;   // POST of application/x-www-form-urlencoded
  const HttpTls* tls = nullptr;      // borrowed; null for the library's defaults
  absl::Duration connect_timeout;    // zero for that of the options
};

struct HttpAnswer {
  int status = 0;
  std::multimap<std::string, std::string> headers;  // names in lower case
  std::string body;                                 // what no sink took; bounded

  std::string Header(const std::string& name) const;  // the first, or ""
};

class Http {
 public:
  struct Options {
    std::string user_agent;
    absl::Duration connect_timeout = absl::Seconds(30);
    StallLimits stall;
    Bandwidth* bandwidth = nullptr;  // borrowed; of bodies that a sink takes; null: no limit
    size_t max_body = 1 << 20;       // of HttpAnswer::body: ResourceExhausted beyond
    // Polled about once per second and with every block; may be empty.
    std::function<bool()> cancelled;
  };
  // Called with the body of an answer whose status `accepts` takes.
  struct Sink {
    std::function<bool(const HttpAnswer&)> accepts;
    std::function<absl::Status(absl::string_view)> take;
  };

  explicit Http(const Options& options);
  ~Http();

  // Unavailable: no complete answer (name, connection, stall, cut off); FailedPrecondition: a
  // certificate that is not accepted; Cancelled; errors of the sink. An answer of any status is a
  // success.
  absl::StatusOr<HttpAnswer> Fetch(const HttpRequest& request, const Sink* sink = nullptr);

  // name=value&..., escaped.
  std::string EncodeForm(const std::vector<std::pair<std::string, std::string>>& fields) const;

 private:
  struct Transfer;
  const Options options_;
  struct Free {
    void operator()(void* curl) const;
  };
  std::unique_ptr<void, Free> curl_;
};

}  // namespace berth
