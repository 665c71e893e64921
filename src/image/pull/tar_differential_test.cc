// The reader beside libarchive: of the archives that Berth accepts, both say the same.
#include <archive.h>
#include <archive_entry.h>

#include <array>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/image/pull/tar_recorder.h"
#include "src/image/testing/tar_writer.h"

namespace berth {
namespace {

using Type = TarEntry::Type;

// One entry as text, so that a difference can be read.
std::string Describe(const TarEntry& entry, const std::string& content) {
  const bool is_link = entry.type == Type::kHardLink || entry.type == Type::kSymlink;
  std::string text = absl::StrCat(
      "path=", absl::StrReplaceAll(entry.path, {{"//", "/"}}),
      " type=", static_cast<int>(entry.type), " mode=", entry.mode, " uid=", entry.uid,
      " gid=", entry.gid, " mtime=", entry.mtime.tv_sec, ".", entry.mtime.tv_nsec,
      " link=", is_link ? entry.link : "", " device=", entry.device_major, ":", entry.device_minor,
      " size=", content.size(), " hash=", std::hash<std::string>()(content));
  for (const auto& [name, value] : entry.xattrs) absl::StrAppend(&text, " ", name, "=", value);
  return text;
}

std::vector<std::string> Describe(const TarRecorder& recorder) {
  std::vector<std::string> all;
  for (size_t i = 0; i < recorder.entries.size(); ++i)
    all.push_back(Describe(recorder.entries[i], recorder.contents[i]));
  return all;
}

Type TypeOf(archive_entry* entry) {
  if (archive_entry_hardlink(entry) != nullptr) return Type::kHardLink;
  switch (archive_entry_filetype(entry)) {
    case AE_IFLNK:
      return Type::kSymlink;
    case AE_IFDIR:
      return Type::kDirectory;
    case AE_IFCHR:
      return Type::kCharDevice;
    case AE_IFBLK:
      return Type::kBlockDevice;
    case AE_IFIFO:
      return Type::kFifo;
    default:
      return Type::kRegular;
  }
}

std::string ContentOf(archive* reader, archive_entry* entry) {
  std::string content(static_cast<size_t>(archive_entry_size(entry)), '\0');
  const void* piece = nullptr;
  size_t size = 0;
  la_int64_t offset = 0;
  while (archive_read_data_block(reader, &piece, &size, &offset) == ARCHIVE_OK)
    content.replace(static_cast<size_t>(offset), size, static_cast<const char*>(piece), size);
  return content;
}

TarEntry EntryOf(archive_entry* entry) {
  TarEntry is{.type = TypeOf(entry), .path = archive_entry_pathname(entry)};
  const char* const link = is.type == Type::kHardLink  ? archive_entry_hardlink(entry)
                           : is.type == Type::kSymlink ? archive_entry_symlink(entry)
                                                       : nullptr;
  if (link != nullptr) is.link = link;
  is.mode = static_cast<uint32_t>(archive_entry_perm(entry));
  is.uid = static_cast<uint32_t>(archive_entry_uid(entry));
  is.gid = static_cast<uint32_t>(archive_entry_gid(entry));
  is.mtime = {.tv_sec = archive_entry_mtime(entry), .tv_nsec = archive_entry_mtime_nsec(entry)};
  if (is.type == Type::kCharDevice || is.type == Type::kBlockDevice) {
    is.device_major = static_cast<uint32_t>(archive_entry_rdevmajor(entry));
    is.device_minor = static_cast<uint32_t>(archive_entry_rdevminor(entry));
  }
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  archive_entry_xattr_reset(entry);
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
    is.xattrs[name] = std::string(static_cast<const char*>(value), size);
  return is;
}

// None: it refuses the archive.
std::optional<std::vector<std::string>> ByLibarchive(const std::string& bytes) {
  const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
  archive_read_support_format_tar(reader.get());
  if (archive_read_open_memory(reader.get(), bytes.data(), bytes.size()) != ARCHIVE_OK)
    return std::nullopt;
  std::vector<std::string> all;
  archive_entry* entry = nullptr;
  int code;
  while ((code = archive_read_next_header(reader.get(), &entry)) == ARCHIVE_OK)
    all.push_back(Describe(EntryOf(entry), ContentOf(reader.get(), entry)));
  if (code != ARCHIVE_EOF) return std::nullopt;
  return all;
}

// An archive of random entries by libarchive's own writer of one format.
class Population {
 public:
  explicit Population(unsigned seed, bool xattrs = true) : xattrs_(xattrs), random_(seed) {}

  std::string Write(int (*set_format)(archive*), bool long_names) {
    std::string out(4 << 20, '\0');
    size_t used = 0;
    const std::unique_ptr<archive, int (*)(archive*)> writer(archive_write_new(),
                                                             archive_write_free);
    EXPECT_EQ(set_format(writer.get()), ARCHIVE_OK);
    EXPECT_EQ(archive_write_open_memory(writer.get(), out.data(), out.size(), &used), ARCHIVE_OK);
    for (int i = Pick(1, 12); i > 0; --i) WriteEntry(writer.get(), long_names);
    EXPECT_EQ(archive_write_close(writer.get()), ARCHIVE_OK);
    out.resize(used);
    return out;
  }

