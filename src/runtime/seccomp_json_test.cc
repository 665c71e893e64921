// Profile texts: what is taken, what is refused and where, and what the filter then answers.
#include "src/runtime/seccomp_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "src/runtime/capabilities.h"
#include "src/runtime/seccomp_filter.h"
#include "src/runtime/seccomp_profile.h"
#include "src/runtime/testing/filter_interpreter.h"

#if defined(__x86_64__)

namespace berth {
namespace {

using testing::HasSubstr;

const Arch& kAmd64 = kArches[0];
const Arch& kI386 = kArches[1];
const Arch& kX32 = kArches[2];
constexpr absl::string_view kAllArches =
    R"("architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"])";

absl::StatusOr<SeccompProgram> Compile(absl::string_view text, const SeccompHost& host = {}) {
  const absl::StatusOr<SeccompRules> rules = ParseSeccompJson(text, host);
  if (!rules.ok()) return rules.status();
  return CompileSeccompRules(*rules);
}

// A profile of one rule list, on all three architectures.
std::string Text(absl::string_view default_action, absl::string_view syscalls) {
  return absl::StrCat(R"({"defaultAction":")", default_action, "\",", kAllArches, ",\"syscalls\":[",
                      syscalls, "]}");
}

TEST(SeccompJson, TakesEachAction) {
  const struct {
    const char *action, *answer;
  } kCases[] = {{"SCMP_ACT_KILL", "kill thread"},
                {"SCMP_ACT_KILL_THREAD", "kill thread"},
                {"SCMP_ACT_KILL_PROCESS", "kill process"},
                {"SCMP_ACT_TRAP", "trap"},
                {"SCMP_ACT_ERRNO", "EPERM"},
                {"SCMP_ACT_TRACE", "trace 1"},
                {"SCMP_ACT_LOG", "log"}};
  for (const auto& c : kCases) {
    const Profile profile(Compile(Text(
        "SCMP_ACT_ALLOW", absl::StrCat(R"({"names":["getpid"],"action":")", c.action, "\"}"))));
    for (const Arch& arch : kArches) {
      EXPECT_EQ(profile.Of(arch, "getpid"), c.answer) << arch.name << " " << c.action;
      EXPECT_EQ(profile.Of(arch, "read"), "allow") << arch.name << " " << c.action;
    }
    const Profile inverse(
        Compile(Text(c.action, R"({"names":["read"],"action":"SCMP_ACT_ALLOW"})")));
    EXPECT_EQ(inverse.Of(kAmd64, "getpid") == "allow", false) << c.action;
    EXPECT_EQ(inverse.Of(kAmd64, "read"), "allow") << c.action;
  }
}

TEST(SeccompJson, TakesErrnosOfRulesAndOfTheDefault) {
  const Profile profile(Compile(
      absl::StrCat(R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,)", kAllArches,
                   R"(,"syscalls":[{"names":["mount"],"action":"SCMP_ACT_ERRNO","errnoRet":13},
                           {"name":"umount2","action":"SCMP_ACT_ERRNO"},
                           {"names":["read"],"action":"SCMP_ACT_ALLOW"}]})")));
  for (const Arch& arch : kArches) {
    EXPECT_EQ(profile.Of(arch, "mount"), "EACCES") << arch.name;
    EXPECT_EQ(profile.Of(arch, "umount2"), "EPERM") << arch.name;
    EXPECT_EQ(profile.Of(arch, "getpid"), "ENOSYS") << arch.name;
    EXPECT_EQ(profile.Of(arch, "read"), "allow") << arch.name;
  }
}

