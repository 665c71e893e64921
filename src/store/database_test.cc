#include "src/store/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

using ::testing::HasSubstr;
using Transaction = Database::Transaction;

class DatabaseTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/database-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    path_ = directory_ + "/berth.db";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<Database> Open() {
    absl::StatusOr<std::unique_ptr<Database>> opened = Database::Open(path_);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  static absl::Status Put(Transaction& transaction, absl::string_view key,
                          absl::string_view value) {
    ASSIGN_OR_RETURN(Statement insert, transaction.Prepare("INSERT INTO node VALUES (?, ?)"));
    return insert.Bind(1, key).Bind(2, value).Run();
  }
  static absl::Status Put(Database& database, absl::string_view key, absl::string_view value) {
    return database.Write(Durability::kCrash,
                          [&](Transaction& transaction) { return Put(transaction, key, value); });
  }
  static int64_t Count(Database& database) {
    int64_t count = -1;
    EXPECT_TRUE(database
                    .Read([&](Transaction& transaction) -> absl::Status {
                      ASSIGN_OR_RETURN(Statement select,
                                       transaction.Prepare("SELECT count(*) FROM node"));
                      RETURN_IF_ERROR(select.Step().status());
                      count = select.Int(0);
                      return absl::OkStatus();
                    })
                    .ok());
    return count;
  }
  // A file without them, and who wrote them has died.
  void LeaveRowsInLog(int rows) {
    Open().reset();
    const pid_t child = fork();
    if (child == 0) {
      const absl::StatusOr<std::unique_ptr<Database>> database = Database::Open(path_);
      for (int i = 0; database.ok() && i < rows; ++i)
        Put(**database, std::to_string(i), "x").IgnoreError();
      kill(getpid(), SIGKILL);
    }
    int status;
    ASSERT_EQ(waitpid(child, &status, 0), child);
  }

  std::string directory_, path_;
};

