#include "src/cli/table.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

TEST(Table, AlignsColumnsToTheWidestCell) {
  Table table({"ID", "NAME", "STATUS"});
  table.AddRow({"1", "long name", "Up"});
  table.AddRow({"234", "日本", "Exited"});
  EXPECT_EQ(table.Render(false),
            "ID    NAME        STATUS\n"
            "1     long name   Up\n"
            "234   日本        Exited\n");
}

TEST(Table, ColoursCellsOnlyWhenAsked) {
  Table table({"S"});
  table.AddRow({Cell("Up", Tone::kGood)});
  EXPECT_EQ(table.Render(true), "S\n\x1b[32mUp\x1b[0m\n");
  EXPECT_EQ(table.Render(false), "S\nUp\n");
}

TEST(Table, ColourDoesNotMoveColumns) {
  Table table({"STATUS", "X"});
  table.AddRow({Cell("Up", Tone::kGood), "1"});
  EXPECT_EQ(table.Render(true), "STATUS   X\n\x1b[32mUp\x1b[0m       1\n");
}

TEST(Table, MakesForeignTextSafe) {
  Table table({"NAME"});
  table.AddRow({"a\x1b[2J\nb"});
  EXPECT_EQ(table.Render(false), "NAME\na[2J b\n");
}

}  // namespace
}  // namespace berth::cli
