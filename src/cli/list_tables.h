// The tables that the listing commands print, from the daemon's replies. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cri/runtime/v1/api.pb.h"
#include "src/cli/table.h"

namespace berth::cli {

namespace cri = ::runtime::v1;

struct TableStyle {
  absl::Time now;
  bool no_trunc = false;
};

// An id as the table shows it.
std::string ShownId(absl::string_view id, bool no_trunc);

// `addresses` by pod id; pods without one show "-".
Table PodsTable(const std::vector<cri::PodSandbox>& pods,
                const std::map<std::string, std::string>& addresses, const TableStyle& style);

// One line of `berth ps`.
struct ContainerRow {
  cri::Container container;
  cri::ContainerStatus status;
  std::string pod_name;
};
Table ContainersTable(const std::vector<ContainerRow>& rows, const TableStyle& style);

// One row a tag; an image without a tag has one row.
Table ImagesTable(const cri::ListImagesResponse& images, const TableStyle& style);

// Two samples of the same containers; CPU is what was used between them.
Table StatsTable(const cri::ListContainerStatsResponse& before,
                 const cri::ListContainerStatsResponse& after, const TableStyle& style);

// The address of a pod and its further ones, "-" for none.
std::string PodAddresses(const cri::PodSandboxStatus& status);

}  // namespace berth::cli