TEST_F(DatabaseTest, IsMadeForItsOwnerOnly) {
  const std::unique_ptr<Database> database = Open();
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(DatabaseTest, KeepsWhatWasWritten) {
  {
    const std::unique_ptr<Database> database = Open();
    EXPECT_TRUE(Put(*database, "a", "1").ok());
  }
  EXPECT_EQ(Count(*Open()), 1);
}

TEST_F(DatabaseTest, RollsAFailedTransactionBack) {
  const std::unique_ptr<Database> database = Open();
  const absl::Status failed =
      database->Write(Durability::kPowerLoss, [](Transaction& transaction) -> absl::Status {
        RETURN_IF_ERROR(Put(transaction, "a", "1"));
        return absl::AbortedError("changed my mind");
      });
  EXPECT_EQ(failed.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Count(*database), 0);
  EXPECT_TRUE(Put(*database, "a", "1").ok()) << "and goes on";
}

TEST_F(DatabaseTest, ASecondRowOfOneKeyAlreadyExists) {
  const std::unique_ptr<Database> database = Open();
  ASSERT_TRUE(Put(*database, "a", "1").ok());
  EXPECT_EQ(Put(*database, "a", "2").code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Count(*database), 1);
}

TEST_F(DatabaseTest, AStatementThatIsUsedAgainRemembersNothing) {
  const std::unique_ptr<Database> database = Open();
  ASSERT_TRUE(Put(*database, "a", "1").ok());
  ASSERT_FALSE(Put(*database, "a", "2").ok());
  const absl::Status unbound =
      database->Write(Durability::kCrash, [](Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(Statement insert, transaction.Prepare("INSERT INTO node VALUES (?, ?)"));
        return insert.Bind(1, absl::string_view("b")).Run();
      });
  EXPECT_EQ(unbound.code(), absl::StatusCode::kFailedPrecondition) << "its value is null";
  EXPECT_TRUE(Put(*database, "b", "1").ok());
  EXPECT_EQ(Count(*database), 2);
}

TEST_F(DatabaseTest, TwoStatementsOfOneTextAreTwo) {
  const std::unique_ptr<Database> database = Open();
  ASSERT_TRUE(Put(*database, "a", "1").ok());
  ASSERT_TRUE(Put(*database, "b", "2").ok());
  constexpr char kAll[] = "SELECT key FROM node ORDER BY key";
  std::string read;
  for (int times = 0; times < 2; ++times) {
    ASSERT_TRUE(database
                    ->Read([&](Transaction& transaction) -> absl::Status {
                      ASSIGN_OR_RETURN(Statement one, transaction.Prepare(kAll));
                      RETURN_IF_ERROR(one.Step().status());
                      ASSIGN_OR_RETURN(Statement other, transaction.Prepare(kAll));
                      RETURN_IF_ERROR(other.Step().status());
                      RETURN_IF_ERROR(one.Step().status());
                      read += other.Text(0) + one.Text(0);
                      return absl::OkStatus();
                    })
                    .ok());
  }
  EXPECT_EQ(read, "abab");
}

TEST_F(DatabaseTest, KeepsBytesAsTheyAre) {
  const std::unique_ptr<Database> database = Open();
  const std::string odd("a\0b'\xff;--", 8);
  ASSERT_TRUE(Put(*database, "odd", odd).ok());
  ASSERT_TRUE(Put(*database, "empty", "").ok());
  std::vector<std::string> values;
  ASSERT_TRUE(database
                  ->Read([&](Transaction& transaction) -> absl::Status {
                    ASSIGN_OR_RETURN(
                        Statement select,
                        transaction.Prepare("SELECT value FROM node ORDER BY key DESC"));
                    while (true) {
                      ASSIGN_OR_RETURN(const bool row, select.Step());
                      if (!row) return absl::OkStatus();
                      values.push_back(select.Text(0));
                    }
                  })
                  .ok());
  EXPECT_THAT(values, testing::ElementsAre(odd, ""));
}

TEST_F(DatabaseTest, AStatementMovesOntoALiveOne) {
  const std::unique_ptr<Database> database = Open();
  ASSERT_TRUE(Put(*database, "a", "1").ok());
  EXPECT_TRUE(database
                  ->Read([](Transaction& transaction) -> absl::Status {
                    ASSIGN_OR_RETURN(Statement first, transaction.Prepare("SELECT 1"));
                    ASSIGN_OR_RETURN(Statement second, transaction.Prepare("SELECT 2"));
                    first = std::move(second);
                    ASSIGN_OR_RETURN(const bool row, first.Step());
                    EXPECT_TRUE(row);
                    EXPECT_EQ(first.Int(0), 2);
                    return absl::OkStatus();
                  })
                  .ok());
}

TEST_F(DatabaseTest, BadSqlIsAnErrorThatShowsIt) {
  const std::unique_ptr<Database> database = Open();
  const absl::Status status = database->Read(
      [](Transaction& transaction) { return transaction.Prepare("SELECT nope").status(); });
  EXPECT_THAT(std::string(status.message()), HasSubstr("SELECT nope"));
}

TEST_F(DatabaseTest, RefusesANewerSchemaAndTouchesNothing) {
  {
    const std::unique_ptr<Database> database = Open();
    ASSERT_TRUE(Put(*database, "a", "1").ok());
    ASSERT_TRUE(database
                    ->Write(Durability::kCrash,
                            [](Transaction& t) { return t.Run("PRAGMA user_version = 99"); })
                    .ok());
  }
  const absl::Status refused = Database::Open(path_).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(
      refused.message(),
      "open " + path_ + ": schema version 99 is newer than 4, the newest that this berthd knows");
}

TEST_F(DatabaseTest, MigratesAnOlderSchemaAndKeepsItsRows) {
  {
    const std::unique_ptr<Database> database = Open();
    ASSERT_TRUE(database
                    ->Write(Durability::kCrash,
                            [](Transaction& t) {
                              absl::Status status;
                              for (const char* sql :
                                   {"ALTER TABLE layers DROP COLUMN opaque_root",
                                    "ALTER TABLE layers DROP COLUMN blob_digest",
                                    "ALTER TABLE layers DROP COLUMN blob_bytes",
                                    "ALTER TABLE images DROP COLUMN manifest",
                                    "ALTER TABLE images DROP COLUMN manifest_type",
                                    "DROP TABLE attachments",
                                    "INSERT INTO layers VALUES (7, 'sha256:1', 10, 2)",
                                    "PRAGMA user_version = 1"})
                                status.Update(t.Run(sql));
                              return status;
                            })
                    .ok());
  }
  const std::unique_ptr<Database> database = Open();
  EXPECT_TRUE(database
                  ->Read([](Transaction& transaction) -> absl::Status {
                    ASSIGN_OR_RETURN(
                        Statement select,
                        transaction.Prepare("SELECT number, diff_id, opaque_root FROM layers"));
                    EXPECT_TRUE(*select.Step());
                    EXPECT_EQ(select.Int(0), 7);
                    EXPECT_EQ(select.Text(1), "sha256:1");
                    EXPECT_EQ(select.Int(2), 0);
                    return transaction
                        .Prepare(
                            "SELECT blob_digest, blob_bytes, manifest, manifest_type, record "
                            "FROM layers, images, attachments")
                        .status();
                  })
                  .ok());
}

TEST_F(DatabaseTest, ADamagedFileIsReportedAndLeftAsItIs) {
  const std::string garbage(8192, 'x');
  std::ofstream(path_) << garbage;
  const absl::Status refused = Database::Open(path_).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("open " + path_));
  std::ifstream file(path_);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), garbage);
}

