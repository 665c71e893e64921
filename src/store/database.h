// The metadata database: SQLite in WAL mode, one writer at a time. Thread-safe.
// The schema is in schema.h; each domain's typed access is a file of its own (pods.h, addresses.h,
// attachments.h, src/image/image_rows.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/unique_fd.h"

struct sqlite3;
struct sqlite3_stmt;

namespace berth {

// What a committed transaction survives. kCrash: the death of the daemon (no fsync). kPowerLoss:
// also a power cut (fsync of the WAL before Commit returns); needed where the caller acknowledges
// something on disk.
enum class Durability { kCrash, kPowerLoss };

// Prepared statements that wait to be used again: to prepare one takes longer than to run it. Not
// thread-safe: it is guarded by the lock of the transactions that take from it.
class IdleStatements {
 public:
  IdleStatements() = default;
  IdleStatements(const IdleStatements&) = delete;
  ~IdleStatements();
  sqlite3_stmt* Take(absl::string_view sql);  // null: there is none
  void Give(sqlite3_stmt* statement);

 private:
  absl::flat_hash_map<absl::string_view, sqlite3_stmt*> by_sql_;  // the text is the statement's
};

// One prepared statement, reset and reused; it goes back to where the next transaction takes it.
// Parameters and columns count from 1 and 0, as SQLite does.
class Statement {
 public:
  Statement() = default;
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  Statement& Bind(int index, int64_t value);
  Statement& Bind(int index, absl::string_view text);
  Statement& BindBlob(int index, absl::string_view bytes);
  // True while there is a row. AlreadyExists for a violated UNIQUE constraint.
  absl::StatusOr<bool> Step();
  // Step() to the end, rows ignored.
  absl::Status Run();

  int64_t Int(int column) const;
  std::string Text(int column) const;  // also for blobs

 private:
  friend class Database;
  Statement(sqlite3* db, IdleStatements* idle, sqlite3_stmt* statement)
      : db_(db), idle_(idle), statement_(statement) {}
  sqlite3* db_ = nullptr;
  IdleStatements* idle_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
};

class Database {
 public:
  // Opens or creates `path` (mode 0600) and brings its schema up to date. A file that is damaged or
  // from a newer version is DataLoss / FailedPrecondition with the path; nothing is deleted.
  struct OpenOptions {
    // A new one is to be filled with rows that are known from elsewhere. Until MarkFilled has been
    // called each Open finds it new again, and without rows.
    bool to_be_filled = false;
  };
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path);
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path,
                                                        const OpenOptions& options);
  ~Database();
  // It had no rows when it was opened.
  bool created() const { return created_; }
  // On return that it is filled survives a power cut, with all its rows. Repeatable.
  absl::Status MarkFilled();

  // The access to the connection inside one transaction. Valid only during the callback.
  class Transaction {
   public:
    absl::StatusOr<Statement> Prepare(absl::string_view sql);
    absl::Status Run(absl::string_view sql);  // one statement, without parameters

   private:
    friend class Database;
    Transaction(sqlite3* db, IdleStatements* idle) : db_(db), idle_(idle) {}
    sqlite3* db_;
    IdleStatements* idle_;
  };

  // Called after each transaction with its kind ("read", "write", "sync" for kPowerLoss) and how
  // long its caller waited. To be set before the database is shared.
  void Observe(std::function<void(absl::string_view kind, absl::Duration took)> observer) {
    observer_ = std::move(observer);
  }

  // Runs `body` between BEGIN IMMEDIATE and COMMIT; a failed body or commit rolls back and is
  // returned.
  absl::Status Write(Durability durability, absl::FunctionRef<absl::Status(Transaction&)> body);
  // The same, without a write lock on the file.
  absl::Status Read(absl::FunctionRef<absl::Status(Transaction&)> body);

 private:
  explicit Database(sqlite3* db) : db_(db) {}
  absl::Status Run(absl::string_view begin, absl::FunctionRef<absl::Status(Transaction&)> body)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static absl::Status Commit(Transaction& transaction);
  absl::Status WriteLocked(Durability durability,
                           absl::FunctionRef<absl::Status(Transaction&)> body)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  bool created_ = false;
  std::vector<UniqueFd> reserved_;
  std::function<void(absl::string_view, absl::Duration)> observer_;
  absl::Mutex mu_;
  sqlite3* const db_;
  std::optional<IdleStatements> idle_ ABSL_GUARDED_BY(mu_){std::in_place};
  Durability durability_ ABSL_GUARDED_BY(mu_) = Durability::kPowerLoss;
};

// Renames a damaged database and what SQLite keeps beside it to "<path>.damaged...", in the place
// of an earlier one; returns that name.
absl::StatusOr<std::string> SetDatabaseAside(const std::string& path);

}  // namespace berth
