// Rows of the table `attachments`: pods that CNI plugins gave a network, or were about to. A row is
// written before the first plugin runs, and deleted only when the plugins have taken back what they
// gave.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/store/database.h"

namespace berth {

enum class AttachmentState { kAdding, kAdded, kRemoving };

struct AttachmentRow {
  std::string pod_id, network;
  AttachmentState state = AttachmentState::kAdding;
  std::string record;  // JSON, docs/formats/store.md
};

// DataLoss: a state that there is not.
absl::StatusOr<std::vector<AttachmentRow>> LoadAttachments(Database& database);
// nullopt: the pod has none.
absl::StatusOr<std::optional<AttachmentRow>> FindAttachment(Database& database,
                                                            absl::string_view pod_id);
// AlreadyExists: the pod has one. It survives a crash of the daemon; a power cut only after
// SyncAttachment.
absl::Status InsertAttachment(Database& database, const AttachmentRow& row);
absl::Status UpdateAttachment(Database& database, const AttachmentRow& row);
// On return the row, as it is, survives a power cut (some milliseconds).
absl::Status SyncAttachment(Database& database, absl::string_view pod_id);
absl::Status DeleteAttachment(Database& database, absl::string_view pod_id);

}  // namespace berth
