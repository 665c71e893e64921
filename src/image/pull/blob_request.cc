#include "src/image/pull/blob_request.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

bool StartsAt(const HttpAnswer& answer, int64_t offset) {
  return absl::StartsWith(answer.Header("content-range"), absl::StrCat("bytes ", offset, "-"));
}

std::vector<std::string> RangeHeaders(const BlobRange& range) {
  if (range.offset == 0 && range.length < 0) return {};
  std::string value = absl::StrCat("Range: bytes=", range.offset, "-");
  if (range.length >= 0) absl::StrAppend(&value, range.offset + range.length - 1);
  std::vector<std::string> headers = {value};
  if (!range.entity_tag.empty()) headers.push_back(absl::StrCat("If-Range: ", range.entity_tag));
  return headers;
}

}  // namespace

BlobPart RequestBlob(Endpoint& endpoint, Http& http, const BlobRange& range,
                     absl::FunctionRef<absl::Status(absl::string_view)> sink) {
  BlobPart part;
  const std::string path = absl::StrCat("/blobs/", range.digest.text());
  int64_t to_skip = 0;
  absl::Status refused;
  const Http::Sink http_sink{
      .accepts =
          [&](const HttpAnswer& answer) {
            part.partial = answer.status == 206 && StartsAt(answer, range.offset);
            if (!part.partial && answer.status != 200) return false;
            to_skip = part.partial ? 0 : range.offset;
            const std::string tag = answer.Header("etag");
            if (absl::StartsWith(tag, "\"")) part.entity_tag = tag;
            return true;
          },
      .take = [&](absl::string_view bytes) -> absl::Status {
        const auto skip =
            static_cast<size_t>(std::min<int64_t>(to_skip, static_cast<int64_t>(bytes.size())));
        to_skip -= static_cast<int64_t>(skip);
        bytes.remove_prefix(skip);
        if (!bytes.empty()) refused = sink(bytes);
        return refused;
      }};
  const absl::StatusOr<HttpAnswer> answer =
      endpoint.Get(http, path, RangeHeaders(range), &http_sink);
  part.refused_by_sink = !refused.ok();
  if (part.refused_by_sink) {
    part.status = Annotate(refused, absl::StrCat("GET ", endpoint.Printable(path)));
  } else if (!answer.ok()) {
    part.status = answer.status();
  } else if (answer->status == 206 && !part.partial) {
    part.status = absl::DataLossError(absl::StrCat("GET ", endpoint.Printable(path),
                                                   ": the answer is another range than asked for"));
  }
  return part;
}

}  // namespace berth
