#include "src/image/layer_table.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<LayerRow> Layers(const std::vector<int64_t>& numbers) {
  std::vector<LayerRow> rows;
  rows.reserve(numbers.size());
  for (const int64_t number : numbers)
    rows.push_back({.number = number, .key = std::to_string(number)});
  return rows;
}

std::vector<ImageRow> ImageOf(const std::vector<int64_t>& layers) {
  return {{.id = "i", .layers = layers}};
}

TEST(LayerTable, LayersOfNoImageAreTakenOnce) {
  LayerTable table;
  table.Replace(Layers({1, 2, 3}), ImageOf({2}));
  EXPECT_THAT(table.TakeUnused(), ElementsAre(1, 3));
  EXPECT_THAT(table.TakeUnused(), IsEmpty());
}

TEST(LayerTable, PinnedLayersStayUntilTheLastPinGoes) {
  LayerTable table;
  table.Replace(Layers({1}), {});
  ASSERT_TRUE(table.Pin({1}));
  ASSERT_TRUE(table.Pin({1}));
  EXPECT_FALSE(table.Unpin({1}));
  EXPECT_THAT(table.TakeUnused(), IsEmpty());
  EXPECT_TRUE(table.Unpin({1}));
  EXPECT_THAT(table.TakeUnused(), ElementsAre(1));
}

TEST(LayerTable, PinsOutliveAChangeOfTheRows) {
  LayerTable table;
  table.Replace(Layers({1}), ImageOf({1}));
  ASSERT_TRUE(table.Pin({1}));
  table.Replace(Layers({1, 2}), {});
  EXPECT_THAT(table.TakeUnused(), ElementsAre(2));
}

TEST(LayerTable, UnpinOfALayerInAnImageNeedsNoSweep) {
  LayerTable table;
  table.Replace(Layers({1}), ImageOf({1}));
  ASSERT_TRUE(table.Pin({1}));
  EXPECT_FALSE(table.Unpin({1}));
}

TEST(LayerTable, PinOfAGoneLayerPinsNothing) {
  LayerTable table;
  table.Replace(Layers({1}), {});
  EXPECT_FALSE(table.Pin({1, 2}));
  EXPECT_THAT(table.TakeUnused(), ElementsAre(1));
}

TEST(LayerTable, PinAllPinsWhatThereIs) {
  LayerTable table;
  table.Replace(Layers({1, 2}), {});
  EXPECT_THAT(table.PinAll(), SizeIs(2));
  EXPECT_THAT(table.TakeUnused(), IsEmpty());
  EXPECT_TRUE(table.Unpin({1, 2}));
}

TEST(LayerTable, SameLayerTwiceInAListIsPinnedTwice) {
  LayerTable table;
  table.Replace(Layers({1}), {});
  ASSERT_TRUE(table.Pin({1, 1}));
  EXPECT_TRUE(table.Unpin({1, 1}));
  EXPECT_THAT(table.TakeUnused(), ElementsAre(1));
}

TEST(LayerTable, KeysLeadToNumbers) {
  LayerTable table;
  table.Replace(Layers({4, 7}), {});
  EXPECT_THAT(table.NumbersByKey(), ElementsAre(testing::Pair("4", 4), testing::Pair("7", 7)));
}

}  // namespace
}  // namespace berth