TEST_F(DatabaseTest, NamesADirectoryThatIsMissing) {
  const absl::Status status = Database::Open(directory_ + "/none/berth.db").status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(directory_ + "/none/berth.db"));
}

TEST_F(DatabaseTest, LosesNoRowOfManyThreads) {
  const std::unique_ptr<Database> database = Open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i)
        EXPECT_TRUE(Put(*database, std::to_string(t * 100 + i), "x").ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Count(*database), 200);
}

// What was committed is there when the process dies without a chance to close anything.
TEST_F(DatabaseTest, OutlivesTheDeathOfItsProcess) {
  const pid_t child = fork();
  if (child == 0) {
    absl::StatusOr<std::unique_ptr<Database>> database = Database::Open(path_);
    if (database.ok()) {
      for (int i = 0; i < 20; ++i) Put(**database, std::to_string(i), "x").IgnoreError();
      (*database)
          ->Write(Durability::kCrash,
                  [](Transaction& transaction) -> absl::Status {
                    Put(transaction, "never committed", "x").IgnoreError();
                    kill(getpid(), SIGKILL);
                    return absl::OkStatus();
                  })
          .IgnoreError();
    }
    _exit(1);
  }
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(Count(*Open()), 20);
}

TEST_F(DatabaseTest, TellsWhetherItIsNew) {
  EXPECT_TRUE(Open()->created());
  EXPECT_FALSE(Open()->created());
}

TEST_F(DatabaseTest, IsNewAgainWithoutRowsUntilItIsFilled) {
  const auto open = [&] { return *Database::Open(path_, {.to_be_filled = true}); };
  for (const bool filled : {false, true}) {
    const auto database = open();
    EXPECT_TRUE(database->created());
    EXPECT_EQ(Count(*database), 0);
    ASSERT_TRUE(Put(*database, "made", "again").ok());
    if (filled) {
      ASSERT_TRUE(database->MarkFilled().ok());
    }
  }
  const auto database = open();
  EXPECT_FALSE(database->created());
  EXPECT_EQ(Count(*database), 1);
}

TEST_F(DatabaseTest, FindsDamageWithinTheFile) {
  {
    const auto database = Open();
    for (int i = 0; i < 200; ++i)
      ASSERT_TRUE(Put(*database, std::to_string(i), std::string(1000, 'v')).ok());
  }
  // All is in the file by now; what was logged would be read in its place.
  std::filesystem::remove(path_ + "-wal");
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5 * 4096);
    file << std::string(4 * 4096, 'x');
  }
  EXPECT_EQ(Database::Open(path_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(DatabaseTest, WhatIsSetAsideIsKeptAndMakesRoomForANewOne) {
  for (const char* garbage : {"first", "second"}) {
    std::ofstream(path_) << garbage;
    std::ofstream(path_ + "-wal") << "wal";
    const absl::StatusOr<std::string> aside = SetDatabaseAside(path_);
    ASSERT_TRUE(aside.ok()) << aside.status();
    EXPECT_EQ(*aside, path_ + ".damaged");
    std::ifstream file(*aside);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), garbage);
    EXPECT_TRUE(std::filesystem::exists(*aside + "-wal"));
    EXPECT_FALSE(std::filesystem::exists(path_ + "-wal"));
    EXPECT_TRUE(Open()->created());
    std::filesystem::remove(path_);
  }
}

// As it is after a crash in the middle, for each file that the renaming may not have come to.
TEST_F(DatabaseTest, WhatIsSetAsideInPartIsWholeOrNew) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    SCOPED_TRACE(suffix);
    const std::string obstacle = absl::StrCat(path_, ".damaged", suffix);
    std::filesystem::create_directories(obstacle + "/not empty");
    LeaveRowsInLog(20);
    EXPECT_FALSE(SetDatabaseAside(path_).ok());
    {
      const std::unique_ptr<Database> database = Open();
      EXPECT_EQ(Count(*database), database->created() ? 0 : 20);
    }
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
  }
}

// Another process that opens and closes the file must not take itself for the last one.
TEST_F(DatabaseTest, KeepsItsLocksWhileItIsOpen) {
  const auto database = Open();
  ASSERT_TRUE(Put(*database, "before", "1").ok());
  const pid_t other = fork();
  if (other == 0) _exit(Database::Open(path_).ok() ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(other, &status, 0), other);
  EXPECT_EQ(status, 0);
  ASSERT_TRUE(Put(*database, "after", "1").ok());
  const auto again = Open();
  EXPECT_EQ(Count(*again), 2);
}

}  // namespace
}  // namespace berth
