#include "src/image/pull/tar.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/image/pull/tar_recorder.h"
#include "src/image/testing/tar_writer.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::Pair;
using testing::SizeIs;
using testing_image::Directory;
using testing_image::File;
using testing_image::LongNameBytes;
using testing_image::PaxBytes;
using testing_image::TarBytes;
using testing_image::TarEnd;
using Type = TarEntry::Type;

// The only entry of an archive.
TarEntry ReadOne(const std::string& archive) {
  TarRecorder recorder;
  const absl::Status status = ReadTar(archive, recorder);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(recorder.entries, SizeIs(1));
  return recorder.entries.empty() ? TarEntry() : recorder.entries[0];
}

std::string MixedArchive() {
  return Directory("d/") + File("d/f", std::string(1300, 'x')) + File("d/empty", "") +
         PaxBytes({{"path", "d/long"}, {"mtime", "5.25"}}) + File("short", "pax") +
         LongNameBytes('L', "d/gnu") + File("cut", "gnu") +
         TarBytes({.path = "l", .type = '2', .link = "d/f"}) + TarEnd();
}

class TarPieces : public testing::TestWithParam<size_t> {};

TEST_P(TarPieces, EntriesDoNotDependOnWhereTheBytesAreCut) {
  TarRecorder recorder;
  const absl::Status status = ReadTar(MixedArchive(), recorder, GetParam());
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_THAT(recorder.entries, SizeIs(6));
  EXPECT_EQ(recorder.contents[1], std::string(1300, 'x'));
  EXPECT_EQ(recorder.entries[3].path, "d/long");
  EXPECT_EQ(recorder.entries[3].mtime.tv_nsec, 250'000'000);
  EXPECT_EQ(recorder.entries[4].path, "d/gnu");
  EXPECT_EQ(recorder.contents[4], "gnu");
  EXPECT_EQ(recorder.entries[5].link, "d/f");
}

INSTANTIATE_TEST_SUITE_P(All, TarPieces,
                         testing::Values(1, 7, 511, 512, 513, 4096, std::string::npos));

TEST(TarReader, HeaderFields) {
  const TarEntry entry = ReadOne(TarBytes({.path = "a/b",
                                           .type = '3',
                                           .mode = 04640,
                                           .uid = 1000,
                                           .gid = 2000,
                                           .mtime = 1234,
                                           .device_major = 4,
                                           .device_minor = 64}) +
                                 TarEnd());
  EXPECT_EQ(entry.type, Type::kCharDevice);
  EXPECT_EQ(entry.mode, 04640u);
  EXPECT_EQ(entry.uid, 1000u);
  EXPECT_EQ(entry.gid, 2000u);
  EXPECT_EQ(entry.mtime.tv_sec, 1234);
  EXPECT_EQ(entry.device_major, 4u);
  EXPECT_EQ(entry.device_minor, 64u);
}

TEST(TarReader, TypeFlags) {
  const std::vector<std::pair<char, Type>> kinds = {
      {'0', Type::kRegular},     {'\0', Type::kRegular},  {'7', Type::kRegular},
      {'1', Type::kHardLink},    {'2', Type::kSymlink},   {'3', Type::kCharDevice},
      {'4', Type::kBlockDevice}, {'5', Type::kDirectory}, {'6', Type::kFifo}};
  for (const auto& [flag, type] : kinds) {
    EXPECT_EQ(ReadOne(TarBytes({.path = "x", .type = flag, .link = "y"}) + TarEnd()).type, type)
        << flag;
  }
}

TEST(TarReader, OldArchivesMarkDirectoriesByTheSlash) {
  EXPECT_EQ(ReadOne(TarBytes({.path = "d/", .type = '\0', .magic = ""}) + TarEnd()).type,
            Type::kDirectory);
}