TEST(SeccompJson, ComparesArguments) {
  const struct {
    const char* op;
    uint64_t hit, miss;
  } kCases[] = {{"SCMP_CMP_EQ", 10, 11}, {"SCMP_CMP_NE", 11, 10}, {"SCMP_CMP_LT", 9, 10},
                {"SCMP_CMP_LE", 10, 11}, {"SCMP_CMP_GT", 11, 10}, {"SCMP_CMP_GE", 10, 9}};
  for (const auto& c : kCases) {
    for (int index = 0; index < 6; ++index) {
      const Profile profile(Compile(
          Text("SCMP_ACT_ALLOW",
               absl::StrCat(R"({"names":["prctl"],"action":"SCMP_ACT_ERRNO","args":[{"index":)",
                            index, R"(,"value":10,"op":")", c.op, "\"}]}"))));
      std::vector<uint64_t> args(6, 10);
      FilterCall call{.number = Number(kAmd64, "prctl")};
      std::fill(std::begin(call.args), std::end(call.args), 10);
      call.args[index] = c.hit;
      EXPECT_EQ(ActionName(RunFilter(profile.program(), call)), "EPERM") << c.op << index;
      call.args[index] = c.miss;
      EXPECT_EQ(ActionName(RunFilter(profile.program(), call)), "allow") << c.op << index;
    }
  }
}

