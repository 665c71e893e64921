#include "src/image/pull/tar_sparse.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/image/pull/tar_recorder.h"
#include "src/image/testing/tar_writer.h"

namespace berth {
namespace {

using testing::SizeIs;
using testing_image::File;
using testing_image::PaxBytes;
using testing_image::PutSparse;
using testing_image::SparseBlock;
using testing_image::SparseRange;
using testing_image::TarBytes;
using testing_image::TarEnd;

constexpr absl::string_view kGnu = absl::string_view("ustar  \0", 8);

std::string OldSparse(const std::string& content, const std::vector<SparseRange>& ranges,
                      int64_t size) {
  std::string item = TarBytes({.path = "f", .type = 'S', .content = content, .magic = kGnu});
  PutSparse(item, ranges, size);
  return item;
}

std::string Block(std::string text) {
  text.resize((text.size() + 511) / 512 * 512, '\0');
  return text;
}

const std::string kExpected =
    absl::StrCat("abc", std::string(5, '\0'), "de", std::string(10, '\0'));

struct SparseForm {
  std::string name, bytes;
};
void PrintTo(const SparseForm& form, std::ostream* out) { *out << form.name; }
class SparseForms : public testing::TestWithParam<SparseForm> {};

TEST_P(SparseForms, GiveTheSameFile) {
  for (const size_t piece : {std::string::npos, size_t{1}, size_t{513}}) {
    TarRecorder recorder;
    const absl::Status status =
        ReadTar(GetParam().bytes + File("next", "n") + TarEnd(), recorder, piece);
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_THAT(recorder.entries, SizeIs(2));
    EXPECT_EQ(recorder.entries[0].path, "f");
    EXPECT_EQ(recorder.entries[0].size, 20);
    EXPECT_EQ(recorder.contents[0], kExpected);
    EXPECT_EQ(recorder.holes, 15);
    EXPECT_EQ(recorder.contents[1], "n");
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, SparseForms,
    testing::Values(
        SparseForm{"OldGnu", OldSparse("abcde", {{0, 3}, {8, 2}}, 20)},
        SparseForm{"OldGnuWithAnEmptyRangeAtTheEnd",
                   OldSparse("abcde", {{0, 3}, {8, 2}, {20, 0}}, 20)},
        SparseForm{"OldGnuContinued",
                   [] {
                     std::string item =
                         TarBytes({.path = "f", .type = 'S', .content = "abcde", .magic = kGnu});
                     PutSparse(item, {{0, 1}, {1, 1}, {2, 1}, {3, 0}}, 20, /*continues=*/true);
                     return item.substr(0, 512) + SparseBlock({{8, 1}}, /*continues=*/true) +
                            SparseBlock({{9, 1}, {20, 0}}) + item.substr(512);
                   }()},
        SparseForm{"Pax00", PaxBytes({{"GNU.sparse.size", "20"},
                                      {"GNU.sparse.numblocks", "2"},
                                      {"GNU.sparse.offset", "0"},
                                      {"GNU.sparse.numbytes", "3"},
                                      {"GNU.sparse.offset", "8"},
                                      {"GNU.sparse.numbytes", "2"}}) +
                                File("f", "abcde")},
        SparseForm{"Pax01", PaxBytes({{"GNU.sparse.size", "20"},
                                      {"GNU.sparse.numblocks", "2"},
                                      {"GNU.sparse.name", "f"},
                                      {"GNU.sparse.map", "0,3,8,2"}}) +
                                File("GNUSparseFile.1/f", "abcde")},
        SparseForm{"Pax10", PaxBytes({{"GNU.sparse.major", "1"},
                                      {"GNU.sparse.minor", "0"},
                                      {"GNU.sparse.name", "f"},
                                      {"GNU.sparse.realsize", "20"}}) +
                                File("GNUSparseFile.1/f", Block("2\n0\n3\n8\n2\n") + "abcde")}),
    [](const auto& info) { return info.param.name; });

TEST(Sparse, FileOfHolesOnly) {
  TarRecorder recorder;
  ASSERT_TRUE(ReadTar(OldSparse("", {}, 700) + TarEnd(), recorder).ok());
  EXPECT_EQ(recorder.contents[0], std::string(700, '\0'));
}

std::string Pax10(const std::string& map, const std::string& size = "20") {
  return PaxBytes({{"GNU.sparse.major", "1"},
                   {"GNU.sparse.minor", "0"},
                   {"GNU.sparse.realsize", size}}) +
         File("f", Block(map) + "abcde") + TarEnd();
}
std::string Pax01(const std::string& map, const std::string& blocks) {
  return PaxBytes({{"GNU.sparse.size", "20"},
                   {"GNU.sparse.numblocks", blocks},
                   {"GNU.sparse.map", map}}) +
         File("f", "abcde") + TarEnd();
}

struct BadSparse {
  std::string name, bytes;
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
};
void PrintTo(const BadSparse& bad, std::ostream* out) { *out << bad.name; }
class SparseBad : public testing::TestWithParam<BadSparse> {};

TEST_P(SparseBad, IsRefused) {
  for (const size_t piece : {std::string::npos, size_t{1}}) {
    TarRecorder recorder;
    const absl::Status status = ReadTar(GetParam().bytes, recorder, piece);
    EXPECT_EQ(status.code(), GetParam().code) << status;
  }
}

constexpr auto kTooMuch = absl::StatusCode::kResourceExhausted;
constexpr auto kUnknown = absl::StatusCode::kUnimplemented;
INSTANTIATE_TEST_SUITE_P(
    All, SparseBad,
    testing::Values(
        BadSparse{"SumIsMore", OldSparse("abcde", {{0, 3}, {8, 3}}, 20)},
        BadSparse{"SumIsLess", OldSparse("abcde", {{0, 3}}, 20)},
        BadSparse{"Overlap", OldSparse("abcde", {{0, 3}, {2, 2}}, 20)},
        BadSparse{"Backwards", OldSparse("abcde", {{8, 3}, {0, 2}}, 20)},
        BadSparse{"BeyondTheEnd", OldSparse("abcde", {{0, 3}, {19, 2}}, 20)},
        BadSparse{"HugeFile",
                  PaxBytes({{"GNU.sparse.size", "274877906944"},
                            {"GNU.sparse.numblocks", "2"},
                            {"GNU.sparse.map", "0,3,8,2"}}) +
                      File("f", "abcde"),
                  kTooMuch},
        BadSparse{"NotGnusHeader", TarBytes({.path = "f", .type = 'S'}) + TarEnd()},
        BadSparse{"CutInTheMap",
                  [] {
                    std::string item =
                        TarBytes({.path = "f", .type = 'S', .content = "a", .magic = kGnu});
                    PutSparse(item, {{0, 1}}, 20, /*continues=*/true);
                    return item.substr(0, 600);
                  }()},
        BadSparse{"OldAndPax",
                  PaxBytes({{"GNU.sparse.size", "20"}}) + OldSparse("abcde", {{0, 3}, {8, 2}}, 20)},
        BadSparse{"MapOfOddLength", Pax01("0,3,8", "1")},
        BadSparse{"MapOfText", Pax01("0,3,x,2", "2")},
        BadSparse{"MapOfMinus", Pax01("0,3,-8,2", "2")},
        BadSparse{"NumberOfRangesDiffers", Pax01("0,3,8,2", "3")},
        BadSparse{"NoNumberOfRanges",
                  PaxBytes({{"GNU.sparse.size", "20"}, {"GNU.sparse.map", "0,3,8,2"}}) +
                      File("f", "abcde")},
        BadSparse{"NoSize", PaxBytes({{"GNU.sparse.numblocks", "0"}}) + File("f", "")},
        BadSparse{"Directory", PaxBytes({{"GNU.sparse.size", "0"}, {"GNU.sparse.numblocks", "0"}}) +
                                   TarBytes({.path = "d/", .type = '5'})},
        BadSparse{"BytesWithoutOffset", PaxBytes({{"GNU.sparse.numbytes", "3"}}) + File("f", "")},
        BadSparse{"TwoOffsets", PaxBytes({{"GNU.sparse.offset", "3"}, {"GNU.sparse.offset", "4"}}) +
                                    File("f", "")},
        BadSparse{"TwoKindsOfMap", PaxBytes({{"GNU.sparse.major", "1"},
                                             {"GNU.sparse.minor", "0"},
                                             {"GNU.sparse.map", "0,3"},
                                             {"GNU.sparse.realsize", "20"}}) +
                                       File("f", "abcde")},
        BadSparse{"UnknownVersion",
                  PaxBytes({{"GNU.sparse.major", "2"}, {"GNU.sparse.size", "9"}}) + File("f", ""),
                  kUnknown},
        BadSparse{"UnknownKey", PaxBytes({{"GNU.sparse.shape", "1"}}) + File("f", ""), kUnknown},
        BadSparse{"TooManyRanges", Pax10("1048577\n"), kTooMuch},
        BadSparse{"MapIsLongerThanTheContent", Pax10("400\n0\n1\n")},
        BadSparse{"MapWithLetters", Pax10("two\n")},
        BadSparse{"MapNumberIsTooLong", Pax10("00000000000000000000002\n")},
        BadSparse{"MapDoesNotAddUp", Pax10("2\n0\n3\n8\n3\n")},
        BadSparse{"HugeRealsize", Pax10("2\n0\n3\n8\n2\n", "9223372036854775807"), kTooMuch}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace berth
