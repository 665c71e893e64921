#include "src/kernel/apparmor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/kernel/testing/lsm_tree.h"

namespace berth {
namespace {

using testing::HasSubstr;

constexpr LsmFacts kEnabled = {.apparmor = true};
constexpr LsmFacts kAbsent = {};

class AppArmor : public LsmTree {
 protected:
  AppArmor() {
    Write("security/apparmor/profiles",
          "berth-default-old (enforce)\nlocal (complain)\n/usr/bin/a b (enforce)\n");
  }
  // A parser that keeps what it is given and does `then`.
  void MakeParser(const std::string& then) {
    Write("apparmor_parser",
          absl::StrCat("#!/bin/sh\ncd ", root_, "\necho \"$@\" > arguments\nenv > environment\n",
                       "cat > loaded\n", then, "\n"),
          0700);
  }
  std::string AddsProfile() {
    return absl::StrCat("echo 'berth-default (enforce)' >> ", paths_.securityfs,
                        "/apparmor/profiles");
  }
};

TEST_F(AppArmor, KnowsLoadedProfilesByTheirWholeName) {
  for (const char* name : {"local", "berth-default-old", "/usr/bin/a b"})
    EXPECT_TRUE(*AppArmorProfileIsLoaded(paths_, name)) << name;
  for (const char* name : {"berth-default", "loca", "local (complain)", "", "b"})
    EXPECT_FALSE(*AppArmorProfileIsLoaded(paths_, name)) << name;
}

TEST_F(AppArmor, LoadsTheDefaultProfileOnce) {
  MakeParser(AddsProfile());
  const absl::Status loaded = EnsureAppArmorDefault(paths_);
  ASSERT_TRUE(loaded.ok()) << loaded;
  EXPECT_EQ(Read("loaded"), AppArmorDefaultProfile());
  EXPECT_EQ(Read("arguments"), "--replace --skip-cache\n");
  EXPECT_THAT(Read("environment"), HasSubstr("LC_ALL=C"));
  EXPECT_THAT(Read("environment"), Not(HasSubstr("HOME=")));
  Write("loaded", "");
  EXPECT_TRUE(EnsureAppArmorDefault(paths_).ok());
  EXPECT_EQ(Read("loaded"), "") << "the kernel has it already";
}

TEST_F(AppArmor, SaysWhyTheDefaultProfileCannotBeLoaded) {
  MakeParser("echo 'AppArmor parser error: no such file' >&2; exit 3");
  const absl::Status refused = EnsureAppArmorDefault(paths_);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("exited with 3: AppArmor parser error: no such file"));
  MakeParser("exit 0");
  EXPECT_THAT(std::string(EnsureAppArmorDefault(paths_).message()),
              HasSubstr("not in the kernel after it was loaded"));
  paths_.apparmor_parser = root_ + "/nowhere";
  EXPECT_THAT(std::string(EnsureAppArmorDefault(paths_).message()), HasSubstr("nowhere"));
}

TEST_F(AppArmor, ResolvesRequestsWhereTheKernelHasIt) {
  Write("security/apparmor/profiles", "berth-default (enforce)\nlocal (enforce)\n");
  const auto resolve = [&](const AppArmorRequest& request) {
    return ResolveAppArmor(request, kEnabled, paths_);
  };
  EXPECT_EQ(*resolve({}), "berth-default");
  EXPECT_EQ(*resolve({.kind = ProfileKind::kRuntimeDefault}), "berth-default");
  EXPECT_EQ(*resolve({.kind = ProfileKind::kUnconfined}), "");
  EXPECT_EQ(*resolve({.kind = ProfileKind::kLocalhost, .profile = "local"}), "local");
  EXPECT_EQ(*resolve({.kind = ProfileKind::kLocalhost, .profile = "local", .privileged = true}),
            "");
  const absl::Status missing =
      resolve({.kind = ProfileKind::kLocalhost, .profile = "gone"}).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("apparmor profile gone: not loaded"));
  EXPECT_EQ(resolve({.kind = ProfileKind::kLocalhost}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(AppArmor, RefusesWhatIsAskedOfAKernelWithoutIt) {
  const auto resolve = [&](const AppArmorRequest& request) {
    return ResolveAppArmor(request, kAbsent, paths_);
  };
  EXPECT_EQ(*resolve({}), "");
  EXPECT_EQ(*resolve({.kind = ProfileKind::kUnconfined}), "");
  for (const AppArmorRequest& request :
       {AppArmorRequest{.kind = ProfileKind::kRuntimeDefault},
        AppArmorRequest{.kind = ProfileKind::kLocalhost, .profile = "local"}}) {
    const absl::Status refused = resolve(request).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(refused.message()), HasSubstr("this kernel has no AppArmor"));
  }
}

TEST(AppArmorDefaultProfile, DeniesWhatSeccompCannotSee) {
  const std::string text = AppArmorDefaultProfile();
  for (const char* rule :
       {"abi <kernel>,", "profile berth-default ", "deny network alg,", "deny network vsock,",
        "deny mount,", "signal receive peer=unconfined,", "ptrace peer=berth-default,"}) {
    EXPECT_THAT(text, HasSubstr(rule));
  }
  EXPECT_THAT(text, Not(HasSubstr("NAME")));
}

}  // namespace
}  // namespace berth
