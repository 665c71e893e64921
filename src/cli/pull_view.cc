#include "src/cli/pull_view.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "src/cli/quantity.h"
#include "src/cli/table.h"
#include "src/cli/terminal_text.h"

namespace berth::cli {
namespace {

constexpr size_t kNameColumns = 12;
constexpr size_t kStateColumns = 11;  // "downloading"
constexpr size_t kMaxBarColumns = 40;
constexpr size_t kAmountColumns = 17;  // "12.3MB/45.6MB" and room to grow

bool IsFinished(absl::string_view state) { return state == "done" || state == "exists"; }

std::string NameOf(absl::string_view digest) {
  if (digest.empty()) return "image";
  return OneLine(absl::StripPrefix(digest, "sha256:").substr(0, kNameColumns));
}

std::string Bar(uint64_t bytes, uint64_t total_bytes, size_t columns) {
  const double part = std::min(1.0, static_cast<double>(bytes) / static_cast<double>(total_bytes));
  const auto filled = static_cast<size_t>(part * static_cast<double>(columns));
  std::string bar(filled, '=');
  if (filled < columns) bar += '>';
  bar.resize(columns, ' ');
  return absl::StrCat("[", bar, "]");
}

std::string Amount(uint64_t bytes, uint64_t total_bytes) {
  if (total_bytes == 0) return bytes == 0 ? "" : FormatSize(bytes);
  return absl::StrCat(FormatSize(std::min(bytes, total_bytes)), "/", FormatSize(total_bytes));
}

}  // namespace

bool PullView::Update(const v1::PullImageProgress& progress) {
  if (progress.layer().empty() && progress.state().empty()) return false;
  auto layer = std::find_if(layers_.begin(), layers_.end(),
                            [&](const Layer& known) { return known.digest == progress.layer(); });
  if (layer == layers_.end()) {
    layers_.push_back({.name = NameOf(progress.layer()), .digest = progress.layer()});
    layer = std::prev(layers_.end());
  }
  const std::string state = OneLine(progress.state());
  const bool changed = layer->state != state;
  layer->state = state;
  layer->bytes = static_cast<uint64_t>(std::max<int64_t>(0, progress.bytes()));
  layer->total_bytes = static_cast<uint64_t>(std::max<int64_t>(0, progress.total_bytes()));
  return changed;
}

std::string PullView::DrawLayer(const Layer& layer, size_t width, bool colour) {
  const Tone tone = IsFinished(layer.state) ? Tone::kGood : Tone::kPlain;
  const std::string head = absl::StrFormat("%-*s  ", static_cast<int>(kNameColumns), layer.name);
  const std::string state = absl::StrFormat("%-*s", static_cast<int>(kStateColumns), layer.state);
  const size_t fixed = DisplayWidth(head) + DisplayWidth(state);
  if (fixed > width) return Shorten(absl::StrCat(head, state), width);
  std::string tail;
  if (!IsFinished(layer.state) && layer.total_bytes > 0 && width > fixed + kAmountColumns + 8) {
    const size_t room = width - fixed - kAmountColumns - 5;
    absl::StrAppend(&tail, "  ",
                    Bar(layer.bytes, layer.total_bytes, std::min(room, kMaxBarColumns)));
  }
  const std::string amount = IsFinished(layer.state) && layer.total_bytes > 0
                                 ? FormatSize(layer.total_bytes)
                                 : Amount(layer.bytes, layer.total_bytes);
  if (!amount.empty()) absl::StrAppend(&tail, "  ", amount);
  return absl::StrCat(head, Paint(state, tone, colour), Shorten(tail, width - fixed));
}

std::vector<std::string> PullView::Draw(size_t width, size_t max_lines, bool colour) const {
  std::vector<std::string> lines;
  const bool all_fit = layers_.size() <= max_lines;
  size_t hidden = 0;
  for (const Layer& layer : layers_) {
    const bool show = all_fit || (!IsFinished(layer.state) && lines.size() + 1 < max_lines);
    if (show) {
      lines.push_back(DrawLayer(layer, width, colour));
    } else {
      ++hidden;
    }
  }
  if (hidden > 0 && max_lines > 0) {
    const auto finished = std::count_if(layers_.begin(), layers_.end(),
                                        [](const Layer& layer) { return IsFinished(layer.state); });
    lines.push_back(Shorten(
        absl::StrCat(hidden, " more (", finished, " of ", layers_.size(), " done)"), width));
  }
  return lines;
}

std::string PullView::PlainLine(const v1::PullImageProgress& progress) const {
  std::string line = absl::StrCat(NameOf(progress.layer()), ": ", OneLine(progress.state()));
  if (progress.total_bytes() > 0) absl::StrAppend(&line, " ", FormatSize(progress.total_bytes()));
  return line;
}

std::string PullView::Summary() const {
  size_t layers = 0;
  size_t fetched = 0;
  uint64_t bytes = 0;
  for (const Layer& layer : layers_) {
    if (layer.digest.empty()) continue;
    ++layers;
    if (layer.state == "exists") continue;
    ++fetched;
    bytes += std::max(layer.bytes, layer.total_bytes);
  }
  return absl::StrCat(layers, layers == 1 ? " layer, " : " layers, ", fetched, " new, ",
                      FormatSize(bytes));
}

}  // namespace berth::cli