// Docker's rule for personality and clone: value is the mask, valueTwo what must be left.
TEST(SeccompJson, ComparesMaskedArguments) {
  const Profile profile(Compile(Text("SCMP_ACT_ERRNO",
                                     R"({"names":["clone"],"action":"SCMP_ACT_ALLOW",
               "args":[{"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]},
              {"names":["openat"],"action":"SCMP_ACT_ALLOW",
               "args":[{"index":2,"value":3,"valueTwo":1,"op":"SCMP_CMP_MASKED_EQ"}]})")));
  EXPECT_EQ(profile.Of(kAmd64, "clone", {17}), "allow");
  EXPECT_EQ(profile.Of(kAmd64, "clone", {0x10000000 | 17}), "EPERM");
  EXPECT_EQ(profile.Of(kAmd64, "openat", {0, 0, 0x41}), "allow");
  EXPECT_EQ(profile.Of(kAmd64, "openat", {0, 0, 0x42}), "EPERM");
}

TEST(SeccompJson, NeedsAllConditionsOfARuleButOneOfTwoOnTheSameArgument) {
  const Profile both(Compile(Text("SCMP_ACT_ALLOW",
                                  R"({"names":["kill"],"action":"SCMP_ACT_ERRNO","args":[
                                      {"index":0,"value":1,"op":"SCMP_CMP_EQ"},
                                      {"index":1,"value":9,"op":"SCMP_CMP_EQ"}]})")));
  EXPECT_EQ(both.Of(kAmd64, "kill", {1, 9}), "EPERM");
  EXPECT_EQ(both.Of(kAmd64, "kill", {1, 15}), "allow");
  EXPECT_EQ(both.Of(kAmd64, "kill", {2, 9}), "allow");
  const Profile either(Compile(Text("SCMP_ACT_ERRNO",
                                    R"({"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[
                                        {"index":0,"value":0,"op":"SCMP_CMP_EQ"},
                                        {"index":0,"value":8,"op":"SCMP_CMP_EQ"}]})")));
  EXPECT_EQ(either.Of(kAmd64, "personality", {0}), "allow");
  EXPECT_EQ(either.Of(kAmd64, "personality", {8}), "allow");
  EXPECT_EQ(either.Of(kAmd64, "personality", {4}), "EPERM");
}

TEST(SeccompJson, KillsCallsThroughArchitecturesThatAreNotListed) {
  const Profile native(Compile(R"({"defaultAction":"SCMP_ACT_ALLOW"})"));
  EXPECT_EQ(native.Of(kAmd64, "getpid"), "allow");
  EXPECT_EQ(native.Of(kI386, "getpid"), "kill process");
  EXPECT_EQ(native.Of(kX32, "getpid"), "kill process");
}

TEST(SeccompJson, TakesTheLineOfThisMachineFromArchMap) {
  const Profile profile(Compile(R"({"defaultAction":"SCMP_ACT_ALLOW","archMap":[
      {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},
      {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]},
      {"architecture":"SCMP_ARCH_S390X","subArchitectures":null}]})"));
  EXPECT_EQ(profile.Of(kAmd64, "getpid"), "allow");
  EXPECT_EQ(profile.Of(kI386, "getpid"), "allow");
  EXPECT_EQ(profile.Of(kX32, "getpid"), "kill process");
}

// What one rule for getpid answers, ENOSYS if it does not apply.
std::string Included(absl::string_view conditions, const SeccompHost& host) {
  const Profile profile(
      Compile(absl::StrCat(R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"syscalls":[
                       {"names":["getpid"],"action":"SCMP_ACT_ALLOW",)",
                           conditions, "}]}"),
              host));
  return profile.Of(kAmd64, "getpid");
}

TEST(SeccompJson, DecidesIncludesAndExcludes) {
  const SeccompHost host{.capabilities = uint64_t{1} << CAP_SYS_ADMIN | uint64_t{1} << CAP_BPF,
                         .kernel_major = 5,
                         .kernel_minor = 15};
  const struct {
    const char* conditions;
    bool applies;
  } kCases[] = {
      {R"("includes":{"caps":["CAP_SYS_ADMIN"]})", true},
      {R"("includes":{"caps":["CAP_SYS_ADMIN","CAP_BPF"]})", true},
      {R"("includes":{"caps":["CAP_SYS_ADMIN","CAP_SYS_TIME"]})", false},
      {R"("excludes":{"caps":["CAP_SYS_TIME"]})", true},
      {R"("excludes":{"caps":["CAP_SYS_TIME","CAP_BPF"]})", false},
      {R"("includes":{"arches":["arm64","amd64"]})", true},
      {R"("includes":{"arches":["arm64","s390x"]})", false},
      {R"("excludes":{"arches":["s390","s390x"]})", true},
      {R"("excludes":{"arches":["amd64"]})", false},
      {R"("includes":{"minKernel":"5.15"})", true},
      {R"("includes":{"minKernel":"4.20"})", true},
      {R"("includes":{"minKernel":"5.16"})", false},
      {R"("includes":{"minKernel":"6.0"})", false},
      {R"("excludes":{"minKernel":"5.15"})", false},
      {R"("excludes":{"minKernel":"5.16"})", true},
      {R"("includes":{"caps":["CAP_BPF"],"minKernel":"9.0"})", false},
      {R"("includes":{},"excludes":{},"comment":"x")", true},
  };
  for (const auto& c : kCases)
    EXPECT_EQ(Included(c.conditions, host), c.applies ? "allow" : "ENOSYS") << c.conditions;
}

TEST(SeccompJson, LeavesOutNamesOfOtherKernels) {
  const Profile profile(Compile(Text(
      "SCMP_ACT_ERRNO", R"({"names":["a_call_of_the_future","read"],"action":"SCMP_ACT_ALLOW"})")));
  EXPECT_EQ(profile.Of(kAmd64, "read"), "allow");
}

// A C library tries new calls and falls back on ENOSYS only.
TEST(SeccompJson, AnswersEnosysAboveTheNewestCallThatTheProfileKnows) {
  const Profile profile(Compile(Text(
      "SCMP_ACT_ERRNO", R"({"names":["read","faccessat2","socket"],"action":"SCMP_ACT_ALLOW"})")));
  for (const Arch& arch : kArches) {
    const int newest = Number(arch, "faccessat2");
    EXPECT_EQ(profile.OfNumber(arch, newest), "allow") << arch.name;
    EXPECT_EQ(profile.OfNumber(arch, newest + 1), "ENOSYS") << arch.name;
    EXPECT_EQ(profile.OfNumber(arch, newest + 20), "ENOSYS") << arch.name;
    EXPECT_EQ(profile.OfNumber(arch, newest - 1), "EPERM") << arch.name;
    EXPECT_EQ(profile.Of(arch, "read"), "allow") << arch.name;
  }
  const Profile socket(
      Compile(Text("SCMP_ACT_ERRNO", R"({"names":["read","socket"],"action":"SCMP_ACT_ALLOW"})")));
  EXPECT_EQ(socket.OfNumber(kI386, 359), "allow") << "socket(2) has a direct number on i386";
  const Profile blank(Compile(R"({"defaultAction":"SCMP_ACT_ERRNO"})"));
  EXPECT_EQ(blank.OfNumber(kAmd64, 900), "EPERM") << "a profile that knows no call";
}

TEST(SeccompJson, TakesFlags) {
  const auto flags = [](absl::string_view list) {
    const absl::StatusOr<SeccompProgram> program =
        Compile(absl::StrCat(R"({"defaultAction":"SCMP_ACT_ALLOW","flags":)", list, "}"));
    EXPECT_TRUE(program.ok()) << program.status();
    return program.ok() ? program->flags : ~0u;
  };
  EXPECT_EQ(flags("[]"), 0u);
  EXPECT_EQ(flags(R"(["SECCOMP_FILTER_FLAG_TSYNC"])"), 0u) << "one thread: nothing to do";
  EXPECT_EQ(flags(R"(["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW"])"),
            uint32_t{SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW});
  EXPECT_EQ(flags(R"(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"])"), 0u)
      << "the kernel refuses it without a listener";
}

TEST(SeccompJson, KeepsTheListenerWhereARuleNotifies) {
  const absl::StatusOr<SeccompProgram> program =
      Compile(R"({"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/run/agent.sock",
                  "listenerMetadata":"who","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
                  "syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]})");
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(program->listener_path, "/run/agent.sock");
  EXPECT_EQ(program->listener_metadata, "who");
  EXPECT_EQ(program->flags, uint32_t{SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV});
  EXPECT_EQ(Profile(program).Of(kAmd64, "mkdir"), "notify");
  const absl::StatusOr<SeccompProgram> quiet =
      Compile(R"({"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/run/agent.sock",
                  "syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY",
                               "includes":{"caps":["CAP_SYS_ADMIN"]}}]})");
  ASSERT_TRUE(quiet.ok()) << quiet.status();
  EXPECT_EQ(quiet->listener_path, "");
}

struct Refused {
  const char *name, *text, *message;
};

class SeccompJsonRefuses : public testing::TestWithParam<Refused> {};

TEST_P(SeccompJsonRefuses, NamingWhatAndWhere) {
  const absl::StatusOr<SeccompRules> rules = ParseSeccompJson(GetParam().text, {});
  ASSERT_FALSE(rules.ok());
  EXPECT_EQ(rules.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(rules.status().message()), HasSubstr(GetParam().message));
}

#define RULE(rest) R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],)" rest "}]}"
#define TOP(rest) R"({"defaultAction":"SCMP_ACT_ALLOW",)" rest "}"
INSTANTIATE_TEST_SUITE_P(
    Texts, SeccompJsonRefuses,
    testing::Values(
        Refused{"Empty", "", "text: not JSON"}, Refused{"Cut", R"({"defaultAction":)", "not JSON"},
        Refused{"List", "[]", "$: not an object"},
        Refused{"NoDefault", "{}", "$.defaultAction: missing"},
        Refused{"NullDefault", R"({"defaultAction":null})", "$.defaultAction: missing"},
        Refused{"UnknownDefault", R"({"defaultAction":"SCMP_ACT_MAYBE"})",
                "$.defaultAction: unknown action \"SCMP_ACT_MAYBE\""},
        Refused{"DefaultNotify", R"({"defaultAction":"SCMP_ACT_NOTIFY","listenerPath":"/a"})",
                "cannot be the default"},
        Refused{"UnknownKey", TOP(R"("syscall":[])"), "$: unknown key \"syscall\""},
        Refused{"DefaultErrnoOfAllow", TOP(R"("defaultErrnoRet":1)"),
                "$.defaultErrnoRet: SCMP_ACT_ALLOW has no errno"},
        Refused{"UnknownArch", TOP(R"("architectures":["SCMP_ARCH_VAX"])"),
                "$.architectures: unknown architecture \"SCMP_ARCH_VAX\""},
        Refused{"ArchAndMap", TOP(R"("architectures":["SCMP_ARCH_X86"],"archMap":[])"),
                "both \"architectures\" and \"archMap\""},
        Refused{"UnknownSubArch",
                TOP(R"("archMap":[{"architecture":"SCMP_ARCH_ARM","subArchitectures":["x"]}])"),
                "$.archMap[0]: unknown architecture \"x\""},
        Refused{"UnknownFlag", TOP(R"("flags":["SECCOMP_FILTER_FLAG_NEW_LISTENER"])"),
                "$.flags: unknown flag"},
        Refused{"MetadataAlone", TOP(R"("listenerMetadata":"x")"), "without a listenerPath"},
        Refused{"RelativeListener", TOP(R"("listenerPath":"run/x")"), "not an absolute path"},
        Refused{"NotifyWithoutListener", RULE(R"("action":"SCMP_ACT_NOTIFY")"),
                "$.listenerPath: missing"},
        Refused{
            "NotifyOfSendmsg",
            TOP(R"("listenerPath":"/a","syscalls":[{"names":["sendmsg"],"action":"SCMP_ACT_NOTIFY"}])"),
            "cannot be used for sendmsg"},
        Refused{"NoNames", TOP(R"("syscalls":[{"action":"SCMP_ACT_ALLOW"}])"),
                "$.syscalls[0].names: missing"},
        Refused{"EmptyName", TOP(R"("syscalls":[{"names":[""],"action":"SCMP_ACT_ALLOW"}])"),
                "an empty name"},
        Refused{"NameAndNames",
                TOP(R"("syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}])"),
                "both \"name\" and \"names\""},
        Refused{"NameIsNumber", TOP(R"("syscalls":[{"names":[7],"action":"SCMP_ACT_ALLOW"}])"),
                "$.syscalls[0].names[0]: not a string"},
        Refused{"NoAction", RULE(R"("comment":"x")"), "$.syscalls[0].action: missing"},
        Refused{"UnknownAction", RULE(R"("action":"allow")"),
                "$.syscalls[0].action: unknown action \"allow\""},
        Refused{"UnknownRuleKey", RULE(R"("action":"SCMP_ACT_ALLOW","include":{})"),
                "$.syscalls[0]: unknown key \"include\""},
        Refused{"ErrnoOfAllow", RULE(R"("action":"SCMP_ACT_ALLOW","errnoRet":1)"),
                "$.syscalls[0].errnoRet"},
        Refused{"ErrnoTooLarge", RULE(R"("action":"SCMP_ACT_ERRNO","errnoRet":4096)"),
                "4096 is above 4095"},
        Refused{"ErrnoNegative", RULE(R"("action":"SCMP_ACT_ERRNO","errnoRet":-1)"),
                "not a whole number"},
        Refused{"ErrnoFraction", RULE(R"("action":"SCMP_ACT_ERRNO","errnoRet":1.5)"),
                "not a whole number"},
        Refused{
            "ArgIndex",
            RULE(R"("action":"SCMP_ACT_ERRNO","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}])"),
            "$.syscalls[0].args[0].index: 6 is above 5"},
        Refused{"ArgWithoutIndex",
                RULE(R"("action":"SCMP_ACT_ERRNO","args":[{"value":1,"op":"SCMP_CMP_EQ"}])"),
                "index: missing"},
        Refused{"ArgWithoutValue",
                RULE(R"("action":"SCMP_ACT_ERRNO","args":[{"index":1,"op":"SCMP_CMP_EQ"}])"),
                "value: missing"},
        Refused{"ArgOperator",
                RULE(R"("action":"SCMP_ACT_ERRNO","args":[{"index":1,"value":1,"op":"=="}])"),
                "$.syscalls[0].args[0].op: unknown operator \"==\""},
        Refused{"UnknownCapability",
                RULE(R"("action":"SCMP_ACT_ERRNO","excludes":{"caps":["CAP_FLY"]})"),
                "$.syscalls[0].excludes.caps: unknown capability \"CAP_FLY\""},
        Refused{"AllIsNoCapability",
                RULE(R"("action":"SCMP_ACT_ERRNO","includes":{"caps":["ALL"]})"),
                "unknown capability \"ALL\""},
        Refused{"UnknownDockerArch",
                RULE(R"("action":"SCMP_ACT_ERRNO","includes":{"arches":["vax"]})"),
                "$.syscalls[0].includes.arches: unknown architecture \"vax\""},
        Refused{"KernelVersion",
                RULE(R"("action":"SCMP_ACT_ERRNO","includes":{"minKernel":"5.x"})"),
                "minKernel: \"5.x\" is no kernel version"},
        Refused{"UnknownCondition",
                RULE(R"("action":"SCMP_ACT_ERRNO","includes":{"maxKernel":"5.1"})"),
                "unknown key \"maxKernel\""}),
    [](const testing::TestParamInfo<Refused>& info) { return info.param.name; });

