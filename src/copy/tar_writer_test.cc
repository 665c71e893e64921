#include "src/copy/tar_writer.h"

#include <gtest/gtest.h>

#include "src/image/pull/tar_recorder.h"

namespace berth {
namespace {

std::string Write(const TarEntry& entry, const std::string& content = "") {
  std::string bytes;
  TarWriter writer([&](absl::string_view piece) {
    bytes.append(piece.data(), piece.size());
    return absl::OkStatus();
  });
  EXPECT_TRUE(writer.Begin(entry).ok());
  EXPECT_TRUE(content.empty() || writer.Data(content).ok());
  EXPECT_TRUE(writer.End().ok());
  EXPECT_TRUE(writer.Finish().ok());
  return bytes;
}

TarEntry RoundTrip(const TarEntry& entry, const std::string& content = "") {
  TarRecorder recorder;
  const absl::Status status = ReadTar(Write(entry, content), recorder);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(recorder.entries.size(), 1u);
  if (recorder.entries.empty()) return {};
  EXPECT_EQ(recorder.contents[0], content);
  return recorder.entries[0];
}

TEST(TarWriter, IsReadAsItWasWritten) {
  const TarEntry entry{
      .path = "a/b", .mode = 04755, .uid = 1000, .gid = 2000, .size = 5, .mtime = {1234567890, 0}};
  const TarEntry read = RoundTrip(entry, "hello");
  EXPECT_EQ(read.path, "a/b");
  EXPECT_EQ(read.mode, 04755u);
  EXPECT_EQ(read.uid, 1000u);
  EXPECT_EQ(read.gid, 2000u);
  EXPECT_EQ(read.size, 5);
  EXPECT_EQ(read.mtime.tv_sec, 1234567890);
}

TEST(TarWriter, NeedsNoPaxForWhatFits) {
  EXPECT_EQ(Write({.path = "a", .mode = 0644}).size(), 512u + 1024u);
}

TEST(TarWriter, LongNames) {
  const std::string path = std::string(200, 'a') + "/" + std::string(200, 'b');
  const TarEntry read = RoundTrip({.type = TarEntry::Type::kSymlink,
                                   .path = path,
                                   .link = std::string(300, 'l'),
                                   .mode = 0777});
  EXPECT_EQ(read.path, path);
  EXPECT_EQ(read.link, std::string(300, 'l'));
}

TEST(TarWriter, BigNumbers) {
  const TarEntry read =
      RoundTrip({.path = "a", .mode = 0600, .uid = 4294967294u, .gid = 3000000000u});
  EXPECT_EQ(read.uid, 4294967294u);
  EXPECT_EQ(read.gid, 3000000000u);
}

TEST(TarWriter, Times) {
  for (const timespec time :
       {timespec{0, 0}, timespec{1, 1}, timespec{-1, 0}, timespec{-1, 500000000},
        timespec{-100, 999999999}, timespec{8589934592, 1}}) {
    const TarEntry read = RoundTrip({.path = "a", .mode = 0600, .mtime = time});
    EXPECT_EQ(read.mtime.tv_sec, time.tv_sec);
    EXPECT_EQ(read.mtime.tv_nsec, time.tv_nsec);
  }
}

TEST(TarWriter, DirectoriesDevicesAndAttributes) {
  EXPECT_EQ(RoundTrip({.type = TarEntry::Type::kDirectory, .path = "d", .mode = 0755}).type,
            TarEntry::Type::kDirectory);
  const TarEntry device = RoundTrip({.type = TarEntry::Type::kCharDevice,
                                     .path = "null",
                                     .mode = 0666,
                                     .device_major = 1,
                                     .device_minor = 3});
  EXPECT_EQ(device.device_major, 1u);
  EXPECT_EQ(device.device_minor, 3u);
  const TarEntry read =
      RoundTrip({.path = "a",
                 .mode = 0755,
                 .xattrs = {{"security.capability", std::string("\1\0\0\2\n=", 6)}}});
  EXPECT_EQ(read.xattrs.at("security.capability"), std::string("\1\0\0\2\n=", 6));
}

TEST(TarWriter, EveryLengthOfARecordCountsItself) {
  for (size_t length = 80; length < 110; ++length) {
    const std::string path(length, 'p');
    EXPECT_EQ(RoundTrip({.path = path, .mode = 0600}).path, path);
  }
  const std::string path(995, 'q');
  EXPECT_EQ(RoundTrip({.path = path, .mode = 0600}).path, path);
}

}  // namespace
}  // namespace berth
