// berth cp: out of containers and into them, whatever state they are in, and whoever is hostile.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <utime.h>

#include <filesystem>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/e2e/berth_command.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/hostile.h"
#include "test/e2e/own_node.h"
#include "test/e2e/volume.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CopyTest : public E2eTest {
 protected:
  void SetUp() override {
    E2eTest::SetUp();
    if (!HasFatalFailure()) dir_.emplace(Name());
  }
  void TearDown() override {
    pod_.reset();
    dir_.reset();
    E2eTest::TearDown();
  }
  CommandResult Cp(const std::vector<std::string>& arguments, const std::string& input = "") {
    std::vector<std::string> all = {"cp"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    auto result = RunBerth(node().daemon().socket(), all, input);
    EXPECT_OK(result);
    return result.ok() ? *std::move(result) : CommandResult{};
  }
  void Good(const std::vector<std::string>& arguments, const std::string& input = "") {
    const CommandResult result = Cp(arguments, input);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.err, IsEmpty());
  }
  void Bad(const std::vector<std::string>& arguments, const std::string& said) {
    const CommandResult result = Cp(arguments);
    EXPECT_EQ(result.code, 1) << absl::StrCat(result.out, result.err);
    EXPECT_THAT(result.err, HasSubstr(said));
  }
  Pod& pod() {
    if (!pod_.has_value()) {
      auto pod = Pod::Run(client(), MakePodConfig(Name()));
      EXPECT_OK(pod);
      pod_.emplace(*std::move(pod));
    }
    return *pod_;
  }
  std::string Running(const cri::ContainerConfig& config) {
    auto id = pod().RunContainer(config);
    EXPECT_OK(id);
    return id.value_or("");
  }
  std::string Running() { return Running(MakeProbe("c", {"sleep"})); }
  std::string Created() {
    auto id = pod().Create(MakeProbe("c", {"sleep"}));
    EXPECT_OK(id);
    return id.value_or("");
  }
  std::string Exited() {
    auto finished = pod().RunToEnd(MakeProbe("c", {"write", "/data/left", "5"}));
    EXPECT_OK(finished);
    return finished.ok() ? finished->id : "";
  }
  // What the container sees there.
  std::string Inside(const std::string& id, const std::string& path) {
    const auto result = client().Exec(id, {"/probe", "read", path});
    EXPECT_OK(result);
    return result.ok() ? result->stdout() : "";
  }
  HostDir& dir() { return *dir_; }

 private:
  std::optional<Pod> pod_;
  std::optional<HostDir> dir_;
};

