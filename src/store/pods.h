// Rows of pods and containers. What config and status hold is the caller's: see
// docs/formats/store.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/store/database.h"

namespace berth {

struct PodRow {
  std::string id, name;
  int64_t created_at = 0;
  std::string config, status;
};

struct ContainerRow {
  std::string id, pod_id, name;
  int64_t created_at = 0;
  std::string config, image, status;
};

// AlreadyExists if the name is taken.
absl::Status InsertPod(Database& database, const PodRow& row);
absl::Status UpdatePodStatus(Database& database, absl::string_view id, absl::string_view status);
// What was damaged of it is made good; its id and name stay.
absl::Status RewritePod(Database& database, const PodRow& row);
absl::Status DeletePod(Database& database, absl::string_view id);
absl::StatusOr<std::vector<PodRow>> LoadPods(Database& database);

absl::Status InsertContainer(Database& database, const ContainerRow& row);
absl::Status UpdateContainerStatus(Database& database, absl::string_view id,
                                   absl::string_view status);
absl::Status RewriteContainer(Database& database, const ContainerRow& row);
absl::Status DeleteContainer(Database& database, absl::string_view id);
absl::StatusOr<std::vector<ContainerRow>> LoadContainers(Database& database);

// Small facts of the node (docs/formats/store.md). "" if not set.
absl::StatusOr<std::string> ReadNodeValue(Database& database, absl::string_view key);
absl::Status WriteNodeValue(Database& database, absl::string_view key, absl::string_view value);

}  // namespace berth
