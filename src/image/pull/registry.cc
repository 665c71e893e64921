#include "src/image/pull/registry.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/image/pull/answer_status.h"
#include "src/image/pull/blob_request.h"
#include "src/image/pull/blob_stream.h"
#include "src/image/pull/retry_after.h"

namespace berth {
namespace {

constexpr int64_t kFruitfulBytes = 64 << 10;
constexpr absl::Duration kPauseSlice = absl::Milliseconds(50);

double Jitter() {
  std::random_device random;
  return std::uniform_real_distribution<double>(0, 1)(random);
}

// One line with the cause of each endpoint, in the order asked; the code and marks are the last's.
absl::Status Join(const std::vector<std::pair<const Endpoint*, absl::Status>>& causes) {
  const absl::Status& last = causes.back().second;
  if (causes.size() == 1) return last;
  std::string message;
  for (const auto& [endpoint, cause] : causes) {
    const absl::string_view text = absl::StripPrefix(cause.message(), kRegistryUnavailable);
    const std::string& url = endpoint->config().url;
    const bool named = absl::StrContains(text, url);
    absl::StrAppend(&message, message.empty() ? "" : "; ", named ? "" : url, named ? "" : ": ",
                    text);
  }
  return absl::Status(last.code(),
                      absl::StrCat(absl::IsUnavailable(last) ? kRegistryUnavailable : "", message));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Registry>> Registry::Open(
    const Reference& reference, const std::vector<RegistryEndpoint>& endpoints, Options options) {
  std::vector<std::unique_ptr<Endpoint>> opened;
  for (const RegistryEndpoint& config : endpoints) {
    ASSIGN_OR_RETURN(Url url, Url::Parse(config.url));
    opened.push_back(
        std::make_unique<Endpoint>(config, std::move(url), reference, options.ca_bundle));
  }
  if (opened.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(reference.Name(), ": no endpoint"));
  }
  return std::unique_ptr<Registry>(new Registry(std::move(opened), std::move(options)));
}

absl::StatusOr<std::vector<Endpoint*>> Registry::Candidates(Purpose purpose) const {
  std::vector<Endpoint*> candidates;
  for (const std::unique_ptr<Endpoint>& endpoint : endpoints_) {
    const RegistryEndpoint& config = endpoint->config();
    const bool able = purpose == Purpose::kResolve ? config.can_resolve : config.can_pull;
    if (able) candidates.push_back(endpoint.get());
  }
  if (candidates.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no endpoint has the capability \"",
                     purpose == Purpose::kResolve ? "resolve" : "pull", "\""));
  }
  std::stable_partition(candidates.begin(), candidates.end(),
                        [](const Endpoint* endpoint) { return !endpoint->down(); });
  return candidates;
}

absl::Status Registry::Pause(absl::Duration duration) const {
  const absl::Time end = SteadyNow() + duration;
  for (absl::Time now = SteadyNow(); now < end; now = SteadyNow()) {
    if (options_.http.cancelled && options_.http.cancelled())
      return absl::CancelledError("cancelled");
    absl::SleepFor(std::min(kPauseSlice, end - now));
  }
  return absl::OkStatus();
}

// Rounds through the endpoints. One that failed for good is not asked again; a registry that said
// its own no ends the rounds.
absl::Status Registry::Ask(Purpose purpose, absl::FunctionRef<Outcome(Endpoint&)> ask) {
  ASSIGN_OR_RETURN(std::vector<Endpoint*> candidates, Candidates(purpose));
  std::vector<std::pair<const Endpoint*, absl::Status>> for_good;
  for (int round = 1;; ++round) {
    std::vector<std::pair<const Endpoint*, absl::Status>> causes = for_good;
    std::vector<Endpoint*> recovering;
    absl::Duration asked;
    bool answered = false, fruitful = false;
    for (Endpoint* endpoint : candidates) {
      const Outcome outcome = ask(*endpoint);
      if (outcome.status.ok() || outcome.final) return outcome.status;
      fruitful |= outcome.fruitful;
      causes.emplace_back(endpoint, outcome.status);
      if (IsTransient(outcome.status)) {
        recovering.push_back(endpoint);
        asked = std::max(asked, RetryAfterOf(outcome.status, absl::Now()));
      } else {
        for_good.push_back(causes.back());
        answered |= !endpoint->config().mirror;
      }
    }
    if (fruitful) round = 0;
    const bool hopeless = answered || recovering.empty() || asked > options_.longest_pause;
    if (hopeless || round >= options_.attempts) return Join(causes);
    candidates = std::move(recovering);
    if (!fruitful) {
      RETURN_IF_ERROR(
          Pause(RetryPause(round, asked, options_.retry_delay, options_.longest_pause, Jitter())));
    }
  }
}