TEST_F(CopyTest, IntoARunningContainerAndBack) {
  const std::string id = Running();
  dir().Write("tree/a", "alpha");
  dir().Write("tree/sub/b", "beta", 0640);
  Good({dir() / "tree", id + ":/tmp"});
  EXPECT_EQ(Inside(id, "/tmp/tree/sub/b"), "beta");
  Good({id + ":/tmp/tree", dir() / "back"});
  EXPECT_EQ(dir().Read("back/a"), "alpha");
  EXPECT_EQ(dir().Read("back/sub/b"), "beta");
  struct stat st;
  ASSERT_EQ(stat((dir() / "back/sub/b").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777u, 0640u);
}

TEST_F(CopyTest, KeepsModeAndTimeAndOwnersOnlyOnRequest) {
  const std::string id = Running();
  const std::string file = dir().Write("file", "x", 04711);
  ASSERT_EQ(chown(file.c_str(), 1000, 2000), 0);
  ASSERT_EQ(chmod(file.c_str(), 04711), 0);
  const timespec times[2] = {{1234567890, 123456789}, {1234567890, 123456789}};
  ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  Good({file, id + ":/tmp/plain"});
  Good({"-a", file, id + ":/tmp/archived"});
  ASSERT_OK_AND_ASSIGN(const Json seen,
                       pod().ExecForJson(id, {"paths", "/tmp/plain", "/tmp/archived"}));
  EXPECT_EQ(seen["/tmp/plain"]["uid"], 0) << seen;
  EXPECT_EQ(seen["/tmp/archived"]["uid"], 1000) << seen;
  EXPECT_EQ(seen["/tmp/archived"]["gid"], 2000) << seen;
  Good({id + ":/tmp/archived", dir() / "plain"});
  Good({"-a", id + ":/tmp/archived", dir() / "archived"});
  struct stat st;
  ASSERT_EQ(stat((dir() / "plain").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 0u);
  EXPECT_EQ(st.st_mode & 07777u, 0711u);  // a set-user-id file of a stranger stays harmless
  EXPECT_EQ(st.st_mtim.tv_sec, 1234567890);
  EXPECT_EQ(st.st_mtim.tv_nsec, 123456789);
  ASSERT_EQ(stat((dir() / "archived").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 1000u);
  EXPECT_EQ(st.st_gid, 2000u);
  EXPECT_EQ(st.st_mode & 07777u, 04711u);
}

TEST_F(CopyTest, IntoAContainerBeforeItsStart) {
  const std::string id = Created();
  dir().Write("file", "early");
  Good({dir() / "file", id + ":/data/file"});
  Good({id + ":/data/file", dir() / "back"});
  EXPECT_EQ(dir().Read("back"), "early");
  ASSERT_OK(client().Start(id));
  EXPECT_EQ(Inside(id, "/data/file"), "early");
}

TEST_F(CopyTest, OutOfAnExitedContainerAndIntoIt) {
  const std::string id = Exited();
  Good({id + ":/data/left", dir() / "left"});
  EXPECT_EQ(dir().Read("left"), std::string(5, '\0'));
  Good({id + ":/etc/passwd", dir() / "passwd"});
  EXPECT_THAT(dir().Read("passwd"), HasSubstr("root"));
  dir().Write("late", "late");
  Good({dir() / "late", id + ":/etc/late"});
  Good({dir() / "late", id + ":/etc/late2"});  // and the layer can be mounted again
  Good({id + ":/etc/late2", dir() / "back"});
  EXPECT_EQ(dir().Read("back"), "late");
}

struct RuleCase {
  const char* name;
  std::vector<std::string> source, destination;  // what stands behind "FROM/" and "TO/"
  const char* made;                              // below TO; "" for an error
  const char* said;
};
// Docker's rules, both ways: FROM has file and dir/inner, TO has there (a file) and here (a
// directory).
const RuleCase kRules[] = {
    {"FileToNewName", {"file"}, {"new"}, "new", ""},
    {"FileToNewDirectory", {"file"}, {"new/"}, "", "does not exist"},
    {"FileOverFile", {"file"}, {"there"}, "there", ""},
    {"FileOverFileWithSlash", {"file"}, {"there/"}, "", "irectory"},
    {"FileIntoDirectory", {"file"}, {"here"}, "here/file", ""},
    {"FileIntoMissingParent", {"file"}, {"no/new"}, "", "o such file"},
    {"DirectoryToNewName", {"dir"}, {"new"}, "new/inner", ""},
    {"DirectoryToNewNameWithSlash", {"dir"}, {"new/"}, "new/inner", ""},
    {"DirectoryOverFile", {"dir"}, {"there"}, "", "over a file"},
    {"DirectoryIntoDirectory", {"dir"}, {"here"}, "here/dir/inner", ""},
    {"ContentsIntoDirectory", {"dir/."}, {"here"}, "here/inner", ""},
    {"ContentsToNewName", {"dir/."}, {"new"}, "new/inner", ""},
    {"FileWithSlash", {"file/"}, {"new"}, "", "irectory"},
    {"Missing", {"nothing"}, {"new"}, "", "o such file"},
};
class CopyRuleTest : public CopyTest, public testing::WithParamInterface<RuleCase> {};

TEST_P(CopyRuleTest, HoldsBothWays) {
  const RuleCase& rule = GetParam();
  dir().Write("from/file", "content");
  dir().Write("from/dir/inner", "content");
  dir().Write("to/there", "old");
  dir().MakeDir("to/here");
  const std::string id = Running();
  Good({dir() / "from", id + ":/tmp/from"});
  Good({dir() / "to", id + ":/tmp/to"});
  const std::string from = "from/" + rule.source[0], to = "to/" + rule.destination[0];
  if (*rule.made == '\0') {
    Bad({dir() / from, id + ":/tmp/" + to}, rule.said);
    Bad({id + ":/tmp/" + from, dir() / to}, rule.said);
    return;
  }
  Good({dir() / from, id + ":/tmp/" + to});
  EXPECT_EQ(Inside(id, absl::StrCat("/tmp/to/", rule.made)), "content");
  Good({id + ":/tmp/" + from, dir() / to});
  EXPECT_EQ(dir().Read(absl::StrCat("to/", rule.made)), "content");
}

INSTANTIATE_TEST_SUITE_P(Rules, CopyRuleTest, testing::ValuesIn(kRules),
                         [](const auto& info) { return info.param.name; });

TEST_F(CopyTest, LinksAreCopiedAndFollowedOnRequest) {
  const std::string id = Running();
  dir().Write("file", "content");
  fs::create_symlink("file", dir() / "link");
  fs::create_symlink("/tmp/file", dir() / "absolute");
  Good({dir() / "file", id + ":/tmp/file"});
  Good({dir() / "link", id + ":/tmp/link"});
  Good({dir() / "absolute", id + ":/tmp/absolute"});
  Good({id + ":/tmp/link", dir() / "as-link"});
  EXPECT_TRUE(fs::is_symlink(dir() / "as-link"));
  Good({"-L", id + ":/tmp/absolute", dir() / "as-file"});
  EXPECT_FALSE(fs::is_symlink(dir() / "as-file"));
  EXPECT_EQ(dir().Read("as-file"), "content");
  Good({"-L", dir() / "link", id + ":/tmp/followed"});
  dir().Write("other", "through");
  Good({dir() / "other", id + ":/tmp/absolute"});  // what it names, in the container
  EXPECT_EQ(Inside(id, "/tmp/file"), "through");
}

TEST_F(CopyTest, TarStreams) {
  const std::string id = Running();
  const std::string archive = Tar({Dir("site"), File("site/index", "hello")});
  Good({"-", id + ":/tmp"}, archive);
  EXPECT_EQ(Inside(id, "/tmp/site/index"), "hello");
  const CommandResult out = Cp({id + ":/tmp/site", "-"});
  EXPECT_EQ(out.code, 0) << out.err;
  Good({"-", id + ":/data"}, out.out);
  EXPECT_EQ(Inside(id, "/data/site/index"), "hello");
  Bad({"-", id + ":/etc/passwd"}, "not a directory");
  const CommandResult junk = Cp({"-", id + ":/tmp"}, std::string(2000, 'j'));
  EXPECT_EQ(junk.code, 1);
  EXPECT_THAT(junk.err, HasSubstr("tar"));
  const CommandResult cut = Cp({"-", id + ":/tmp"}, archive.substr(0, 700));
  EXPECT_EQ(cut.code, 1);
}

TEST_F(CopyTest, MuchIsCarriedBothWays) {
  const std::string id = Running();
  std::string much;
  for (int i = 0; much.size() < 30'000'000; ++i) absl::StrAppend(&much, i, "\n");
  dir().Write("much", much);
  Good({dir() / "much", id + ":/tmp/much"});
  Good({id + ":/tmp/much", dir() / "back"});
  EXPECT_TRUE(dir().Read("back") == much);
}

TEST_F(CopyTest, VolumesAreThereWhileTheContainerRuns) {
  HostDir volume(Name("-volume"));
  volume.Write("file", "on the volume");
  cri::ContainerConfig config = MakeProbe("c", {"sleep"});
  cri::Mount* mount = config.add_mounts();
  mount->set_host_path(volume.path());
  mount->set_container_path("/data");
  cri::Mount* fixed = config.add_mounts();
  fixed->set_host_path(volume.path());
  fixed->set_container_path("/fixed");
  fixed->set_readonly(true);
  const std::string id = Running(config);
  Good({id + ":/data/file", dir() / "file"});
  EXPECT_EQ(dir().Read("file"), "on the volume");
  dir().Write("new", "new");
  Good({dir() / "new", id + ":/data"});
  EXPECT_EQ(volume.Read("new"), "new");
  Bad({dir() / "new", id + ":/fixed"}, "ead-only file system");
  ASSERT_OK(client().Stop(id, 0));
  Bad({id + ":/data/file", dir() / "x"}, "only while the container runs");
  Bad({dir() / "new", id + ":/data"}, "only while the container runs");
}

TEST_F(CopyTest, AReadOnlyRootIsRefused) {
  cri::ContainerConfig config = MakeProbe("c", {"sleep"});
  Security(config)->set_readonly_rootfs(true);
  ASSERT_OK_AND_ASSIGN(const std::string id, pod().Create(config));
  dir().Write("file", "x");
  Bad({dir() / "file", id + ":/data/file"}, "read-only");
  Good({id + ":/etc/passwd", dir() / "passwd"});
  ASSERT_OK(client().Start(id));
  Bad({dir() / "file", id + ":/data/file"}, "ead-only");
  Good({id + ":/etc/passwd", dir() / "passwd"});
}

TEST_F(CopyTest, InAPodWithAUserNamespaceFilesAreItsRoots) {
  cri::PodSandboxConfig pod_config = MakePodConfig(Name("-userns"));
  cri::UserNamespace* user = NamespaceOptions(pod_config)->mutable_userns_options();
  user->set_mode(cri::POD);
  for (auto* map : {user->add_uids(), user->add_gids()}) {
    map->set_host_id(200000);
    map->set_container_id(0);
    map->set_length(65536);
  }
  auto own = Pod::Run(client(), pod_config);
  ASSERT_OK(own);
  cri::ContainerConfig config = MakeProbe("c", {"sleep"});
  *NamespaceOptions(config)->mutable_userns_options() = *user;
  ASSERT_OK_AND_ASSIGN(const std::string id, own->Create(config));
  dir().Write("file", "x");
  Good({dir() / "file", id + ":/data/before"});
  ASSERT_OK(client().Start(id));
  Good({dir() / "file", id + ":/data/while"});
  ASSERT_OK_AND_ASSIGN(const Json seen,
                       own->ExecForJson(id, {"paths", "/data/before", "/data/while"}));
  EXPECT_EQ(seen["/data/before"]["uid"], 0) << seen;
  EXPECT_EQ(seen["/data/while"]["uid"], 0) << seen;
  Good({id + ":/data/while", dir() / "back"});
  EXPECT_EQ(dir().Read("back"), "x");
}

TEST_F(CopyTest, AStartEndsACopyThatRuns) {
  const std::string id = Created();
  ASSERT_OK_AND_ASSIGN(
      Child child, Child::Start(BerthArgv(node().daemon().socket(), {"cp", "-", id + ":/tmp"})));
  const std::string begin = Tar({File("big", std::string(4'000'000, 'b'))}).substr(0, 1'000'000);
  ASSERT_EQ(write(child.pipes().in.get(), begin.data(), 60'000), 60'000);
  ASSERT_TRUE(Eventually(absl::Seconds(30), [&] {
    return absl::StrContains(RunBerth(node().daemon().socket(), {"ps", "-a"})->out, "c");
  }));
  ASSERT_OK(client().Start(id));
  ASSERT_OK(client().Remove(id));
  child.pipes().in.reset();
  const auto code = child.Wait(absl::Seconds(30));
  ASSERT_TRUE(code.has_value());
  EXPECT_EQ(*code, 1);
}

TEST_F(CopyTest, AnAbortedCopyLeavesNothingBehind) {
  const std::string id = Running();
  for (int i = 0; i < 20; ++i) {
    ASSERT_OK_AND_ASSIGN(
        Child child,
        Child::Start(BerthArgv(node().daemon().socket(),
                               i % 2 == 0 ? std::vector<std::string>{"cp", "-", id + ":/tmp"}
                                          : std::vector<std::string>{"cp", id + ":/", "-"})));
    absl::SleepFor(absl::Milliseconds(i));
    ::kill(child.pid(), i % 3 == 0 ? SIGINT : SIGKILL);
    EXPECT_TRUE(child.Wait(absl::Seconds(30)).has_value());
  }
}

// S-14, S-42, S-46: the container exchanges a directory for a link to the node's files all the
// time; the copy sees either, in the container, and never the node.
TEST_F(CopyTest, S_14_ASwappingContainerGainsNothing) {
  const Canary canary(Name("-canary"));
  const std::string id = Running();
  dir().Write("tree/d/file", "bait");
  Good({dir() / "tree/.", id + ":/tmp"});
  ASSERT_OK(pod().RunToEnd(MakeProbe("nothing", {"exit", "0"})));
  std::thread swapper([&] {
    client().Exec(id, {"/probe", "swap", "/tmp/d", canary.path()}, 6).IgnoreError();
  });
  dir().Write("in/file", "copied");
  int in = 0, out = 0;
  for (int i = 0; i < 40; ++i) {
    in += Cp({dir() / "in/.", id + ":/tmp/d"}).code == 0;
    const CommandResult result = Cp({id + ":/tmp/d", "-"});
    out += result.code == 0;
    EXPECT_THAT(result.out, testing::Not(HasSubstr("sings")));
  }
  swapper.join();
  RecordProperty("in", in);
  RecordProperty("out", out);
}

// A hostile image's links, and what it sends to this machine.
TEST_F(CopyTest, S_46_LinksOfTheContainerLeadNowhereOnTheNode) {
  const Canary canary(Name("-canary"));
  const std::string id = Running();
  const std::string archive =
      Tar({Symlink("out", canary.path()), Symlink("up", "../../../../../../../.."), Dir("d"),
           Symlink("d/out", canary.path())});
  Good({"-", id + ":/tmp"}, archive);
  Bad({id + ":/tmp/out/canary", dir() / "x"}, "o such file");
  dir().Write("file", "x");
  Bad({dir() / "file", id + ":/tmp/out/made"}, "o such file");
  Good({dir() / "file", id + ":/tmp/up/data/made"});
  EXPECT_EQ(Inside(id, "/data/made"), "x");
  Good({id + ":/tmp/d", dir() / "copy"});
  // A second copy does not go through the link that the first one brought.
  Good({"-", id + ":/data"}, Tar({Dir("d"), Dir("d/out"), File("d/out/evil", "x")}));
  Bad({id + ":/data/d/.", dir() / "copy"}, "in the way");
}

}  // namespace
}  // namespace berth::e2e
