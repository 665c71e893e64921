#include "src/store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/failpoint.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/base/unique_fd.h"
#include "src/store/schema.h"

namespace berth {
namespace {

constexpr int kUnfilled = 1;            // PRAGMA application_id until MarkFilled
constexpr size_t kIdleStatements = 64;  // twice as many as there are

absl::Status SqliteStatus(sqlite3* db, absl::string_view what) {
  const int code = sqlite3_extended_errcode(db);
  const std::string message = absl::StrCat(what, ": ", sqlite3_errmsg(db));
  switch (code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return absl::ResourceExhaustedError(message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(message);
    case SQLITE_CONSTRAINT:
      if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY) {
        return absl::AlreadyExistsError(message);
      }
      return absl::FailedPreconditionError(message);
    case SQLITE_BUSY:
      return absl::UnavailableError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::Status Execute(sqlite3* db, absl::string_view sql) {
  if (sqlite3_exec(db, std::string(sql).c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return SqliteStatus(db, "database");
  }
  return absl::OkStatus();
}

absl::StatusOr<int> ReadPragma(sqlite3* db, const char* pragma) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(db, pragma, -1, &raw, nullptr) != SQLITE_OK)
    return SqliteStatus(db, pragma);
  const bool row = sqlite3_step(raw) == SQLITE_ROW;
  const int value = row ? sqlite3_column_int(raw, 0) : -1;
  sqlite3_finalize(raw);
  if (!row) return SqliteStatus(db, pragma);
  return value;
}

// Pages and records are read once: damage is better found before there are answers.
absl::Status CheckWhole(sqlite3* db) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &raw, nullptr) != SQLITE_OK)
    return SqliteStatus(db, "check");
  std::string verdict;
  if (sqlite3_step(raw) == SQLITE_ROW)
    verdict = reinterpret_cast<const char*>(sqlite3_column_text(raw, 0));
  const absl::Status failed = verdict.empty() ? SqliteStatus(db, "check") : absl::OkStatus();
  sqlite3_finalize(raw);
  RETURN_IF_ERROR(failed);
  return verdict == "ok" ? absl::OkStatus() : absl::DataLossError(absl::StrCat("check: ", verdict));
}

absl::Status PrepareSchema(sqlite3* db, bool to_be_filled, bool* created) {
  RETURN_IF_ERROR(
      Execute(db, "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON; PRAGMA synchronous=FULL;"));
  ASSIGN_OR_RETURN(const int version, ReadPragma(db, "PRAGMA user_version"));
  ASSIGN_OR_RETURN(const int application_id, ReadPragma(db, "PRAGMA application_id"));
  const bool to_be_emptied = to_be_filled && application_id == kUnfilled;
  *created = version == 0 || to_be_emptied;
  if (version != 0) RETURN_IF_ERROR(CheckWhole(db));
  if (version == kSchemaVersion && !to_be_emptied) return absl::OkStatus();
  if (version > kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat("schema version ", version, " is newer than ",
                                                      kSchemaVersion,
                                                      ", the newest that this berthd knows"));
  }
  std::string changes = version == 0 ? kSchema : to_be_emptied ? kNoRows : "";
  if (version == 0 && to_be_filled)
    absl::StrAppend(&changes, "PRAGMA application_id=", kUnfilled, ";");
  for (int from = version; from > 0 && from < kSchemaVersion; ++from)
    changes += kMigrations[from - 1];
  return Execute(db, absl::StrCat("BEGIN IMMEDIATE;", changes,
                                  "PRAGMA user_version=", kSchemaVersion, "; COMMIT;"));
}

// Blocks for what is written when the disk is full: of the log as far as it grows before SQLite
// begins it anew, and of the file itself. Not where the file system cannot, or is full already.
// The descriptors are to be kept until SQLite has closed the files: closing one takes away the
// locks that this process has on the file (fcntl(2), "Advisory record locking").
std::vector<UniqueFd> ReserveBlocks(const std::string& path) {
  // wal_autocheckpoint, and what one commit adds.
  constexpr off_t kLogBytes = off_t{1100} * (4096 + 24);
  constexpr off_t kFileBytes = 1 << 20;
  struct Part {
    std::string path;
    off_t bytes;
    bool beyond_end;
  };
  std::vector<UniqueFd> kept;
  for (const Part& part : {Part{path + "-wal", kLogBytes, false}, Part{path, kFileBytes, true}}) {
    const UniqueFd& file = kept.emplace_back(::open(part.path.c_str(), O_RDWR | O_CLOEXEC));
    struct stat info;
    if (!file.valid() || ::fstat(file.get(), &info) != 0) continue;
    ::fallocate(file.get(), FALLOC_FL_KEEP_SIZE, part.beyond_end ? info.st_size : 0, part.bytes);
  }
  return kept;
}

}  // namespace

IdleStatements::~IdleStatements() {
  for (const auto& [sql, statement] : by_sql_) sqlite3_finalize(statement);
}

sqlite3_stmt* IdleStatements::Take(absl::string_view sql) {
  const auto found = by_sql_.find(sql);
  if (found == by_sql_.end()) return nullptr;
  sqlite3_stmt* statement = found->second;
  by_sql_.erase(found);
  return statement;
}

void IdleStatements::Give(sqlite3_stmt* statement) {
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  const bool kept = by_sql_.size() < kIdleStatements &&
                    by_sql_.try_emplace(sqlite3_sql(statement), statement).second;
  if (!kept) sqlite3_finalize(statement);
}

