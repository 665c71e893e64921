#include "src/store/pods.h"

#include "src/base/failpoint.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

using Transaction = Database::Transaction;

// A pod's processes do not outlive a power cut, so its rows need not either.
constexpr Durability kDurability = Durability::kCrash;

absl::Status RunWithText(Database& database, absl::string_view sql,
                         std::initializer_list<absl::string_view> texts) {
  return database.Write(kDurability, [&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(Statement statement, transaction.Prepare(sql));
    int index = 0;
    for (absl::string_view text : texts) statement.Bind(++index, text);
    return statement.Run();
  });
}

}  // namespace

absl::Status InsertPod(Database& database, const PodRow& row) {
  return database.Write(kDurability, [&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(Statement insert,
                     transaction.Prepare("INSERT INTO pods VALUES (?, ?, ?, ?, ?)"));
    insert.Bind(1, absl::string_view(row.id))
        .Bind(2, absl::string_view(row.name))
        .Bind(3, row.created_at);
    insert.BindBlob(4, row.config).Bind(5, absl::string_view(row.status));
    return insert.Run();
  });
}

absl::Status UpdatePodStatus(Database& database, absl::string_view id, absl::string_view status) {
  RETURN_IF_FAULT("node.persist_pod");
  return RunWithText(database, "UPDATE pods SET status = ?2 WHERE id = ?1", {id, status});
}

absl::Status RewritePod(Database& database, const PodRow& row) {
  return database.Write(kDurability, [&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(Statement update,
                     transaction.Prepare("UPDATE pods SET config = ?2, status = ?3 WHERE id = ?1"));
    update.Bind(1, absl::string_view(row.id)).BindBlob(2, row.config);
    return update.Bind(3, absl::string_view(row.status)).Run();
  });
}

absl::Status DeletePod(Database& database, absl::string_view id) {
  RETURN_IF_FAULT("remove_pod.record");
  return RunWithText(database, "DELETE FROM pods WHERE id = ?", {id});
}

absl::StatusOr<std::vector<PodRow>> LoadPods(Database& database) {
  std::vector<PodRow> rows;
  RETURN_IF_ERROR(database.Read([&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(Statement select,
                     transaction.Prepare("SELECT id, name, created_at, config, status FROM pods"));
    while (true) {
      ASSIGN_OR_RETURN(const bool row, select.Step());
      if (!row) return absl::OkStatus();
      rows.push_back(
          {select.Text(0), select.Text(1), select.Int(2), select.Text(3), select.Text(4)});
    }
  }));
  return rows;
}

absl::Status InsertContainer(Database& database, const ContainerRow& row) {
  return database.Write(kDurability, [&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(Statement insert,
                     transaction.Prepare("INSERT INTO containers VALUES (?, ?, ?, ?, ?, ?, ?)"));
    insert.Bind(1, absl::string_view(row.id))
        .Bind(2, absl::string_view(row.pod_id))
        .Bind(3, absl::string_view(row.name));
    insert.Bind(4, row.created_at).BindBlob(5, row.config).Bind(6, absl::string_view(row.image));
    insert.Bind(7, absl::string_view(row.status));
    return insert.Run();
  });
}

absl::Status UpdateContainerStatus(Database& database, absl::string_view id,
                                   absl::string_view status) {
  RETURN_IF_FAULT("node.persist_container");
  return RunWithText(database, "UPDATE containers SET status = ?2 WHERE id = ?1", {id, status});
}

absl::Status RewriteContainer(Database& database, const ContainerRow& row) {
  return database.Write(kDurability, [&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(
        Statement update,
        transaction.Prepare("UPDATE containers SET config = ?2, image = ?3, status = ?4 "
                            "WHERE id = ?1"));
    update.Bind(1, absl::string_view(row.id)).BindBlob(2, row.config);
    update.Bind(3, absl::string_view(row.image)).Bind(4, absl::string_view(row.status));
    return update.Run();
  });
}

absl::Status DeleteContainer(Database& database, absl::string_view id) {
  RETURN_IF_FAULT("remove_container.record");
  return RunWithText(database, "DELETE FROM containers WHERE id = ?", {id});
}

absl::StatusOr<std::vector<ContainerRow>> LoadContainers(Database& database) {
  std::vector<ContainerRow> rows;
  RETURN_IF_ERROR(database.Read([&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(
        Statement select,
        transaction.Prepare("SELECT id, pod_id, name, created_at, config, image, status "
                            "FROM containers"));
    while (true) {
      ASSIGN_OR_RETURN(const bool row, select.Step());
      if (!row) return absl::OkStatus();
      rows.push_back({select.Text(0), select.Text(1), select.Text(2), select.Int(3), select.Text(4),
                      select.Text(5), select.Text(6)});
    }
  }));
  return rows;
}

absl::StatusOr<std::string> ReadNodeValue(Database& database, absl::string_view key) {
  std::string value;
  RETURN_IF_ERROR(database.Read([&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(Statement select, transaction.Prepare("SELECT value FROM node WHERE key = ?"));
    select.Bind(1, key);
    ASSIGN_OR_RETURN(const bool row, select.Step());
    if (row) value = select.Text(0);
    return absl::OkStatus();
  }));
  return value;
}

absl::Status WriteNodeValue(Database& database, absl::string_view key, absl::string_view value) {
  return RunWithText(database, "INSERT OR REPLACE INTO node VALUES (?, ?)", {key, value});
}

}  // namespace berth