TEST(SeccompJson, RefusesLongAndDeepTexts) {
  const absl::StatusOr<SeccompRules> longer =
      ParseSeccompJson(std::string(kSeccompProfileMaxBytes + 1, ' '), {});
  EXPECT_THAT(std::string(longer.status().message()), HasSubstr("longer than 1048576 bytes"));
  const absl::StatusOr<SeccompRules> deep = ParseSeccompJson(
      absl::StrCat(R"({"defaultAction":")", std::string(9, '['),
                   "\",\"comment\":", std::string(100'000, '['), std::string(100'000, ']'), "}"),
      {});
  EXPECT_THAT(std::string(deep.status().message()), HasSubstr("nested too deep"));
}

TEST(SeccompJson, RefusesTwoActionsForTheSameArguments) {
  const absl::StatusOr<SeccompProgram> program = Compile(Text(
      "SCMP_ACT_KILL",
      R"({"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":3,"op":"SCMP_CMP_EQ"}]},
         {"names":["read"],"action":"SCMP_ACT_LOG","args":[{"index":0,"value":3,"op":"SCMP_CMP_EQ"}]})"));
  EXPECT_EQ(program.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(program.status().message()), HasSubstr("read: two actions"));
}

// The OCI text is itself a profile, and its filter answers the same.
TEST(WriteSeccompJson, SaysTheSameAsTheRules) {
  for (const uint64_t capabilities : {uint64_t{0}, DefaultCapabilities(), ~uint64_t{0}}) {
    const Profile own(CompileDefaultSeccompProfile(capabilities));
    const absl::StatusOr<std::string> text = OciDefaultSeccompJson(capabilities);
    ASSERT_TRUE(text.ok());
    const Profile again(Compile(*text));
    for (const Arch& arch : kArches) {
      const int base = arch.scmp == SCMP_ARCH_X32 ? 0x40000000 : 0;
      for (int number = base; number < base + 600; ++number) {
        for (const uint64_t first : {0, 8, 38, 40, 0x10000000}) {
          EXPECT_EQ(own.OfNumber(arch, number, {first}), again.OfNumber(arch, number, {first}))
              << arch.name << " " << number << " " << first;
        }
      }
    }
  }
}

TEST(WriteSeccompJson, DecidesConditionsAndKeepsTheRest) {
  const absl::StatusOr<std::string> text = OciSeccompJson(
      R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":13,
          "archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],
          "flags":["SECCOMP_FILTER_FLAG_LOG"],"listenerPath":"/a","listenerMetadata":"m",
          "syscalls":[{"name":"read","action":"SCMP_ACT_ALLOW","comment":"c"},
                      {"names":["bpf"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_BPF"]}},
                      {"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"},
                      {"names":["kill"],"action":"SCMP_ACT_TRACE","errnoRet":7,
                       "args":[{"index":1,"value":9,"op":"SCMP_CMP_NE"}]}]})",
      0);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(nlohmann::json::parse(*text), nlohmann::json::parse(R"({
        "defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":13,
        "architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],
        "flags":["SECCOMP_FILTER_FLAG_LOG"],"listenerPath":"/a","listenerMetadata":"m",
        "syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},
                    {"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"},
                    {"names":["kill"],"action":"SCMP_ACT_TRACE","errnoRet":7,
                     "args":[{"index":1,"value":9,"valueTwo":0,"op":"SCMP_CMP_NE"}]}]})"));
}

