// A made-up securityfs, selinuxfs and /etc/selinux in a temporary directory. For tests.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/kernel/file.h"
#include "src/kernel/lsm.h"

namespace berth {

class LsmTree : public testing::Test {
 protected:
  LsmTree() {
    std::string name = absl::StrCat(testing::TempDir(), "/lsm-XXXXXX");
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    paths_ = {.securityfs = root_ + "/security",
              .module_parameters = root_ + "/module",
              .selinuxfs = root_ + "/selinux",
              .selinux_etc = root_ + "/etc-selinux",
              .apparmor_parser = root_ + "/apparmor_parser"};
  }
  ~LsmTree() override { EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, root_).ok()); }

  void Write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    const std::string path = absl::StrCat(root_, "/", name);
    ASSERT_TRUE(MakeDirs(path.substr(0, path.rfind('/')), 0700).ok());
    std::ofstream(path, std::ios::trunc) << text;
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
  }
  std::string Read(const std::string& name) {
    std::stringstream text;
    text << std::ifstream(absl::StrCat(root_, "/", name)).rdbuf();
    return text.str();
  }

  std::string root_;
  LsmPaths paths_;
};

}  // namespace berth
