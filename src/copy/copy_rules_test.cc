#include "src/copy/copy_rules.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

using Kind = CopyDestination::Kind;

constexpr char kRefused[] = "refused";

struct Row {
  const char* what;
  CopySource source;
  CopyDestination destination;
  bool below;
  size_t strip;
  const char* prefix;  // kRefused
};

const CopySource kFile{.name = "src"};
const CopySource kDir{.directory = true, .name = "src"};
const CopySource kContents{.directory = true, .contents_only = true, .name = "src"};
const CopySource kRoot{.directory = true, .name = ""};
const CopyDestination kMissing{.kind = Kind::kMissing, .name = "dst"};
const CopyDestination kMissingSlash{
    .kind = Kind::kMissing, .named_as_directory = true, .name = "dst"};
const CopyDestination kIsFile{.kind = Kind::kFile, .name = "dst"};
const CopyDestination kIsFileSlash{.kind = Kind::kFile, .named_as_directory = true, .name = "dst"};
const CopyDestination kIsDir{.kind = Kind::kDirectory, .name = "dst"};
const CopyDestination kIsDirSlash{
    .kind = Kind::kDirectory, .named_as_directory = true, .name = "dst"};

const Row kRows[] = {
    {"a file becomes the missing name", kFile, kMissing, false, 1, "dst"},
    {"a file needs the directory that was named", kFile, kMissingSlash, false, 0, kRefused},
    {"a file replaces a file", kFile, kIsFile, false, 1, "dst"},
    {"a file is no directory", kFile, kIsFileSlash, false, 0, kRefused},
    {"a file goes into a directory", kFile, kIsDir, true, 1, "src"},
    {"a file goes into a directory with a slash", kFile, kIsDirSlash, true, 1, "src"},
    {"a directory becomes the missing name", kDir, kMissing, false, 1, "dst"},
    {"a directory becomes the missing name with a slash", kDir, kMissingSlash, false, 1, "dst"},
    {"a directory does not replace a file", kDir, kIsFile, false, 0, kRefused},
    {"a directory goes into a directory", kDir, kIsDir, true, 1, "src"},
    {"contents become the missing directory", kContents, kMissing, false, 0, "dst"},
    {"contents do not replace a file", kContents, kIsFile, false, 0, kRefused},
    {"contents go into a directory", kContents, kIsDir, true, 0, ""},
    {"contents go into a directory with a slash", kContents, kIsDirSlash, true, 0, ""},
    {"a root is its contents", kRoot, kIsDir, true, 0, ""},
    {"a root becomes the missing directory", kRoot, kMissing, false, 0, "dst"},
};

TEST(PlanCopy, FollowsTheRules) {
  for (const Row& row : kRows) {
    const auto plan = PlanCopy(row.source, row.destination);
    if (row.prefix == kRefused) {
      EXPECT_FALSE(plan.ok()) << row.what;
      continue;
    }
    ASSERT_TRUE(plan.ok()) << row.what << ": " << plan.status();
    EXPECT_EQ(plan->below_destination, row.below) << row.what;
    EXPECT_EQ(plan->strip, row.strip) << row.what;
    EXPECT_EQ(plan->prefix, row.prefix) << row.what;
  }
}

TEST(PlanCopy, RefusesNamesThatLeadElsewhere) {
  for (const char* name : {".", "..", "a/b", "../a", "/"}) {
    EXPECT_FALSE(PlanCopy({.directory = true, .name = name}, kIsDir).ok()) << name;
    EXPECT_FALSE(PlanCopy(kDir, {.name = name}).ok()) << name;
  }
}

struct PathRow {
  const char* typed;
  const char* path;
  bool contents_only, named_as_directory;
};
const PathRow kPaths[] = {{"/a/b", "/a/b", false, false},
                          {"a/b", "/a/b", false, false},
                          {"/a/b/", "/a/b", false, true},
                          {"/a/b/.", "/a/b", true, true},
                          {"/", "/", false, true},
                          {"/.", "/", true, true},
                          {".", "/", true, true},
                          {"//a///b", "/a/b", false, false},
                          {"/a/../../b", "/b", false, false},
                          {"/a/..", "/", false, false},
                          {"..", "/", false, false},
                          {"/a/...", "/a/...", false, false},
                          {"/a/b.", "/a/b.", false, false}};

TEST(ParseCopyPath, Table) {
  for (const PathRow& row : kPaths) {
    const CopyPath path = ParseCopyPath(row.typed);
    EXPECT_EQ(path.path, row.path) << row.typed;
    EXPECT_EQ(path.contents_only, row.contents_only) << row.typed;
    EXPECT_EQ(path.named_as_directory, row.named_as_directory) << row.typed;
  }
}

TEST(SplitPath, Table) {
  EXPECT_EQ(SplitPath("/a/b").parent, "/a");
  EXPECT_EQ(SplitPath("/a/b").name, "b");
  EXPECT_EQ(SplitPath("/a").parent, "/");
  EXPECT_EQ(SplitPath("/").name, "");
  EXPECT_EQ(SplitPath("a").parent, ".");
}

}  // namespace
}  // namespace berth