TEST(TarReader, PrefixIsPartOfUstarNamesOnly) {
  std::string header = TarBytes({.path = "name"});
  const auto with_prefix = [&](absl::string_view magic) {
    std::string block = TarBytes({.path = "name", .magic = magic});
    block.replace(345, 3, "pre");
    block.replace(148, 8, "        ");
    unsigned sum = 0;
    for (size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(block[i]);
    char text[8];
    snprintf(text, sizeof(text), "%06o", sum);
    block.replace(148, 7, std::string(text, 7));
    return ReadOne(block + TarEnd()).path;
  };
  EXPECT_EQ(with_prefix(absl::string_view("ustar\0"
                                          "00",
                                          8)),
            "pre/name");
  EXPECT_EQ(with_prefix(absl::string_view("ustar  \0", 8)), "name");
}

TEST(TarReader, Base256Numbers) {
  const std::string size = absl::StrCat(absl::string_view("\x80", 1), std::string(10, '\0'),
                                        absl::string_view("\x03", 1));
  EXPECT_EQ(ReadOne(TarBytes({.path = "x", .content = "abc", .raw_size = size}) + TarEnd()).size,
            3);
}

TEST(TarReader, PaxOverridesTheHeader) {
  const TarEntry entry = ReadOne(PaxBytes({{"path", "new/path"},
                                           {"uid", "3000000000"},
                                           {"gid", "7"},
                                           {"mtime", "-1.5"},
                                           {"SCHILY.xattr.user.note", std::string("a\0b", 3)},
                                           {"comment", "ignored"}}) +
                                 File("old", "") + TarEnd());
  EXPECT_EQ(entry.path, "new/path");
  EXPECT_EQ(entry.uid, 3000000000u);
  EXPECT_EQ(entry.gid, 7u);
  EXPECT_EQ(entry.mtime.tv_sec, -2);
  EXPECT_EQ(entry.mtime.tv_nsec, 500'000'000);
  EXPECT_THAT(entry.xattrs, ElementsAre(Pair("user.note", std::string("a\0b", 3))));
}

TEST(TarReader, PaxIsForOneEntryOnly) {
  TarRecorder recorder;
  ASSERT_TRUE(
      ReadTar(PaxBytes({{"uid", "5"}}) + File("a", "") + File("b", "") + TarEnd(), recorder).ok());
  EXPECT_EQ(recorder.entries[0].uid, 5u);
  EXPECT_EQ(recorder.entries[1].uid, 0u);
}

TEST(TarReader, PaxAndGnuNamesMayAgree) {
  EXPECT_EQ(
      ReadOne(LongNameBytes('L', "same") + PaxBytes({{"path", "same"}}) + File("x", "") + TarEnd())
          .path,
      "same");
}

TEST(TarReader, LongLinkTarget) {
  const std::string target(300, 't');
  EXPECT_EQ(ReadOne(LongNameBytes('K', target) +
                    TarBytes({.path = "x", .type = '2', .link = "cut"}) + TarEnd())
                .link,
            target);
}

TEST(TarReader, GlobalCommentIsIgnored) {
  EXPECT_EQ(ReadOne(PaxBytes({{"comment", "0123abc"}}, 'g') + File("x", "") + TarEnd()).path, "x");
}

TEST(TarReader, GlobalHeaderThatChangesNothingIsAccepted) {
  const TarEntry entry =
      ReadOne(PaxBytes({{"uid", "7"}, {"mtime", "9"}}, 'g') + PaxBytes({{"mtime", "9"}}) +
              TarBytes({.path = "x", .uid = 7, .mtime = 3}) + TarEnd());
  EXPECT_EQ(entry.uid, 7u);
  EXPECT_EQ(entry.mtime.tv_sec, 9);
}

TEST(TarReader, LaterGlobalHeaderReplacesTheEarlier) {
  TarRecorder recorder;
  EXPECT_TRUE(ReadTar(PaxBytes({{"uid", "7"}}, 'g') + TarBytes({.path = "x", .uid = 7}) +
                          PaxBytes({{"comment", "c"}}, 'g') + File("y", "") + TarEnd(),
                      recorder)
                  .ok());
}

TEST(TarReader, ArchiveMayEndWithoutZeroBlocks) {
  EXPECT_EQ(ReadOne(File("x", "abc")).path, "x");
  std::string unpadded = File("x", "abc");
  unpadded.resize(512 + 3);
  EXPECT_EQ(ReadOne(unpadded).path, "x");
}

TEST(TarReader, EmptyArchives) {
  TarRecorder recorder;
  EXPECT_TRUE(ReadTar("", recorder).ok());
  EXPECT_TRUE(ReadTar(TarEnd(), recorder).ok());
  EXPECT_TRUE(ReadTar(std::string(10240, '\0'), recorder).ok());
  EXPECT_THAT(recorder.entries, SizeIs(0));
}

struct BadArchive {
  std::string name, bytes;
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
};
void PrintTo(const BadArchive& archive, std::ostream* out) { *out << archive.name; }
class TarBad : public testing::TestWithParam<BadArchive> {};

TEST_P(TarBad, IsRefused) {
  for (const size_t piece : {std::string::npos, size_t{1}}) {
    TarRecorder recorder;
    const absl::Status status = ReadTar(GetParam().bytes, recorder, piece);
    EXPECT_EQ(status.code(), GetParam().code) << status;
  }
}

std::string Broken(std::string bytes, size_t at) {
  bytes[at] ^= 1;
  return bytes;
}

std::string ManyXattrs() {
  std::vector<std::pair<std::string, std::string>> records;
  for (int i = 0; i < 65; ++i) records.emplace_back(absl::StrCat("SCHILY.xattr.user.", i), "v");
  return PaxBytes(records);
}

constexpr auto kTooMuch = absl::StatusCode::kResourceExhausted;
INSTANTIATE_TEST_SUITE_P(
    All, TarBad,
    testing::Values(
        BadArchive{"WrongChecksum", Broken(File("x", ""), 0)},
        BadArchive{"CutInHeader", File("x", "").substr(0, 300)},
        BadArchive{"CutInContent", File("x", std::string(600, 'y')).substr(0, 700)},
        BadArchive{"CutInPadding", File("x", "abc").substr(0, 520)},
        BadArchive{"LoneZeroBlock", std::string(512, '\0') + File("x", "")},
        BadArchive{"BytesAfterTheEnd", TarEnd() + File("x", "")},
        BadArchive{"NegativeSize", TarBytes({.path = "x", .raw_size = std::string(12, '\xff')})},
        BadArchive{
            "HugeSize",
            TarBytes({.path = "x", .raw_size = absl::StrCat("\x80", std::string(11, '\x7f'))})},
        BadArchive{"SizeOfLetters", TarBytes({.path = "x", .raw_size = "zz"})},
        BadArchive{"SizeWithMinus", TarBytes({.path = "x", .raw_size = "-0000000001"})},
        BadArchive{"SizeWithTail", TarBytes({.path = "x", .raw_size = std::string("1\0x", 3)})},
        BadArchive{"SizeDisagrees", PaxBytes({{"size", "3"}}) + File("x", "abcd")},
        BadArchive{"SizeInPaxOnly", PaxBytes({{"size", "3"}}) +
                                        TarBytes({.path = "x", .content = "abc", .size = 0})},
        BadArchive{"PaxSizeNegative", PaxBytes({{"size", "-1"}}) + File("x", "")},
        BadArchive{"PaxSizeOverflows", PaxBytes({{"size", "9223372036854775808"}}) + File("x", "")},
        BadArchive{"PaxSizeWithPlus", PaxBytes({{"size", "+1"}}) + File("x", "a")},
        BadArchive{"PaxUidIsMinusOne", PaxBytes({{"uid", "4294967295"}}) + File("x", "")},
        BadArchive{"PaxUidWraps", PaxBytes({{"uid", "4294967296"}}) + File("x", "")},
        BadArchive{"PaxMtimeOverflows",
                   PaxBytes({{"mtime", "92233720368547758080"}}) + File("x", "")},
        BadArchive{"PaxMtimeIsText", PaxBytes({{"mtime", "now"}}) + File("x", "")},
        BadArchive{"NamesDisagree",
                   LongNameBytes('L', "one") + PaxBytes({{"path", "two"}}) + File("x", "")},
        BadArchive{"TwoLongNames",
                   LongNameBytes('L', "one") + LongNameBytes('L', "one") + File("x", "")},
        BadArchive{"TwoPaxHeaders",
                   PaxBytes({{"uid", "1"}}) + PaxBytes({{"uid", "2"}}) + File("x", "")},
        BadArchive{"PaxAtTheEnd", PaxBytes({{"uid", "1"}}) + TarEnd()},
        BadArchive{"PaxAndNothing", PaxBytes({{"uid", "1"}})},
        BadArchive{"NulInPaxPath", PaxBytes({{"path", std::string("a\0b", 3)}}) + File("x", "")},
        BadArchive{"PaxLengthZero", TarBytes({.path = "p", .type = 'x', .content = "0 a=b\n"})},
        BadArchive{"PaxLengthBeyond", TarBytes({.path = "p", .type = 'x', .content = "99 a=b\n"})},
        BadArchive{"PaxLengthOverflows",
                   TarBytes({.path = "p", .type = 'x', .content = "99999999999999999999 a=b\n"})},
        BadArchive{"PaxWithoutEquals", TarBytes({.path = "p", .type = 'x', .content = "7 abcd\n"})},
        BadArchive{"PaxWithoutNewline", TarBytes({.path = "p", .type = 'x', .content = "7 a=bcd"})},
        BadArchive{"PaxTooLong", TarBytes({.path = "p", .type = 'x', .size = 2 << 20})},
        BadArchive{"PaxEmpty", TarBytes({.path = "p", .type = 'x'})},
        BadArchive{"LongNameTooLong", TarBytes({.path = "p", .type = 'L', .size = 5000})},
        BadArchive{"GlobalPath", PaxBytes({{"path", "all"}}, 'g') + File("x", "")},
        BadArchive{"GlobalOwner", PaxBytes({{"uid", "7"}}, 'g') + File("x", "")},
        BadArchive{"GlobalTime", PaxBytes({{"mtime", "7"}}, 'g') + File("x", "")},
        BadArchive{"GlobalXattr", PaxBytes({{"SCHILY.xattr.user.a", "v"}}, 'g') + File("x", "")},
        BadArchive{"GlobalSparse", PaxBytes({{"GNU.sparse.size", "9"}}, 'g') + File("x", "")},
        BadArchive{"UnknownType", TarBytes({.path = "x", .type = 'Z'})},
        BadArchive{"ContentInALink",
                   TarBytes({.path = "x", .type = '1', .content = "abc", .link = "y"})},
        BadArchive{"ContentInADirectory", TarBytes({.path = "x", .type = '5', .content = "abc"})},
        BadArchive{"NoName", TarBytes({.path = ""})},
        BadArchive{"DeviceOutOfRange", TarBytes({.path = "x", .type = '3', .device_major = 5000})},
        BadArchive{"ManyXattrs", ManyXattrs() + File("x", ""), kTooMuch},
        BadArchive{"LongXattr",
                   PaxBytes({{"SCHILY.xattr.user.a", std::string(70000, 'v')}}) + File("x", ""),
                   kTooMuch},
        BadArchive{"Garbage", std::string(5000, 'g')}),
    [](const auto& info) { return info.param.name; });

TEST(TarReader, ErrorOfTheSinkStopsTheReader) {
  class Refuses : public TarSink {
    absl::Status Begin(const TarEntry&) override { return absl::AbortedError("enough"); }
    absl::Status Data(absl::string_view) override { return absl::OkStatus(); }
    absl::Status Hole(int64_t) override { return absl::OkStatus(); }
    absl::Status End() override { return absl::OkStatus(); }
  } sink;
  TarReader reader(sink);
  EXPECT_EQ(reader.Feed(File("x", "")).code(), absl::StatusCode::kAborted);
}

}  // namespace
}  // namespace berth