class ProfileFile : public testing::Test {
 protected:
  std::string Write(const std::string& name, absl::string_view text) {
    const std::string path = absl::StrCat(testing::TempDir(), "/seccomp-", getpid(), "-", name);
    std::ofstream(path, std::ios::trunc) << text;
    paths_.push_back(path);
    return path;
  }
  ~ProfileFile() override {
    for (const std::string& path : paths_) unlink(path.c_str());
  }
  std::vector<std::string> paths_;
  SeccompCache cache_;
};

TEST_F(ProfileFile, IsCompiledFromItsPresentContent) {
  const std::string path = Write("edited", R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
                          {"names":["mkdir"],"action":"SCMP_ACT_ERRNO"}]})");
  EXPECT_EQ(Profile(cache_.Localhost(path, 0)).Of(kAmd64, "mkdir"), "EPERM");
  EXPECT_EQ(Profile(cache_.Localhost(path, 0)).Of(kAmd64, "mkdir"), "EPERM");
  Write("edited", R"({"defaultAction":"SCMP_ACT_ALLOW"})");
  EXPECT_EQ(Profile(cache_.Localhost(path, 0)).Of(kAmd64, "mkdir"), "allow");
}

TEST_F(ProfileFile, IsCompiledForTheCapabilities) {
  const std::string path = Write("caps", R"({"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
                {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}}]})");
  EXPECT_EQ(Profile(cache_.Localhost(path, 0)).Of(kAmd64, "mount"), "EPERM");
  EXPECT_EQ(Profile(cache_.Localhost(path, ~uint64_t{0})).Of(kAmd64, "mount"), "allow");
}

