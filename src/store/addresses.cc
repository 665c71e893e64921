#include "src/store/addresses.h"

#include "src/base/failpoint.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

// Links do not outlive a power cut, so neither need their addresses: Durability::kCrash everywhere.
absl::Status RunForEach(Database& database, absl::string_view sql,
                        const std::vector<std::string>& addresses) {
  return database.Write(Durability::kCrash,
                        [&](Database::Transaction& transaction) -> absl::Status {
                          ASSIGN_OR_RETURN(Statement statement, transaction.Prepare(sql));
                          for (const std::string& address : addresses)
                            RETURN_IF_ERROR(statement.Bind(1, address).Run());
                          return absl::OkStatus();
                        });
}

}  // namespace

absl::StatusOr<std::vector<AddressRow>> LoadAddressRows(Database& database) {
  std::vector<AddressRow> rows;
  RETURN_IF_ERROR(database.Read([&](Database::Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(Statement statement,
                     transaction.Prepare("SELECT address, pod_id, released FROM addresses"));
    while (true) {
      ASSIGN_OR_RETURN(const bool row, statement.Step());
      if (!row) return absl::OkStatus();
      rows.push_back({.address = statement.Text(0),
                      .pod_id = statement.Text(1),
                      .released = statement.Int(2) != 0});
    }
  }));
  return rows;
}

absl::Status InsertAddressRows(Database& database, absl::string_view pod_id,
                               const std::vector<std::string>& addresses) {
  RETURN_IF_FAULT("network.addresses");
  return database.Write(
      Durability::kCrash, [&](Database::Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(
            Statement statement,
            transaction.Prepare("INSERT INTO addresses (address, pod_id) VALUES (?1, ?2)"));
        for (const std::string& address : addresses) {
          RETURN_IF_ERROR(statement.Bind(1, address).Bind(2, pod_id).Run());
        }
        return absl::OkStatus();
      });
}

absl::Status ReleaseAddressRows(Database& database, const std::vector<std::string>& addresses) {
  RETURN_IF_FAULT("network.release");
  return RunForEach(database, "UPDATE addresses SET released = 1 WHERE address = ?1", addresses);
}

absl::Status DeleteAddressRows(Database& database, const std::vector<std::string>& addresses) {
  return RunForEach(database, "DELETE FROM addresses WHERE address = ?1", addresses);
}

}  // namespace berth
