// What `berth image` prints, from the daemon's replies. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "berth/v1/berth.pb.h"
#include "src/cli/list_tables.h"
#include "src/cli/table.h"

namespace berth::cli {

// One row per entry of the config's history, newest first, beside the layer that it made (OCI
// image-spec config.md). InvalidArgument if the config is no JSON, or says more layers than there
// are.
absl::StatusOr<Table> HistoryTable(const v1::InspectImageResponse& image, const TableStyle& style);

Table VerifyTable(const std::vector<v1::VerifyImagesResponse>& layers, const TableStyle& style);

Table GarbageTable(const v1::CollectGarbageResponse& garbage, const TableStyle& style);
// "removed 3 layers, 1 blob: 12.3MB freed; 5 kept"; in the conditional for a dry run.
std::string GarbageSummary(const v1::CollectGarbageResponse& garbage, bool dry_run);

Table PullsTable(const v1::ListPullsResponse& pulls, const TableStyle& style);

// Documents nested as JSON, sizes and names beside them.
absl::StatusOr<std::string> ImageJson(const v1::InspectImageResponse& image);

}  // namespace berth::cli
