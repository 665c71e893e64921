#include "src/sandbox/data_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"
#include "src/sandbox/rebuild.h"

namespace berth {
namespace {

constexpr absl::Duration kLockPatience = absl::Seconds(2);

}  // namespace

absl::StatusOr<UniqueFd> LockDataDir(const std::string& data_dir) {
  const std::string path = data_dir + "/berthd.lock";
  ASSIGN_OR_RETURN(UniqueFd lock, OpenFile(AT_FDCWD, path, O_RDWR | O_CREAT, 0600));
  const absl::Time patience = SteadyNow() + kLockPatience;
  bool locked = false;
  while (!(locked = flock(lock.get(), LOCK_EX | LOCK_NB) == 0) && SteadyNow() < patience)
    absl::SleepFor(absl::Milliseconds(10));
  if (!locked) {
    const std::string owner = ReadFd(lock.get(), 64, path).value_or("");
    return absl::AlreadyExistsError(absl::StrCat(
        "another berthd (pid ", absl::StripTrailingAsciiWhitespace(owner), ") uses ", data_dir));
  }
  // For whom it refuses; there may be no room for it.
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (pwrite(lock.get(), pid.data(), pid.size(), 0) == static_cast<ssize_t>(pid.size()))
    (void)!ftruncate(lock.get(), static_cast<off_t>(pid.size()));
  return lock;
}

absl::StatusOr<std::unique_ptr<Database>> OpenDatabase(const std::string& data_dir,
                                                       const Log& log) {
  const std::string path = data_dir + "/berth.db";
  absl::StatusOr<std::unique_ptr<Database>> database = Database::Open(path, {.to_be_filled = true});
  if (absl::IsDataLoss(database.status())) {
    ASSIGN_OR_RETURN(const std::string aside, SetDatabaseAside(path));
    log.Error("damaged database set aside",
              {{"error", database.status().message()}, {"kept_as", aside}});
    database = Database::Open(path, {.to_be_filled = true});
  }
  RETURN_IF_ERROR(database.status());
  if ((*database)->created()) RETURN_IF_ERROR(RebuildPodRows(data_dir, **database, log));
  return database;
}

}  // namespace berth