  int Pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

 private:
  std::string Name(bool long_names) {
    std::string name;
    for (int i = Pick(1, long_names ? 40 : 4); i > 0; --i)
      absl::StrAppend(&name, name.empty() ? "" : "/", std::string(Pick(1, 12), 'a' + Pick(0, 25)));
    return name;
  }

  void WriteEntry(archive* writer, bool long_names) {
    const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(),
                                                                         archive_entry_free);
    archive_entry* const e = entry.get();
    constexpr std::array<unsigned, 7> kTypes = {AE_IFREG, AE_IFREG, AE_IFREG, AE_IFDIR,
                                                AE_IFLNK, AE_IFIFO, AE_IFCHR};
    const unsigned type = kTypes[static_cast<size_t>(Pick(0, 6))];
    archive_entry_set_pathname(e, Name(long_names).c_str());
    archive_entry_set_filetype(e, type);
    archive_entry_set_perm(e, static_cast<unsigned>(Pick(0, 07777)));
    const int max_id = long_names ? 2'000'000 : 200'000;  // as the format can say
    archive_entry_set_uid(e, Pick(0, max_id));
    archive_entry_set_gid(e, Pick(0, max_id));
    archive_entry_set_mtime(e, Pick(0, 2'000'000'000), 0);
    std::string content;
    if (type == AE_IFREG && Pick(0, 5) == 0) {
      archive_entry_set_hardlink(e, Name(long_names).c_str());
    } else if (type == AE_IFREG) {
      content.resize(static_cast<size_t>(Pick(0, 3000)), static_cast<char>(Pick(1, 127)));
    } else if (type == AE_IFLNK) {
      archive_entry_set_symlink(e, Name(long_names).c_str());
    } else if (type == AE_IFCHR) {
      archive_entry_set_rdevmajor(e, static_cast<dev_t>(Pick(1, 255)));
      archive_entry_set_rdevminor(e, static_cast<dev_t>(Pick(0, 255)));
    }
    archive_entry_set_size(e, static_cast<la_int64_t>(content.size()));
    if (xattrs_ && Pick(0, 4) == 0) archive_entry_xattr_add_entry(e, "user.note", "value", 5);
    // A format that cannot say it refuses the entry, which is then not in the archive.
    if (archive_write_header(writer, e) < ARCHIVE_WARN) return;
    if (!content.empty()) archive_write_data(writer, content.data(), content.size());
  }

  const bool xattrs_;
  std::mt19937 random_;
};

struct Format {
  std::string name;
  int (*set)(archive*);
  bool long_names;
};
void PrintTo(const Format& format, std::ostream* out) { *out << format.name; }
class TarFormats : public testing::TestWithParam<Format> {};

TEST_P(TarFormats, ReadAsLibarchiveReadsThem) {
  int compared = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    const std::string bytes = Population(seed).Write(GetParam().set, GetParam().long_names);
    TarRecorder recorder;
    const absl::Status status = ReadTar(bytes, recorder);
    ASSERT_TRUE(status.ok()) << "seed " << seed << ": " << status;
    ASSERT_EQ(Describe(recorder), ByLibarchive(bytes)) << "seed " << seed;
    compared += static_cast<int>(recorder.entries.size());
  }
  EXPECT_GT(compared, 1000);
}

// Archives with a damaged byte: what both still accept must still mean the same. Without
// extended attributes, of which libarchive reads a second copy under a key of its own.
TEST_P(TarFormats, DamagedOnesAreRefusedOrReadAlike) {
  int accepted = 0;
  for (unsigned seed = 0; seed < 1500; ++seed) {
    Population population(seed, /*xattrs=*/false);
    std::string bytes = population.Write(GetParam().set, GetParam().long_names);
    const size_t block = static_cast<size_t>(population.Pick(0, 3)) * 512;
    const size_t at = block + static_cast<size_t>(population.Pick(0, 511));
    if (at >= bytes.size()) continue;
    bytes[at] = static_cast<char>(population.Pick(0, 255));
    // With a checksum that fits, so that the damage is seen by what comes after it.
    if (block == 0 || bytes.substr(block + 257, 5) == "ustar") {
      std::string header = bytes.substr(block, 512);
      testing_image::PutChecksum(header);
      bytes.replace(block, 512, header);
    }
    TarRecorder recorder;
    if (!ReadTar(bytes, recorder).ok()) continue;
    const auto expected = ByLibarchive(bytes);
    if (!expected.has_value()) continue;
    ++accepted;
    EXPECT_EQ(Describe(recorder), *expected) << "seed " << seed << " at " << at;
  }
  EXPECT_GT(accepted, 50);
}

INSTANTIATE_TEST_SUITE_P(All, TarFormats,
                         testing::Values(Format{"Ustar", archive_write_set_format_ustar, false},
                                         Format{"Pax", archive_write_set_format_pax, true},
                                         Format{"PaxRestricted",
                                                archive_write_set_format_pax_restricted, true},
                                         Format{"Gnu", archive_write_set_format_gnutar, true},
                                         Format{"V7", archive_write_set_format_v7tar, false}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace berth