absl::StatusOr<Registry::Document> Registry::FetchManifestFrom(Endpoint& endpoint, Http& http,
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
  ASSIGN_OR_RETURN(
      const HttpAnswer answer,
      endpoint.Get(http, path, {absl::StrCat("Accept: ", AcceptedManifestTypes())}, &sink));
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
    return absl::DataLossError(absl::StrCat("GET ", endpoint.Printable(path),
                                            ": manifest has digest ", document.digest.text(),
                                            ", expected ", expected));
  }
  return document;
}

absl::StatusOr<Registry::Document> Registry::FetchManifest(Http& http,
                                                           const std::string& selector) {
  Document document;
  const Purpose purpose = absl::StrContains(selector, ':') ? Purpose::kPull : Purpose::kResolve;
  RETURN_IF_ERROR(Ask(purpose, [&](Endpoint& endpoint) -> Outcome {
    absl::StatusOr<Document> fetched = FetchManifestFrom(endpoint, http, selector);
    if (fetched.ok()) document = *std::move(fetched);
    return {.status = fetched.status(), .final = absl::IsCancelled(fetched.status())};
  }));
  return document;
}

absl::StatusOr<std::string> Registry::FetchBlob(Http& http, const Descriptor& blob) {
  std::string bytes;
  const std::string path = absl::StrCat("/blobs/", blob.digest.text());
  RETURN_IF_ERROR(Ask(Purpose::kPull, [&](Endpoint& endpoint) -> Outcome {
    bytes.clear();
    const auto take = [&](absl::string_view more) -> absl::Status {
      bytes.append(more.data(), more.size());
      if (static_cast<int64_t>(bytes.size()) <= blob.size) return absl::OkStatus();
      return absl::DataLossError(
          absl::StrCat("blob is longer than the ", blob.size, " bytes of the manifest"));
    };
    const BlobPart part = RequestBlob(endpoint, http, {.digest = blob.digest}, take);
    if (!part.status.ok()) return {.status = part.status, .final = absl::IsCancelled(part.status)};
    Hasher hasher(blob.digest.algorithm());
    hasher.Update(bytes);
    const Digest digest = hasher.Finish();
    if (digest == blob.digest && static_cast<int64_t>(bytes.size()) == blob.size) return {};
    return {.status = absl::DataLossError(absl::StrCat(
                "GET ", endpoint.Printable(path), ": blob has ", bytes.size(), " bytes and digest ",
                digest.text(), ", the manifest says ", blob.size))};
  }));
  return bytes;
}

absl::Status Registry::StreamBlob(Http& http, const Descriptor& blob, BlobSink sink) {
  int64_t received = 0;
  std::string entity_tag;  // of the endpoint below
  const Endpoint* tagged = nullptr;
  const BlobStream::Options stream_options = {
      .http = options_.http, .pool = &pool_, .connections = options_.connections_ahead};
  const absl::Status streamed = Ask(Purpose::kPull, [&](Endpoint& endpoint) -> Outcome {
    if (received == blob.size && received > 0) return {};  // it broke behind the last byte
    if (endpoint.Distrusts(blob.digest)) {
      return {.status = absl::DataLossError(
                  absl::StrCat("GET ", endpoint.Printable("/blobs/" + blob.digest.text()),
                               ": its content is not that of the digest"))};
    }
    BlobStream stream(&endpoint, &http, blob, sink, stream_options);
    if (tagged == &endpoint) stream.set_entity_tag(entity_tag);
    const absl::Status status = stream.Run(received);
    const int64_t gained = stream.received() - received;
    // A registry that breaks off after every few bytes would keep us for ever.
    const bool fruitful = gained >= kFruitfulBytes;
    if (gained > 0 || absl::IsDataLoss(status)) endpoint.Served(blob.digest);
    received = stream.received();
    tagged = &endpoint;
    entity_tag = stream.entity_tag();
    return {.status = status,
            .final = stream.refused_by_sink() || absl::IsCancelled(status),
            .fruitful = fruitful};
  });
  if (streamed.ok() || !IsTransient(streamed)) return streamed;
  return Annotate(streamed, absl::StrCat("after ", received, " of ", blob.size, " bytes"));
}

bool Registry::DistrustServers(const Digest& blob) {
  bool fewer = false, another = false;
  for (const std::unique_ptr<Endpoint>& endpoint : endpoints_) {
    if (!endpoint->config().can_pull || endpoint->Distrusts(blob)) continue;
    (endpoint->DistrustIfServed(blob) ? fewer : another) = true;
  }
  return fewer && another;
}

}  // namespace berth
