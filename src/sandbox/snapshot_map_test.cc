#include "src/sandbox/snapshot_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr int kMany = 1000;

// In no order, each once.
std::vector<std::string> Ids() {
  std::vector<std::string> ids;
  for (int i = 0; i < kMany; ++i) ids.push_back(std::to_string(i * 7919 % 10007 + 10000));
  return ids;
}

TEST(SnapshotMap, ANewOneIsEmpty) {
  const SnapshotMap<int> map;
  EXPECT_TRUE(map.empty());
  EXPECT_THAT(map, IsEmpty());
  EXPECT_EQ(map.find("a"), map.end());
  EXPECT_EQ(map.lower_bound(""), map.end());
}

TEST(SnapshotMap, IsInTheOrderOfTheIds) {
  SnapshotMap<int> map;
  for (const auto& [id, value] : {std::pair("b", 2), {"c", 3}, {"a", 1}}) map.Put(id, value);
  EXPECT_THAT(map, ElementsAre(Pair("a", 1), Pair("b", 2), Pair("c", 3)));
}

TEST(SnapshotMap, PutReplacesWhatIsThere) {
  SnapshotMap<int> map;
  map.Put("a", 1);
  map.Put("a", 2);
  EXPECT_THAT(map, ElementsAre(Pair("a", 2)));
  EXPECT_EQ(map.size(), 1u);
}

TEST(SnapshotMap, FindsTheFirstThatIsNotLess) {
  SnapshotMap<int> map;
  for (const std::string& id : Ids()) map.Put(id, 1);
  std::map<std::string, int> plain(map.begin(), map.end());
  for (int number = 9999; number < 20100; ++number) {
    const std::string id = std::to_string(number);
    const auto found = map.lower_bound(id);
    const auto expected = plain.lower_bound(id);
    ASSERT_EQ(found == map.end(), expected == plain.end()) << id;
    if (expected != plain.end()) {
      EXPECT_EQ(found->first, expected->first);
    }
    EXPECT_EQ(map.contains(id), plain.count(id) == 1) << id;
  }
}

TEST(SnapshotMap, IsAMapWhateverIsDoneToIt) {
  SnapshotMap<int> map;
  std::map<std::string, int> plain;
  std::minstd_rand random(1);
  const std::vector<std::string> ids = Ids();
  // It grows, and then shrinks until nothing is left.
  for (int step = 0; step < 20 * kMany; ++step) {
    const std::string& id = ids[random() % ids.size()];
    if (random() % 20 < (step < 10 * kMany ? 15u : 3u)) {
      map.Put(id, step);
      plain[id] = step;
    } else {
      map.Erase(id);
      plain.erase(id);
    }
    ASSERT_EQ(map.size(), plain.size());
    if (step % 500 == 0) {
      ASSERT_THAT(map, ElementsAreArray(plain));
    }
  }
  for (const std::string& id : ids) map.Erase(id);
  EXPECT_THAT(map, IsEmpty());
}

TEST(SnapshotMap, ACopyDoesNotSeeWhatChangesLater) {
  SnapshotMap<int> map;
  for (const std::string& id : Ids()) map.Put(id, 1);
  const SnapshotMap<int> before = map;
  const std::map<std::string, int> plain(map.begin(), map.end());
  for (const std::string& id : Ids()) {
    map.Put(id, 2);
    map.Erase(id);
  }
  EXPECT_THAT(before, ElementsAreArray(plain));
  EXPECT_TRUE(map.empty());
}

TEST(SnapshotMap, EraseOfWhatIsNotThereChangesNothing) {
  SnapshotMap<int> map;
  map.Put("b", 1);
  for (const char* id : {"a", "bb", "c", ""}) map.Erase(id);
  EXPECT_THAT(map, ElementsAre(Pair("b", 1)));
}

}  // namespace
}  // namespace berth
