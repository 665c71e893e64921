#include "src/sandbox/streaming/session_tokens.h"

#include "absl/strings/str_cat.h"
#include "src/base/id.h"

namespace berth {
namespace {

// Looks at every byte, whatever the first ones are.
bool Equal(absl::string_view a, absl::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i)
    difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
  return difference == 0;
}

}  // namespace

void SessionTokens::Expire(absl::Time now) {
  std::erase_if(entries_, [now](const Entry& entry) { return entry.until <= now; });
}

absl::StatusOr<std::string> SessionTokens::Issue(SessionRequest request, absl::Time now) {
  absl::MutexLock lock(&mu_);
  Expire(now);
  if (entries_.size() >= options_.most) {
    return absl::ResourceExhaustedError(
        absl::StrCat(options_.most, " sessions have been asked for and not begun: try again in ",
                     absl::FormatDuration(options_.lifetime)));
  }
  std::string token = NewId();
  static_assert(wire::kTokenBytes == 64);  // as NewId makes them
  entries_.push_back(
      {.token = token, .until = now + options_.lifetime, .request = std::move(request)});
  return token;
}

absl::StatusOr<SessionRequest> SessionTokens::Redeem(wire::SessionKind kind,
                                                     absl::string_view token, absl::Time now) {
  absl::MutexLock lock(&mu_);
  Expire(now);
  auto found = entries_.end();
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (Equal(entry->token, token)) found = entry;
  }
  const auto unknown = absl::NotFoundError("session: no such token, or it is used or too old");
  if (found == entries_.end()) return unknown;
  SessionRequest request = std::move(found->request);
  entries_.erase(found);
  if (request.kind != kind) return unknown;
  return request;
}

}  // namespace berth
