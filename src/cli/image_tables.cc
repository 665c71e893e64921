#include "src/cli/image_tables.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "src/cli/age.h"
#include "src/cli/quantity.h"
#include "src/cli/terminal_text.h"
#include "src/cli/verbose_json.h"

namespace berth::cli {
namespace {

using Json = nlohmann::json;

constexpr size_t kInstructionColumns = 60;

std::string Text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// RFC 3339, as the specification says; "-" where it is absent or something else.
std::string CreatedAgo(const Json& entry, absl::Time now) {
  absl::Time created;
  if (!absl::ParseTime(absl::RFC3339_full, Text(entry, "created"), &created, nullptr)) return "-";
  return FormatAgo(absl::ToUnixNanos(created), now);
}

std::string Shown(const std::string& text, bool no_trunc) {
  return no_trunc ? text : Shorten(OneLine(text), kInstructionColumns);
}

std::string Size(int64_t bytes) {
  return FormatSize(static_cast<uint64_t>(std::max<int64_t>(0, bytes)));
}

Tone ToneOf(const std::string& verdict) {
  if (verdict == "ok" || verdict == "repaired") return Tone::kGood;
  return verdict == "damaged" ? Tone::kBad : Tone::kFaint;
}

}  // namespace

absl::StatusOr<Table> HistoryTable(const v1::InspectImageResponse& image, const TableStyle& style) {
  const Json config = Json::parse(image.config(), nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("config of ", image.id(), ": not a JSON object"));
  }
  std::vector<std::vector<Cell>> rows;
  int layer = 0;
  const auto history = config.find("history");
  for (const Json& entry : history == config.end() ? Json::array() : *history) {
    if (!entry.is_object()) continue;
    const auto empty = entry.find("empty_layer");
    const bool has_layer = empty == entry.end() || !empty->is_boolean() || !empty->get<bool>();
    if (has_layer && layer >= image.layers_size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("config of ", image.id(), ": its history tells of more than the image's ",
                       image.layers_size(), " layers"));
    }
    const v1::ImageLayer* made = has_layer ? &image.layers(layer++) : nullptr;
    rows.push_back({made == nullptr ? "-" : ShownId(made->diff_id(), style.no_trunc),
                    CreatedAgo(entry, style.now), made == nullptr ? "0B" : Size(made->size_bytes()),
                    Shown(Text(entry, "created_by"), style.no_trunc),
                    Shown(Text(entry, "comment"), style.no_trunc)});
  }
  for (; layer < image.layers_size(); ++layer) {  // a history is optional
    rows.push_back({ShownId(image.layers(layer).diff_id(), style.no_trunc), "-",
                    Size(image.layers(layer).size_bytes()), "-", ""});
  }
  Table table({"LAYER", "CREATED", "SIZE", "CREATED BY", "COMMENT"});
  std::for_each(rows.rbegin(), rows.rend(), [&](auto& row) { table.AddRow(std::move(row)); });
  return table;
}

Table VerifyTable(const std::vector<v1::VerifyImagesResponse>& layers, const TableStyle& style) {
  Table table({"LAYER", "DIRECTORY", "STATE", "DETAIL"});
  for (const v1::VerifyImagesResponse& layer : layers) {
    table.AddRow({ShownId(layer.diff_id(), style.no_trunc), layer.directory(),
                  Cell(layer.state(), ToneOf(layer.state())), layer.detail()});
  }
  return table;
}

Table GarbageTable(const v1::CollectGarbageResponse& garbage, const TableStyle& style) {
  Table table({"KIND", "NAME", "SIZE", "", "WHY"});
  for (const v1::GarbageItem& item : garbage.items()) {
    table.AddRow({item.kind(), ShownId(item.name(), style.no_trunc), Size(item.bytes()),
                  item.kept() ? Cell("kept", Tone::kFaint) : Cell("removed", Tone::kGood),
                  item.why()});
  }
  return table;
}

std::string GarbageSummary(const v1::CollectGarbageResponse& garbage, bool dry_run) {
  std::map<std::string, int> removed;
  int64_t bytes = 0;
  int kept = 0;
  for (const v1::GarbageItem& item : garbage.items()) {
    if (item.kept()) {
      ++kept;
      continue;
    }
    ++removed[item.kind()];
    bytes += item.bytes();
  }
  const std::string what = absl::StrJoin(removed, ", ", [](std::string* out, const auto& kind) {
    absl::StrAppend(out, kind.second, " ", kind.first, kind.second == 1 ? "" : "s");
  });
  return absl::StrCat(dry_run ? "would remove " : "removed ", what.empty() ? "nothing" : what, ": ",
                      Size(bytes), dry_run ? " to free; " : " freed; ", kept, " kept");
}

Table PullsTable(const v1::ListPullsResponse& pulls, const TableStyle& style) {
  Table table({"IMAGE", "STARTED", "RECEIVED", "OF", "LAYERS"});
  for (const v1::Pull& pull : pulls.pulls()) {
    const auto done = std::count_if(
        pull.layers().begin(), pull.layers().end(),
        [](const auto& layer) { return layer.state() == "done" || layer.state() == "exists"; });
    table.AddRow({pull.reference(), FormatAgo(pull.started_at(), style.now), Size(pull.bytes()),
                  pull.total_bytes() == 0 ? "-" : Size(pull.total_bytes()),
                  absl::StrCat(done, " of ", pull.layers_size(), " done")});
  }
  return table;
}

absl::StatusOr<std::string> ImageJson(const v1::InspectImageResponse& image) {
  v1::InspectImageResponse status = image;
  status.clear_config();
  status.clear_manifest();
  InfoMap documents = {{"config", image.config()}};
  if (!image.manifest().empty()) documents["manifest"] = image.manifest();
  return VerboseJson(status, documents);
}

}  // namespace berth::cli
