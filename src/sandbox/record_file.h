// What the rows of a pod and of a container say, once more in their own directories: the database
// is then made again where it is lost, and a row where it is damaged (docs/formats/store.md).
// Written when the pod is ready and the container made, and not changed after that: what became of
// them the monitor knows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/store/attachments.h"
#include "src/store/pods.h"

namespace berth {

struct PodRecordFile {
  PodRow row;
  std::vector<std::string> addresses;       // rows of the built-in network
  std::optional<AttachmentRow> attachment;  // what CNI plugins gave
};

// `directory` is the pod's or the container's below the data directory. Replaces the file.
absl::Status WriteRecordFile(const std::string& directory, const PodRecordFile& pod);
absl::Status WriteRecordFile(const std::string& directory, const ContainerRow& container);

// Makes the inode that the first WriteRecordFile fills.
absl::Status ReserveRecordFile(const std::string& directory);

// NotFound: there is none (the object was not whole yet, or is of an older berthd). DataLoss.
absl::StatusOr<PodRecordFile> ReadPodRecordFile(const std::string& directory);
absl::StatusOr<ContainerRow> ReadContainerRecordFile(const std::string& directory);

}  // namespace berth
