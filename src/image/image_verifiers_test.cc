#include "src/image/image_verifiers.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class ImageVerifiersTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-verifiers-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, dir_).ok()); }

  void Program(const std::string& name, const std::string& body, mode_t mode = 0755) {
    const std::string path = dir_ + "/" + name;
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
  }

  absl::Status Ask() {
    return AskImageVerifiers({.dir = dir_, .env = {"PATH=/usr/bin:/bin"}},
                             {.name = "registry.example/app:v1",
                              .digest = "sha256:abc",
                              .media_type = "application/vnd.oci.image.index.v1+json",
                              .bytes = 855});
  }

  std::string dir_;
};

TEST_F(ImageVerifiersTest, NoDirectoryAndAnEmptyOneAccept) {
  EXPECT_TRUE(AskImageVerifiers({}, {}).ok());
  EXPECT_TRUE(Ask().ok());
}

TEST_F(ImageVerifiersTest, AProgramIsToldWhatItJudges) {
  Program("10-check",
          "echo \"$@\" > " + dir_ + "/arguments\ncat > " + dir_ + "/descriptor\nexit 0");
  ASSERT_TRUE(Ask().ok());
  EXPECT_EQ(ReadFileAt(AT_FDCWD, dir_ + "/arguments").value_or(""),
            "-name registry.example/app:v1 -digest sha256:abc -stdin-media-type "
            "application/vnd.oci.descriptor.v1+json\n");
  EXPECT_EQ(ReadFileAt(AT_FDCWD, dir_ + "/descriptor").value_or(""),
            R"({"digest":"sha256:abc","mediaType":"application/vnd.oci.image.index.v1+json",)"
            R"("size":855})");
}

TEST_F(ImageVerifiersTest, OneThatRefusesIsEnough) {
  Program("10-yes", "exit 0");
  Program("20-no", "echo not signed by us\nexit 3");
  const absl::Status status = Ask();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), StartsWith("SignatureValidationFailed: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("20-no refuses it with exit code 3"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("not signed by us"));
}

TEST_F(ImageVerifiersTest, WhatCannotBeAskedRefuses) {
  Program("10-broken", "exit 0");
  std::ofstream(dir_ + "/10-broken") << "#!/no/such/interpreter\n";
  EXPECT_THAT(std::string(Ask().message()), StartsWith("SignatureValidationFailed: "));
  EXPECT_THAT(std::string(AskImageVerifiers({.dir = "/no/such/directory"}, {}).message()),
              StartsWith("SignatureValidationFailed: "));
}

TEST_F(ImageVerifiersTest, FilesThatAreNoProgramsAreNotAsked) {
  Program("README", "exit 1", 0644);
  ASSERT_EQ(::mkdir((dir_ + "/keys").c_str(), 0755), 0);
  EXPECT_TRUE(Ask().ok());
}

}  // namespace
}  // namespace berth
