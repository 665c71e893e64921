#include "src/cli/copy_argument.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

using Kind = CopyArgument::Kind;

struct Row {
  const char* text;
  Kind kind;
  const char* container;
  const char* path;
};
const Row kRows[] = {{"-", Kind::kStream, "", ""},
                     {"web:/etc", Kind::kContainer, "web", "/etc"},
                     {"web:etc/", Kind::kContainer, "web", "etc/"},
                     {"pod/web:/a:b", Kind::kContainer, "pod/web", "/a:b"},
                     {"web:", Kind::kContainer, "web", ""},
                     {"/a:b", Kind::kLocal, "", "/a:b"},
                     {"./a:b", Kind::kLocal, "", "./a:b"},
                     {"..", Kind::kLocal, "", ".."},
                     {"a/b", Kind::kLocal, "", "a/b"},
                     {":a", Kind::kLocal, "", ":a"},
                     {"", Kind::kLocal, "", ""}};

TEST(ParseCopyArgument, Table) {
  for (const Row& row : kRows) {
    const CopyArgument argument = ParseCopyArgument(row.text);
    EXPECT_EQ(argument.kind, row.kind) << row.text;
    EXPECT_EQ(argument.container, row.container) << row.text;
    EXPECT_EQ(argument.path, row.path) << row.text;
  }
}

}  // namespace
}  // namespace berth::cli