TEST_F(ProfileFile, IsRefusedWithItsPathIfItIsNoProfile) {
  const std::string fifo = absl::StrCat(testing::TempDir(), "/seccomp-fifo-", getpid());
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  paths_.push_back(fifo);
  const struct {
    std::string path, message;
  } kCases[] = {
      {"/nowhere/profile.json", "/nowhere/profile.json: open"},
      {"profile.json", "not an absolute path"},
      {"", "not an absolute path"},
      {"/proc/self", "not a regular file"},
      {fifo, "not a regular file"},
      {Write("empty", ""), "empty"},
      {Write("blank", " \n\t"), "empty"},
      {Write("garbage", "{"), "not JSON"},
      {Write("huge", std::string(kSeccompProfileMaxBytes + 1, ' ')), "longer than"},
  };
  for (const auto& c : kCases) {
    const absl::Status status = cache_.Localhost(c.path, 0).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.path << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message));
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.path));
  }
}

TEST(SeccompCache, CompilesForEachSetOfCapabilities) {
  SeccompCache cache;
  const absl::StatusOr<SeccompProgram> first = cache.Default(0), again = cache.Default(0),
                                       other = cache.Default(~0ull);
  ASSERT_TRUE(first.ok() && again.ok() && other.ok());
  EXPECT_FALSE(first->filter.empty());
  EXPECT_EQ(first->filter, again->filter);
  EXPECT_NE(first->filter, other->filter);
  EXPECT_EQ(other->filter, CompileDefaultSeccompProfile(~0ull)->filter);
}

TEST(SeccompCache, ForgetsTheLeastUsedBeyondItsLimit) {
  SeccompCache cache;
  const absl::StatusOr<SeccompProgram> first = cache.Default(0);
  const std::string path = absl::StrCat(testing::TempDir(), "/seccomp-many-", getpid());
  for (size_t i = 0; i < SeccompCache::kKept + 2; ++i) {
    std::ofstream(path, std::ios::trunc)
        << R"({"defaultAction":"SCMP_ACT_ALLOW","comment":")" << i << "\"}";
    ASSERT_TRUE(cache.Localhost(path, 0).ok());
  }
  unlink(path.c_str());
  const absl::StatusOr<SeccompProgram> again = cache.Default(0);
  ASSERT_TRUE(first.ok() && again.ok());
  EXPECT_EQ(first->filter, again->filter);
}

}  // namespace
}  // namespace berth

#endif