Statement::Statement(Statement&& other) noexcept
    : db_(other.db_), idle_(other.idle_), statement_(std::exchange(other.statement_, nullptr)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(db_, other.db_);
  std::swap(idle_, other.idle_);
  std::swap(statement_, other.statement_);
  return *this;
}

Statement::~Statement() {
  if (statement_ != nullptr) idle_->Give(statement_);
}

Statement& Statement::Bind(int index, int64_t value) {
  sqlite3_bind_int64(statement_, index, value);
  return *this;
}

Statement& Statement::Bind(int index, absl::string_view text) {
  sqlite3_bind_text64(statement_, index, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}

Statement& Statement::BindBlob(int index, absl::string_view bytes) {
  // A null pointer would bind NULL; an empty blob is not NULL.
  sqlite3_bind_blob64(statement_, index, bytes.empty() ? "" : bytes.data(), bytes.size(),
                      SQLITE_TRANSIENT);
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  switch (sqlite3_step(statement_)) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      return false;
    default:
      return SqliteStatus(db_, "database");
  }
}

absl::Status Statement::Run() {
  while (true) {
    ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) break;
  }
  sqlite3_reset(statement_);
  return absl::OkStatus();
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Statement::Text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  if (bytes == nullptr) return "";
  return std::string(static_cast<const char*>(bytes), sqlite3_column_bytes(statement_, column));
}

absl::StatusOr<Statement> Database::Transaction::Prepare(absl::string_view sql) {
  sqlite3_stmt* raw = idle_->Take(sql);
  if (raw == nullptr && sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                           SQLITE_PREPARE_PERSISTENT, &raw, nullptr) != SQLITE_OK) {
    return SqliteStatus(db_, absl::StrCat("prepare ", sql));
  }
  return Statement(db_, idle_, raw);
}

absl::Status Database::Transaction::Run(absl::string_view sql) {
  ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  return statement.Run();
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  return Open(path, OpenOptions());
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path,
                                                         const OpenOptions& options) {
  const mode_t old_mask = ::umask(0077);
  sqlite3* raw = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &raw,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  ::umask(old_mask);
  std::unique_ptr<Database> database(new Database(raw));
  if (code != SQLITE_OK) return SqliteStatus(raw, absl::StrCat("open ", path));
  sqlite3_busy_timeout(raw, 5000);
  if (absl::Status prepared = PrepareSchema(raw, options.to_be_filled, &database->created_);
      !prepared.ok()) {
    return Annotate(prepared, absl::StrCat("open ", path));
  }
  // The files beside it stay at the end, so that the next start needs no blocks for them.
  int keep = 1;
  sqlite3_file_control(raw, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
  database->reserved_ = ReserveBlocks(path);
  return database;
}

Database::~Database() {
  {
    absl::MutexLock lock(&mu_);
    idle_.reset();
  }
  sqlite3_close_v2(db_);
}

absl::Status Database::Run(absl::string_view begin,
                           absl::FunctionRef<absl::Status(Transaction&)> body) {
  Transaction transaction(db_, &*idle_);
  RETURN_IF_ERROR(transaction.Run(begin));
  absl::Status status = body(transaction);
  if (status.ok()) status = Commit(transaction);
  if (!status.ok()) transaction.Run("ROLLBACK").IgnoreError();
  return status;
}

absl::Status Database::Commit(Transaction& transaction) {
  RETURN_IF_FAULT("store.commit");
  return transaction.Run("COMMIT");
}

absl::Status Database::WriteLocked(Durability durability,
                                   absl::FunctionRef<absl::Status(Transaction&)> body) {
  if (durability != durability_) {
    RETURN_IF_ERROR(Execute(db_, durability == Durability::kCrash ? "PRAGMA synchronous=NORMAL"
                                                                  : "PRAGMA synchronous=FULL"));
    durability_ = durability;
  }
  RETURN_IF_FAULT("store.begin");
  return Run("BEGIN IMMEDIATE", body);
}

absl::Status Database::Write(Durability durability,
                             absl::FunctionRef<absl::Status(Transaction&)> body) {
  const absl::Time begin = SteadyNow();
  absl::Status status;
  {
    absl::MutexLock lock(&mu_);
    status = WriteLocked(durability, body);
  }
  if (observer_)
    observer_(durability == Durability::kPowerLoss ? "sync" : "write", SteadyNow() - begin);
  return status;
}

absl::Status Database::Read(absl::FunctionRef<absl::Status(Transaction&)> body) {
  const absl::Time begin = SteadyNow();
  absl::Status status;
  {
    absl::MutexLock lock(&mu_);
    status = Run("BEGIN", body);
  }
  if (observer_) observer_("read", SteadyNow() - begin);
  return status;
}

absl::Status Database::MarkFilled() {
  if (!created_) return absl::OkStatus();
  return Write(Durability::kPowerLoss,
               [](Transaction& transaction) { return transaction.Run("PRAGMA application_id=0"); });
}

absl::StatusOr<std::string> SetDatabaseAside(const std::string& path) {
  const std::string aside = path + ".damaged";
  // Without its log a file may well be whole, but rows are missing that nobody would make again. A
  // log without its file SQLite deletes when it makes the new one.
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const std::string from = absl::StrCat(path, suffix), to = absl::StrCat(aside, suffix);
    if (::rename(from.c_str(), to.c_str()) == 0) continue;
    if (errno != ENOENT) return ErrnoStatus("rename", from);
    ::unlink(to.c_str());
  }
  return aside;
}

}  // namespace berth
