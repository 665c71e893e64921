#include "src/image/pull/decompress.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/image/testing/tar_writer.h"

namespace berth {
namespace {

using testing::HasSubstr;
using testing_image::Gzip;
using testing_image::Zstd;

absl::StatusOr<std::string> Decompress(const std::string& bytes, size_t piece = std::string::npos,
                                       const DecompressLimits& limits = {}) {
  std::string plain;
  const auto take = [&](absl::string_view more) -> absl::Status {
    plain.append(more.data(), more.size());
    return absl::OkStatus();
  };
  WindowBudget windows(32 << 20);
  Decompressor decompressor(windows, limits);
  for (size_t at = 0; at < bytes.size(); at += piece) {
    if (absl::Status fed = decompressor.Feed(absl::string_view(bytes).substr(at, piece), take);
        !fed.ok())
      return fed;
    if (piece == std::string::npos) break;
  }
  if (absl::Status finished = decompressor.Finish(take); !finished.ok()) return finished;
  return plain;
}

// Long enough for several output buffers, and neither constant nor noise.
std::string LongText() {
  std::string text;
  for (int i = 0; i < 100000; ++i) absl::StrAppend(&text, i, " bottles ", i * 7919 % 1000, "\n");
  return text;
}

class Pieces : public testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(All, Pieces, testing::Values(1, 2, 5, 1000, std::string::npos));

TEST_P(Pieces, Gzip) { EXPECT_EQ(*Decompress(Gzip("hello\n"), GetParam()), "hello\n"); }

TEST_P(Pieces, GzipOfSeveralMembers) {
  const std::string members = Gzip("one,") + Gzip("") + Gzip("two,") + Gzip(std::string(3000, 'x'));
  const auto plain = Decompress(members, GetParam());
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(*plain, "one,two," + std::string(3000, 'x'));
}

TEST_P(Pieces, LongGzip) {
  const auto plain = Decompress(Gzip(LongText()) + Gzip(LongText()), GetParam());
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(*plain, LongText() + LongText());
}

TEST_P(Pieces, Zstd) { EXPECT_EQ(*Decompress(Zstd("hello\n"), GetParam()), "hello\n"); }

TEST_P(Pieces, ZstdOfSeveralFramesAndSkippableOnes) {
  const std::string skippable("\x50\x2a\x4d\x18\x03\x00\x00\x00xyz", 11);
  const auto plain = Decompress(skippable + Zstd(LongText()) + skippable + Zstd("end"), GetParam());
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(*plain, LongText() + "end");
}

TEST_P(Pieces, PlainBytesPassAsTheyAre) {
  EXPECT_EQ(*Decompress("plain text", GetParam()), "plain text");
  EXPECT_EQ(*Decompress("abc", GetParam()), "abc");
  EXPECT_EQ(*Decompress("", GetParam()), "");
}

struct Bad {
  std::string name, bytes;
  absl::StatusCode code = absl::StatusCode::kDataLoss;
};
void PrintTo(const Bad& bad, std::ostream* out) { *out << bad.name; }
class DecompressBad : public testing::TestWithParam<Bad> {};

TEST_P(DecompressBad, IsRefused) {
  for (const size_t piece : {std::string::npos, size_t{1}}) {
    const absl::Status status = Decompress(GetParam().bytes, piece).status();
    EXPECT_EQ(status.code(), GetParam().code) << status;
  }
}

std::string WrongChecksum() {
  std::string bytes = Gzip("hello world");
  bytes[bytes.size() - 6] ^= 1;
  return bytes;
}
std::string WrongLength() {
  std::string bytes = Gzip("hello world");
  bytes[bytes.size() - 1] ^= 1;
  return bytes;
}

INSTANTIATE_TEST_SUITE_P(
    All, DecompressBad,
    testing::Values(
        Bad{"GzipCut", Gzip("hello world").substr(0, 20)},
        Bad{"GzipCutInTrailer", Gzip("hello world").substr(0, Gzip("hello world").size() - 2)},
        Bad{"GzipCutInSecondMember", Gzip("one") + Gzip("two").substr(0, 12)},
        Bad{"GzipChecksum", WrongChecksum()}, Bad{"GzipLength", WrongLength()},
        Bad{"GzipGarbageAfter", Gzip("one") + "garbage that is no member"},
        Bad{"GzipMagicOnly", std::string("\x1f\x8b\x08", 3)},
        Bad{"ZstdCut", Zstd("hello world").substr(0, 12)},
        Bad{"ZstdGarbageAfter", Zstd("one") + "garbage"},
        Bad{"ZstdWindowOf256MiB", Zstd(std::string(1 << 20, 'x'), 28)},
        Bad{"Xz", std::string("\xfd\x37zXZ\x00 and more", 15), absl::StatusCode::kUnimplemented},
        Bad{"Bzip2", "BZh91AY&SY", absl::StatusCode::kUnimplemented}),
    [](const auto& info) { return info.param.name; });

TEST(Decompress, WindowOf128MiBIsAccepted) {
  const auto plain = Decompress(Zstd(std::string(1 << 20, 'x'), 27));
  EXPECT_TRUE(plain.ok()) << plain.status();
}

// A layer whose window is more than the whole budget waits until the others are done; one that fits
// beside them does not wait behind it.
TEST(Decompress, WindowsOfSeveralLayersTakeTurns) {
  WindowBudget windows(16 << 20);
  const std::string small = Zstd(std::string(1 << 20, 'x'), 23);
  const std::string large = Zstd(std::string(1 << 20, 'y'), 27);
  const auto drop = [](absl::string_view) { return absl::OkStatus(); };
  auto first = std::make_unique<Decompressor>(windows);
  ASSERT_TRUE(first->Feed(absl::string_view(small).substr(0, 100), drop).ok());
  std::atomic<bool> first_is_gone = false, waited = false;
  std::thread second([&] {
    Decompressor decompressor(windows);
    const absl::Status fed = decompressor.Feed(large, drop);
    waited = first_is_gone.load();
    EXPECT_TRUE(fed.ok()) << fed;
  });
  {
    Decompressor third(windows);
    EXPECT_TRUE(third.Feed(small, drop).ok());
  }
  first_is_gone = true;
  first.reset();
  second.join();
  EXPECT_TRUE(waited);
}

TEST(Decompress, OutputIsBounded) {
  const absl::Status status = Decompress(Gzip(LongText()), 1000, {.output_bytes = 1000}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

TEST(Decompress, BombIsStoppedByItsRatio) {
  const std::string bomb = Gzip(std::string(4 << 20, '\0'));
  const absl::Status status =
      Decompress(bomb, 100, {.ratio_from_bytes = 1 << 20, .ratio = 100}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("100 times"));
}

TEST(Decompress, RatioIsFreeBelowItsThreshold) {
  EXPECT_TRUE(
      Decompress(Gzip(std::string(4 << 20, '\0')), 100, {.ratio_from_bytes = 8 << 20, .ratio = 100})
          .ok());
}

TEST(Decompress, ErrorOfTheTakerComesBack) {
  WindowBudget windows(32 << 20);
  Decompressor decompressor(windows);
  const absl::Status status = decompressor.Feed(
      "plain text", [](absl::string_view) { return absl::AbortedError("enough"); });
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
}

}  // namespace
}  // namespace berth
