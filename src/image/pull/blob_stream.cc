#include "src/image/pull/blob_stream.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/image/pull/range_ahead.h"

namespace berth {

absl::Status BlobStream::Take(absl::string_view bytes) {
  received_ += static_cast<int64_t>(bytes.size());
  const absl::Time begin = SteadyNow();
  const absl::Status taken = sink_(bytes);
  busy_ += SteadyNow() - begin;
  return taken;
}

absl::Status BlobStream::Request(int64_t length, bool* partial) {
  const BlobPart part = RequestBlob(*endpoint_, *http_,
                                    {.digest = blob_.digest,
                                     .offset = received_,
                                     .length = length,
                                     .entity_tag = received_ > 0 ? entity_tag_ : ""},
                                    [this](absl::string_view bytes) { return Take(bytes); });
  if (!part.entity_tag.empty()) entity_tag_ = part.entity_tag;
  refused_by_sink_ = part.refused_by_sink;
  *partial = part.partial;
  return part.status;
}

absl::Status BlobStream::Probe(bool* ahead) {
  const auto length = static_cast<int64_t>(options_.pool->bytes());
  const int64_t end = received_ + length;
  const absl::Time begin = SteadyNow();
  busy_ = absl::ZeroDuration();
  bool partial = false;
  RETURN_IF_ERROR(Request(length, &partial));
  const absl::Duration elapsed = SteadyNow() - begin;
  *ahead = partial && received_ == end && busy_ < elapsed / 2;
  return absl::OkStatus();
}

absl::Status BlobStream::Rest(bool ahead) {
  std::optional<RangeAhead> chunks;
  if (ahead) {
    chunks.emplace(endpoint_, blob_, received_, options_.connections, options_.pool, options_.http);
  }
  while (received_ < blob_.size) {
    const int64_t offset = received_;
    if (chunks.has_value()) {
      absl::Status refused;
      const RangeAhead::Taken taken = chunks->Take(
          offset, [this](absl::string_view bytes) { return Take(bytes); }, &refused);
      refused_by_sink_ = taken == RangeAhead::Taken::kRefused;
      if (refused_by_sink_) return refused;
      if (taken == RangeAhead::Taken::kDelivered) continue;
    }
    bool partial = false;
    const int64_t length = chunks.has_value() ? static_cast<int64_t>(options_.pool->bytes()) : -1;
    RETURN_IF_ERROR(Request(length, &partial));
    if (received_ == offset || (!chunks.has_value() && received_ < blob_.size)) break;
  }
  return absl::OkStatus();
}

absl::Status BlobStream::Run(int64_t offset) {
  received_ = offset;
  bool ahead = false;
  if (blob_.size - offset >= options_.large) RETURN_IF_ERROR(Probe(&ahead));
  if (received_ < blob_.size || blob_.size == 0) RETURN_IF_ERROR(Rest(ahead));
  if (received_ >= blob_.size) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("GET ", endpoint_->Printable(absl::StrCat("/blobs/", blob_.digest.text())),
                   ": blob has ", received_, " bytes, the manifest says ", blob_.size));
}

}  // namespace berth
