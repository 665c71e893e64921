// Rows of the table `addresses`: which pod holds which address of the built-in network. One row per
// address; a row is deleted only when the pod's link is known to be gone, so an address in the
// table is never handed out.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/store/database.h"

namespace berth {

struct AddressRow {
  std::string address;
  std::string pod_id;
  bool released = false;
};

absl::StatusOr<std::vector<AddressRow>> LoadAddressRows(Database& database);

// AlreadyExists when one of the addresses has a row; then none is added.
absl::Status InsertAddressRows(Database& database, absl::string_view pod_id,
                               const std::vector<std::string>& addresses);

// Marks the rows: pod gone, link not yet known to be. Addresses without a row are skipped.
absl::Status ReleaseAddressRows(Database& database, const std::vector<std::string>& addresses);

// Addresses without a row are skipped.
absl::Status DeleteAddressRows(Database& database, const std::vector<std::string>& addresses);

}  // namespace berth
