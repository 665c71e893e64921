// What a TarReader makes of an archive, kept whole. For the tests of the reader.
#pragma once

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "src/base/status_macros.h"
#include "src/image/pull/tar.h"

namespace berth {

// Keeps all that comes, and notes when the calls come in the wrong order.
class TarRecorder : public TarSink {
 public:
  absl::Status Begin(const TarEntry& entry) override {
    EXPECT_FALSE(open_);
    open_ = true;
    entries.push_back(entry);
    contents.emplace_back();
    return absl::OkStatus();
  }
  absl::Status Data(absl::string_view bytes) override {
    EXPECT_TRUE(open_);
    contents.back().append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  absl::Status Hole(int64_t bytes) override {
    EXPECT_TRUE(open_);
    EXPECT_GT(bytes, 0);
    contents.back().append(static_cast<size_t>(bytes), '\0');
    holes += bytes;
    return absl::OkStatus();
  }
  absl::Status End() override {
    EXPECT_TRUE(open_);
    open_ = false;
    EXPECT_EQ(static_cast<int64_t>(contents.back().size()), entries.back().size);
    return absl::OkStatus();
  }

  std::vector<TarEntry> entries;
  std::vector<std::string> contents;
  int64_t holes = 0;

 private:
  bool open_ = false;
};

inline absl::Status ReadTar(const std::string& archive, TarRecorder& recorder,
                            size_t piece = std::string::npos) {
  TarReader reader(recorder);
  for (size_t at = 0; at < archive.size(); at += piece) {
    RETURN_IF_ERROR(reader.Feed(absl::string_view(archive).substr(at, piece)));
    if (piece == std::string::npos) break;
  }
  return reader.Finish();
}

}  // namespace berth
