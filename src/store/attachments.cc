#include "src/store/attachments.h"

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

absl::Status RunForPod(Database& database, Durability durability, absl::string_view sql,
                       absl::string_view pod_id) {
  return database.Write(durability, [&](Database::Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(Statement statement, transaction.Prepare(sql));
    return statement.Bind(1, pod_id).Run();
  });
}

absl::Status WriteRow(Database& database, absl::string_view sql, const AttachmentRow& row) {
  return database.Write(
      Durability::kCrash, [&](Database::Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(Statement statement, transaction.Prepare(sql));
        statement.Bind(1, absl::string_view(row.pod_id)).Bind(2, absl::string_view(row.network));
        statement.Bind(3, static_cast<int64_t>(row.state)).Bind(4, absl::string_view(row.record));
        return statement.Run();
      });
}

absl::StatusOr<AttachmentRow> RowOf(const Statement& select) {
  const int64_t state = select.Int(2);
  if (state < 0 || state > static_cast<int64_t>(AttachmentState::kRemoving)) {
    return absl::DataLossError(
        absl::StrCat("attachment of pod ", select.Text(0), ": state ", state));
  }
  return AttachmentRow{.pod_id = select.Text(0),
                       .network = select.Text(1),
                       .state = static_cast<AttachmentState>(state),
                       .record = select.Text(3)};
}

}  // namespace

absl::StatusOr<std::vector<AttachmentRow>> LoadAttachments(Database& database) {
  std::vector<AttachmentRow> rows;
  RETURN_IF_ERROR(database.Read([&](Database::Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(Statement select,
                     transaction.Prepare("SELECT pod_id, network, state, record FROM attachments"));
    while (true) {
      ASSIGN_OR_RETURN(const bool row, select.Step());
      if (!row) return absl::OkStatus();
      ASSIGN_OR_RETURN(rows.emplace_back(), RowOf(select));
    }
  }));
  return rows;
}

absl::StatusOr<std::optional<AttachmentRow>> FindAttachment(Database& database,
                                                            absl::string_view pod_id) {
  std::optional<AttachmentRow> found;
  RETURN_IF_ERROR(database.Read([&](Database::Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(Statement select,
                     transaction.Prepare("SELECT pod_id, network, state, record FROM attachments "
                                         "WHERE pod_id = ?1"));
    ASSIGN_OR_RETURN(const bool row, select.Bind(1, pod_id).Step());
    if (!row) return absl::OkStatus();
    ASSIGN_OR_RETURN(found, RowOf(select));
    return absl::OkStatus();
  }));
  return found;
}

absl::Status InsertAttachment(Database& database, const AttachmentRow& row) {
  return WriteRow(
      database, "INSERT INTO attachments (pod_id, network, state, record) VALUES (?1, ?2, ?3, ?4)",
      row);
}

absl::Status UpdateAttachment(Database& database, const AttachmentRow& row) {
  return WriteRow(database,
                  "UPDATE attachments SET network = ?2, state = ?3, record = ?4 WHERE pod_id = ?1",
                  row);
}

// SQLite syncs at the commit of a transaction that changed something, and with it all before it.
absl::Status SyncAttachment(Database& database, absl::string_view pod_id) {
  return RunForPod(database, Durability::kPowerLoss,
                   "UPDATE attachments SET synced = 1 WHERE pod_id = ?1", pod_id);
}

absl::Status DeleteAttachment(Database& database, absl::string_view pod_id) {
  return RunForPod(database, Durability::kCrash, "DELETE FROM attachments WHERE pod_id = ?1",
                   pod_id);
}

}  // namespace berth
