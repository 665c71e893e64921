#include "src/image/unclean_stop.h"

#include <utility>

#include "src/base/status_macros.h"
#include "src/store/pods.h"

namespace berth {
namespace {

constexpr char kKey[] = "layers";
constexpr char kUnverified[] = "unverified";

}  // namespace

absl::StatusOr<UncleanStop> UncleanStop::Begin(Database& database, std::string boot_id) {
  ASSIGN_OR_RETURN(const std::string mark, ReadNodeValue(database, kKey));
  UncleanStop stop(std::move(boot_id), !mark.empty());
  if (mark == stop.boot_id_) stop.due_ = false;
  RETURN_IF_ERROR(WriteNodeValue(database, kKey, stop.due_ ? kUnverified : stop.boot_id_));
  return stop;
}

absl::Status UncleanStop::MarkUnverified(Database& database) {
  return WriteNodeValue(database, kKey, kUnverified);
}

absl::Status UncleanStop::Verified(Database& database) {
  RETURN_IF_ERROR(WriteNodeValue(database, kKey, boot_id_));
  due_ = false;
  return absl::OkStatus();
}

absl::Status UncleanStop::End(Database& database) const {
  return WriteNodeValue(database, kKey, due_ ? kUnverified : "");
}

}  // namespace berth
