#include "src/cli/pull_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "src/cli/terminal_text.h"

namespace berth::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

constexpr char kLayer[] = "sha256:3f9a1c2b4d5e6f708192";

v1::PullImageProgress Progress(const std::string& layer, const std::string& state,
                               int64_t bytes = 0, int64_t total_bytes = 0) {
  v1::PullImageProgress progress;
  progress.set_layer(layer);
  progress.set_state(state);
  progress.set_bytes(bytes);
  progress.set_total_bytes(total_bytes);
  return progress;
}

TEST(PullView, TellsAChangeOfStateFromMoreBytes) {
  PullView view;
  EXPECT_TRUE(view.Update(Progress(kLayer, "downloading", 0, 100)));
  EXPECT_FALSE(view.Update(Progress(kLayer, "downloading", 50, 100)));
  EXPECT_TRUE(view.Update(Progress(kLayer, "done", 100, 100)));
  EXPECT_FALSE(view.Update(v1::PullImageProgress()));
}

TEST(PullView, DrawsABarWhileDownloading) {
  PullView view;
  view.Update(Progress("", "resolving"));
  view.Update(Progress(kLayer, "downloading", 50'000'000, 100'000'000));
  EXPECT_THAT(view.Draw(70, 20, false),
              ElementsAre("image         resolving  ",
                          "3f9a1c2b4d5e  downloading  [===========>           ]  50MB/100MB"));
}

TEST(PullView, NeverDrawsBeyondTheWidth) {
  PullView view;
  view.Update(Progress(kLayer, "downloading", 999'000'000, 99'900'000'000));
  for (size_t width = 1; width < 120; ++width) {
    for (const std::string& line : view.Draw(width, 5, false)) EXPECT_LE(DisplayWidth(line), width);
  }
}

TEST(PullView, CountsFinishedLayersThatDoNotFit) {
  PullView view;
  for (int i = 0; i < 10; ++i)
    view.Update(Progress(absl::StrCat("sha256:", i), i < 8 ? "done" : "unpacking"));
  const auto lines = view.Draw(80, 5, false);
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_THAT(lines[0], HasSubstr("unpacking"));
  EXPECT_EQ(lines[2], "8 more (8 of 10 done)");
}

TEST(PullView, ShowsNoMoreLinesThanThereAre) {
  PullView view;
  for (int i = 0; i < 40; ++i) view.Update(Progress(absl::StrCat("sha256:", i), "downloading"));
  EXPECT_LE(view.Draw(80, 10, false).size(), 10u);
}

TEST(PullView, SumsUpWhatWasNew) {
  PullView view;
  view.Update(Progress("", "resolving"));
  view.Update(Progress("sha256:a", "exists"));
  view.Update(Progress("sha256:b", "done", 1'500'000, 1'500'000));
  EXPECT_EQ(view.Summary(), "2 layers, 1 new, 1.5MB");
}

TEST(PullView, SaysChangesInPlainLines) {
  EXPECT_EQ(PullView().PlainLine(Progress(kLayer, "downloading", 0, 2'000'000)),
            "3f9a1c2b4d5e: downloading 2MB");
  EXPECT_EQ(PullView().PlainLine(Progress("", "resolv\x1b[2Jing")), "image: resolv[2Jing");
}

TEST(PullView, SurvivesAbsurdNumbers) {
  PullView view;
  view.Update(Progress(kLayer, "downloading", -5, -1));
  view.Update(Progress("sha256:b", "downloading", 500, 100));
  EXPECT_THAT(view.Draw(80, 5, false)[1], HasSubstr("100B/100B"));
}

}  // namespace
}  // namespace berth::cli
