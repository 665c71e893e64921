#include "src/runtime/exec_failure.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace berth {
namespace {

TEST(ExecFailure, SaysWhatAShellWouldExitWith) {
  EXPECT_EQ(ExecFailureCode(ExecFailure("/nope", ENOENT)), 127);
  EXPECT_EQ(ExecFailureCode(ExecFailure("nope", ENOENT)), 127);
  for (const int error : {EACCES, ENOEXEC, EISDIR, ENOTDIR, ELOOP})
    EXPECT_EQ(ExecFailureCode(ExecFailure("/file", error)), 126) << error;
}

TEST(ExecFailure, NamesTheProgram) {
  EXPECT_EQ(ExecFailure("/nope", ENOENT).message(), "exec: \"/nope\": No such file or directory");
  EXPECT_EQ(ExecFailure("nope", ENOENT).message(),
            "exec: \"nope\": executable file not found in $PATH");
  EXPECT_TRUE(absl::IsPermissionDenied(ExecFailure("/file", EACCES)));
}

TEST(ExecFailure, NothingElseIsOne) {
  EXPECT_EQ(ExecFailureCode(absl::OkStatus()), 0);
  EXPECT_EQ(ExecFailureCode(absl::NotFoundError("container c: not found")), 0);
}

}  // namespace
}  // namespace berth
