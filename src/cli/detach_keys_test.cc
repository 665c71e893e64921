#include "src/cli/detach_keys.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

TEST(ParseDetachKeys, GivesWhatATerminalSends) {
  EXPECT_EQ(*ParseDetachKeys(kDefaultDetachKeys), "\x10\x11");
  EXPECT_EQ(*ParseDetachKeys("ctrl-a,d"),
            "\x01"
            "d");
  EXPECT_EQ(*ParseDetachKeys("ctrl-A"), "\x01");
  EXPECT_EQ(*ParseDetachKeys("ctrl-@"), std::string(1, '\0'));
  EXPECT_EQ(*ParseDetachKeys("ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_"), "\x1b\x1c\x1d\x1e\x1f");
  EXPECT_EQ(*ParseDetachKeys(""), "");
}

TEST(ParseDetachKeys, RefusesWhatIsNoKey) {
  for (const char* text :
       {"ctrl-", "ctrl-ab", "ctrl-1", "ab", "a,,b", "a,", "alt-a", "ctrl-p ctrl-q"})
    EXPECT_EQ(ParseDetachKeys(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
}

struct Typed {
  std::string pass;
  bool detached = false;
  bool operator==(const Typed&) const = default;
};
Typed Type(const std::string& keys, const std::vector<std::string>& pieces) {
  DetachWatch watch(keys);
  Typed typed;
  for (const std::string& piece : pieces) {
    const DetachWatch::Result result = watch.Feed(piece);
    typed.pass += result.pass;
    typed.detached = typed.detached || result.detached;
  }
  return typed;
}

TEST(DetachWatch, FindsTheKeysWhole) { EXPECT_EQ(Type("pq", {"abpqcd"}), (Typed{"ab", true})); }

TEST(DetachWatch, FindsTheKeysInPieces) {
  EXPECT_EQ(Type("pq", {"a", "p", "q"}), (Typed{"a", true}));
}

TEST(DetachWatch, HoldsBackWhatMayBecomeTheKeys) {
  DetachWatch watch("pq");
  EXPECT_EQ(watch.Feed("p").pass, "");
  EXPECT_EQ(watch.Feed("x").pass, "px");
}

TEST(DetachWatch, PassesARepeatedBeginning) {
  EXPECT_EQ(Type("pq", {"ppq"}), (Typed{"p", true}));
  EXPECT_EQ(Type("ppq", {"pppq"}), (Typed{"p", true}));
  EXPECT_EQ(Type("pqpr", {"pqpqpr"}), (Typed{"pq", true}));
}

TEST(DetachWatch, FindsOneKey) { EXPECT_EQ(Type("q", {"abq"}), (Typed{"ab", true})); }

TEST(DetachWatch, FindsNothingWithoutKeys) {
  EXPECT_EQ(Type("", {"ab", "\x10\x11"}), (Typed{"ab\x10\x11", false}));
}

TEST(DetachWatch, KeepsBytesThatAreNoText) {
  const std::string bytes("\0\xff\x10", 3);
  EXPECT_EQ(Type("\x10\x11", {bytes, std::string("\0", 1)}),
            (Typed{bytes + std::string("\0", 1), false}));
}

}  // namespace
}  // namespace berth::cli
