#include "test/e2e/failpoint_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"

namespace berth::e2e {
namespace {

std::string PathOf(const char* name) { return absl::StrCat(kFailpointDirectory, "/", name); }

// In place: running programs have the file open.
void WriteArmed(const std::string& line) {
  std::string content = line;
  content.resize(kFailpointArmedBytes);
  const UniqueFd file(open(PathOf("armed").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  EXPECT_EQ(pwrite(file.get(), content.data(), content.size(), 0),
            static_cast<ssize_t>(content.size()));
  EXPECT_EQ(truncate(PathOf("hits").c_str(), 0), 0);
}

}  // namespace

absl::Status FailpointFiles::Make() {
  static bool made = false;
  if (made) return absl::OkStatus();
  std::filesystem::create_directories(kFailpointDirectory);
  if (mount("e2e-failpoints", kFailpointDirectory, "tmpfs", 0, "size=16m") != 0)
    return ErrnoStatus("mount", kFailpointDirectory);
  std::ofstream(PathOf("hits")).flush();
  Disarm();
  made = true;
  return absl::OkStatus();
}

void FailpointFiles::Arm(const ArmedFault& fault) {
  static int serial = 0;
  WriteArmed(absl::StrCat(++serial, " ", fault.point, " ", fault.nth, " ", fault.kind, " ",
                          fault.value, " once\n"));
}

void FailpointFiles::Disarm() { WriteArmed(""); }

bool FailpointFiles::HasStruck() {
  std::ifstream file(PathOf("armed"));
  return file.seekg(kFailpointStruckAt).get() == 1;
}

std::multiset<std::string> FailpointFiles::Hits() {
  std::multiset<std::string> hits;
  std::ifstream file(PathOf("hits"));
  for (std::string line; std::getline(file, line);) hits.insert(line);
  return hits;
}

}  // namespace berth::e2e
