// Parts of berth-monitor that are plain enough to run in a test: the plan reader, the log writer,
// the event loop, the reading of cgroup files.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/unique_fd.h"
#include "src/kernel/file.h"
#include "src/runtime/container_plan.h"
#include "src/runtime/launch_plan.h"
#include "src/runtime/monitor/cgroup.h"
#include "src/runtime/monitor/log_writer.h"
#include "src/runtime/monitor/loop.h"
#include "src/runtime/monitor/plan.h"

namespace berth::monitor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

UniqueFd FileOf(const std::string& content) {
  UniqueFd file(memfd_create("test", MFD_CLOEXEC));
  EXPECT_EQ(write(file.get(), content.data(), content.size()),
            static_cast<ssize_t>(content.size()));
  return file;
}

// True if the reader takes it; then every step and string is walked and must lie inside of the
// plan.
bool Accepts(const std::string& bytes) {
  const UniqueFd file = FileOf(bytes);
  Plan plan;
  errno = 0;
  if (!plan.Map(file.get())) {
    EXPECT_EQ(errno, EBADMSG);
    return false;
  }
  const char* at = plan.begin();
  const char* const end = at - sizeof(wire::PlanHeader) + bytes.size();
  for (uint32_t i = 0; i < plan.step_count(); ++i) {
    if (end - at < static_cast<ptrdiff_t>(sizeof(wire::StepHeader)))
      return ADD_FAILURE() << "step " << i, true;
    const Step step(at);
    const char* cursor = step.strings();
    for (uint32_t s = 0; s < step.string_count(); ++s) {
      if (end - cursor < 5) return ADD_FAILURE() << "string " << s << " of step " << i, true;
      const std::string_view text = NextString(&cursor);
      if (cursor > end) return ADD_FAILURE() << "string " << s << " of step " << i, true;
      EXPECT_EQ(text.data()[text.size()], '\0');
    }
    EXPECT_EQ(cursor, at + step.bytes());
    at += step.bytes();
  }
  EXPECT_EQ(at, end);
  return true;
}

LaunchPlan SmallPlan() {
  LaunchPlan plan;
  plan.steps.push_back({.op = wire::Op::kSymlink, .strings = {"/dev/fd", "/proc/self/fd"}});
  plan.steps.push_back({.op = wire::Op::kSeccomp, .strings = {std::string("\0\1\2\0", 4)}});
  plan.steps.push_back({.op = wire::Op::kPivotRoot});
  plan.steps.push_back({.op = wire::Op::kExec, .strings = {"sh", "", "A=b"}, .a = 2, .b = 1});
  return plan;
}

TEST(PlanReader, ReadsWhatTheWriterWrote) {
  const UniqueFd file = FileOf(EncodePlan(SmallPlan()));
  Plan plan;
  ASSERT_TRUE(plan.Map(file.get()));
  ASSERT_EQ(plan.step_count(), 4u);
  const char* at = plan.begin();
  for (const PlanStep& expected : SmallPlan().steps) {
    const Step step(at);
    EXPECT_EQ(step.op(), expected.op);
    EXPECT_EQ(step.a(), expected.a);
    EXPECT_EQ(step.b(), expected.b);
    ASSERT_EQ(step.string_count(), expected.strings.size());
    for (size_t i = 0; i < expected.strings.size(); ++i)
      EXPECT_EQ(step.String(i), expected.strings[i]);
    EXPECT_EQ(step.String(step.string_count()), "");
    EXPECT_EQ(step.String(~0u), "");
    at += step.bytes();
  }
}

TEST(PlanReader, TakesAnEmptyPlanAndAWholeContainersPlan) {
  EXPECT_TRUE(Accepts(EncodePlan({})));
  const ContainerSpec spec = {
      .layers = {"layers/1"}, .args = {"sh"}, .masked_paths = {"/proc/kcore"}};
  EXPECT_TRUE(Accepts(EncodePlan(BuildContainerPlan(spec, {.v1_hierarchies = {"memory"}}, {}))));
}

TEST(PlanReader, RefusesEveryTruncation) {
  const std::string whole = EncodePlan(SmallPlan());
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(Accepts(whole.substr(0, size))) << size;
    // Also with a header that tells of the shorter size.
    std::string honest = whole.substr(0, size);
    if (size < sizeof(wire::PlanHeader)) continue;
    const auto told = static_cast<uint32_t>(size);
    std::memcpy(honest.data() + 4, &told, sizeof(told));
    EXPECT_FALSE(Accepts(honest)) << size;
  }
}

TEST(PlanReader, RefusesBytesBehindTheEnd) {
  std::string longer = EncodePlan(SmallPlan()) + std::string(1, '\0');
  EXPECT_FALSE(Accepts(longer));
  const auto told = static_cast<uint32_t>(longer.size());
  std::memcpy(longer.data() + 4, &told, sizeof(told));
  EXPECT_FALSE(Accepts(longer));
}

TEST(PlanReader, NeverLeavesThePlanWhateverByteIsChanged) {
  const std::string whole = EncodePlan(SmallPlan());
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = whole;
      changed[at] = static_cast<char>(value);
      Accepts(changed);
    }
  }
}

TEST(PlanReader, NeverLeavesThePlanWhateverLengthIsChanged) {
  const std::string whole = EncodePlan(SmallPlan());
  for (size_t at = 0; at + sizeof(uint32_t) <= whole.size(); ++at) {
    for (const uint32_t length :
         {0u, 1u, 35u, 36u, 37u, 0x7fffffffu, 0x80000000u, 0xfffffffau, 0xfffffffbu, 0xffffffffu}) {
      std::string changed = whole;
      std::memcpy(changed.data() + at, &length, sizeof(length));
      Accepts(changed);
    }
  }
}

// The field at `offset` of the first step's header, or of the plan's header for a negative one.
TEST(PlanReader, RefusesHeadersThatDoNotAgreeWithWhatFollows) {
  const std::string whole = EncodePlan(SmallPlan());
  const struct {
    const char* what;
    size_t offset;
  } fields[] = {{"magic", 0},
                {"bytes of the plan", 4},
                {"step count", 8},
                {"string count", 16 + 4},
                {"bytes of the step", 16 + 8}};
  for (const auto& field : fields) {
    uint32_t value;
    std::memcpy(&value, whole.data() + field.offset, sizeof(value));
    for (const uint32_t wrong : {value - 1, value + 1, 0u, 0xffffffffu}) {
      std::string changed = whole;
      std::memcpy(changed.data() + field.offset, &wrong, sizeof(wrong));
      EXPECT_FALSE(Accepts(changed)) << field.what << " = " << wrong;
    }
  }
}

TEST(PlanReader, RefusesAStringWithoutItsNul) {
  std::string bytes = EncodePlan(SmallPlan());
  const size_t nul = bytes.find("/dev/fd") + strlen("/dev/fd");
  ASSERT_EQ(bytes[nul], '\0');
  bytes[nul] = 'x';
  EXPECT_FALSE(Accepts(bytes));
}

TEST(PlanReader, RefusesMoreStringsThanItsLimit) {
  LaunchPlan plan;
  plan.steps.push_back(
      {.op = wire::Op::kExec, .strings = std::vector<std::string>(wire::kStepMaxStrings)});
  EXPECT_TRUE(Accepts(EncodePlan(plan)));
  plan.steps[0].strings.emplace_back();
  EXPECT_FALSE(Accepts(EncodePlan(plan)));
}

TEST(PlanReader, RefusesAFileThatIsTooLargeOrNoFile) {
  const UniqueFd large(memfd_create("large", MFD_CLOEXEC));
  ASSERT_EQ(ftruncate(large.get(), wire::kPlanMaxBytes + 1), 0);
  Plan plan;
  EXPECT_FALSE(plan.Map(large.get()));
  EXPECT_EQ(errno, EBADMSG);
  Plan none;
  EXPECT_FALSE(none.Map(-1));
  EXPECT_EQ(errno, EBADF);
}

// A log file and what was written to it.
class LogWriterTest : public testing::Test {
 protected:
  LogWriterTest() { Reopen(); }
  void Reopen() {
    file_.reset(memfd_create("log", MFD_CLOEXEC));
    writer_.SetFile(fcntl(file_.get(), F_DUPFD_CLOEXEC, 3));
  }
  void Write(LogWriter::Stream stream, const std::string& text) {
    writer_.Write(stream, text.data(), text.size());
  }

  // The file's records as "stdout F text"; each timestamp is checked and taken away.
  std::vector<std::string> Records() const {
    struct stat info;
    EXPECT_EQ(fstat(file_.get(), &info), 0);
    std::string content(info.st_size, '\0');
    EXPECT_EQ(pread(file_.get(), content.data(), content.size(), 0), info.st_size);
    std::vector<std::string> records;
    if (content.empty()) return records;
    EXPECT_EQ(content.back(), '\n');
    content.pop_back();
    static const std::regex timestamp("\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{9}Z ");
    for (absl::string_view line : absl::StrSplit(content, '\n')) {
      const std::string head(line.substr(0, 31));
      EXPECT_TRUE(std::regex_match(head, timestamp)) << head;
      records.emplace_back(line.substr(std::min<size_t>(31, line.size())));
    }
    return records;
  }

  UniqueFd file_;
  LogWriter writer_;
};

TEST_F(LogWriterTest, MakesARecordOfEachLine) {
  Write(LogWriter::kStdout, "one\ntwo\n");
  Write(LogWriter::kStderr, "three\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F one", "stdout F two", "stderr F three"));
}

TEST_F(LogWriterTest, KeepsLinesOfEachLengthWhereverTheyAreCut) {
  std::vector<std::string> lines;
  std::string text;
  for (size_t length = 0; length <= 70; ++length) {
    lines.push_back("stdout F ");
    for (size_t i = 0; i < length; ++i) lines.back() += static_cast<char>('!' + (length + i) % 90);
    absl::StrAppend(&text, absl::string_view(lines.back()).substr(9), "\n");
  }
  for (const size_t piece : {text.size(), size_t{1}, size_t{7}, size_t{17}, size_t{1000}}) {
    Reopen();
    for (size_t at = 0; at < text.size(); at += piece)
      Write(LogWriter::kStdout, text.substr(at, piece));
    EXPECT_EQ(Records(), lines) << "in pieces of " << piece;
  }
}

TEST_F(LogWriterTest, KeepsEmptyLines) {
  Write(LogWriter::kStdout, "\n\na\n\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F ", "stdout F ", "stdout F a", "stdout F "));
}

TEST_F(LogWriterTest, JoinsWhatCameInPieces) {
  Write(LogWriter::kStdout, "he");
  Write(LogWriter::kStdout, "llo");
  EXPECT_THAT(Records(), IsEmpty());
  Write(LogWriter::kStdout, " there\nnext");
  EXPECT_THAT(Records(), ElementsAre("stdout F hello there"));
}

TEST_F(LogWriterTest, KeepsPiecesOfTheTwoStreamsApart) {
  Write(LogWriter::kStdout, "out");
  Write(LogWriter::kStderr, "err");
  Write(LogWriter::kStdout, "put\n");
  Write(LogWriter::kStderr, "or\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F output", "stderr F error"));
}

TEST_F(LogWriterTest, LeavesTheEndWithoutANewlinePartial) {
  Write(LogWriter::kStdout, "no newline");
  writer_.Finish(LogWriter::kStdout);
  writer_.Finish(LogWriter::kStdout);
  writer_.Finish(LogWriter::kStderr);
  EXPECT_THAT(Records(), ElementsAre("stdout P no newline"));
}

TEST_F(LogWriterTest, KeepsNulAndOtherBytesAsTheyAre) {
  const std::string odd("a\0b\r\x1b\xff", 6);
  Write(LogWriter::kStdout, odd + "\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F " + odd));
}

std::string Line(size_t bytes) {
  std::string line;
  for (size_t i = 0; line.size() < bytes; ++i) line += absl::StrCat(i, ",");
  return line.substr(0, bytes);
}

TEST_F(LogWriterTest, CutsLinesAtTheLimitExactly) {
  for (const size_t bytes : {kMaxLineBytes - 1, kMaxLineBytes, kMaxLineBytes + 1, 2 * kMaxLineBytes,
                             2 * kMaxLineBytes + 1, 5 * kMaxLineBytes + 7}) {
    // In one piece, and in pieces that fall anywhere.
    for (const size_t piece :
         {bytes + 1, size_t{1}, size_t{1000}, kMaxLineBytes, kMaxLineBytes - 1}) {
      Reopen();
      const std::string text = Line(bytes) + "\n";
      for (size_t at = 0; at < text.size(); at += piece)
        Write(LogWriter::kStdout, text.substr(at, piece));
      const std::vector<std::string> records = Records();
      ASSERT_EQ(records.size(), (bytes + kMaxLineBytes - 1) / kMaxLineBytes)
          << bytes << " in pieces of " << piece;
      std::string joined;
      for (size_t i = 0; i < records.size(); ++i) {
        EXPECT_EQ(records[i].substr(0, 9), i + 1 < records.size() ? "stdout P " : "stdout F ");
        EXPECT_LE(records[i].size(), kMaxLineBytes + 9);
        joined += records[i].substr(9);
      }
      EXPECT_EQ(joined + "\n", text) << bytes << " in pieces of " << piece;
    }
  }
}

TEST_F(LogWriterTest, TakesMoreInOneCallThanItsBufferHolds) {
  std::string text;
  std::vector<std::string> expected;
  for (int i = 0; i < 20000; ++i) {
    absl::StrAppend(&text, i, "\n");
    expected.push_back(absl::StrCat("stdout F ", i));
  }
  Write(LogWriter::kStdout, text);
  EXPECT_EQ(Records(), expected);
}

TEST_F(LogWriterTest, ReopenLeavesNoByteForTheOldFile) {
  Write(LogWriter::kStdout, "old\nhalf");
  writer_.Flush();
  EXPECT_THAT(Records(), ElementsAre("stdout F old", "stdout P half"));
  Reopen();
  Write(LogWriter::kStdout, " rest\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F  rest"));
}

TEST_F(LogWriterTest, DropsOutputWithoutAFile) {
  writer_.SetFile(-1);
  Write(LogWriter::kStdout, "nobody reads this\npart");
  writer_.Flush();
  EXPECT_EQ(writer_.dropped_bytes(), 0u);
  Reopen();
  Write(LogWriter::kStdout, "x\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F x"));
}

TEST_F(LogWriterTest, KeepsNoMoreInAFileThanItsLimit) {
  writer_.SetLimits({.bytes_per_second = 0, .max_bytes = 100});
  Write(LogWriter::kStdout, "one\n");    // 44 bytes of record
  Write(LogWriter::kStdout, "two\n");    // 88
  Write(LogWriter::kStdout, "three\n");  // dropped
  EXPECT_THAT(Records(), ElementsAre("stdout F one", "stdout F two"));
  EXPECT_EQ(writer_.dropped_bytes(), 6u);
  Reopen();
  Write(LogWriter::kStdout, "four\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F four"));
}

TEST_F(LogWriterTest, DropsTheRestOfALineWithIt) {
  writer_.SetLimits({.bytes_per_second = 0, .max_bytes = kMaxLineBytes + 200});
  Write(LogWriter::kStdout, std::string(3 * kMaxLineBytes, 'x') + "\nnext\n");
  // What there is of the line ends where it was cut off: "next" does not become its end.
  EXPECT_THAT(Records(), ElementsAre("stdout P " + std::string(kMaxLineBytes, 'x'), "stdout F ",
                                     "stdout F next"));
  EXPECT_EQ(writer_.dropped_bytes(), 2 * kMaxLineBytes + 1);
}

TEST_F(LogWriterTest, LetsASecondsWorthThroughAtOnce) {
  writer_.SetLimits({.bytes_per_second = 1000, .max_bytes = 0});
  for (int i = 0; i < 1000; ++i) Write(LogWriter::kStderr, "0123456789\n");  // 51 bytes of record
  const size_t kept = Records().size();
  EXPECT_GE(kept, 19u);
  EXPECT_LT(kept, 900u) << "a rate that is no limit";
  EXPECT_EQ(writer_.dropped_bytes(), (1000 - kept) * 11);
}

TEST_F(LogWriterTest, CountsWhatCouldNotBeWrittenAndGoesOn) {
  writer_.SetFile(open("/dev/full", O_WRONLY | O_CLOEXEC));
  Write(LogWriter::kStdout, "lost\n");
  EXPECT_EQ(writer_.dropped_bytes(), strlen("2026-01-02T03:04:05.123456789Z stdout F lost\n"));
  Reopen();
  Write(LogWriter::kStdout, "kept\n");
  EXPECT_THAT(Records(), ElementsAre("stdout F kept"));
}

TEST_F(LogWriterTest, ARecordCutOffByAFullDiskSpoilsNoOtherRecord) {
  // RLIMIT_FSIZE cuts a write as a full disk does.
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {.rlim_cur = 60, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  Write(LogWriter::kStdout, "one\n");
  Write(LogWriter::kStdout, "two\n");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  Write(LogWriter::kStdout, "three\n");
  EXPECT_GT(writer_.dropped_bytes(), 0u);
  std::string content(1000, '\0');
  content.resize(pread(file_.get(), content.data(), content.size(), 0));
  const std::vector<std::string> lines = absl::StrSplit(content, '\n');
  ASSERT_EQ(lines.size(), 4u) << content;
  EXPECT_EQ(lines[0].substr(31), "stdout F one");
  EXPECT_EQ(lines[2].substr(31), "stdout F three");
}

// What a callback was told, in order.
struct Calls {
  Loop* loop = nullptr;
  std::vector<std::string> names;
  size_t stop_after = 0;
};
struct NamedTimer {
  Calls* calls;
  std::string name;
  Timer timer;
};

void Prepare(NamedTimer* timer) {
  timer->timer.owner = timer;
  timer->timer.fire = [](void* owner) {
    auto* self = static_cast<NamedTimer*>(owner);
    self->calls->names.push_back(self->name);
    if (self->calls->names.size() == self->calls->stop_after) self->calls->loop->Stop();
  };
}

TEST(Loop, FiresEachDueTimerOnceAndNoneThatWasDisarmed) {
  Loop loop;
  ASSERT_TRUE(loop.Open());
  Calls calls{.loop = &loop, .stop_after = 2};
  NamedTimer a{&calls, "a", {}}, b{&calls, "b", {}}, c{&calls, "c", {}};
  for (NamedTimer* timer : {&a, &b, &c}) Prepare(timer);
  loop.Arm(&a.timer, 0);
  loop.Arm(&b.timer, 0);
  loop.Arm(&c.timer, 0);
  loop.Disarm(&b.timer);
  loop.Disarm(&b.timer);
  loop.Run();
  EXPECT_THAT(calls.names, testing::UnorderedElementsAre("a", "c"));
  EXPECT_FALSE(a.timer.armed);
}

TEST(Loop, ArmingAgainMovesTheDeadline) {
  Loop loop;
  ASSERT_TRUE(loop.Open());
  Calls calls{.loop = &loop, .stop_after = 1};
  NamedTimer never{&calls, "never", {}}, now{&calls, "now", {}};
  Prepare(&never);
  Prepare(&now);
  loop.Arm(&never.timer, 0);
  loop.Arm(&never.timer, 1000000);
  loop.Arm(&now.timer, 1000000);
  loop.Arm(&now.timer, 0);
  loop.Run();
  EXPECT_THAT(calls.names, ElementsAre("now"));
}

TEST(Loop, ACallbackMayDisarmTheOthers) {
  Loop loop;
  ASSERT_TRUE(loop.Open());
  Calls calls{.loop = &loop};
  NamedTimer a{&calls, "a", {}}, b{&calls, "b", {}};
  struct Pair {
    Loop* loop;
    NamedTimer *a, *b;
    int fired = 0;
  } pair{&loop, &a, &b};
  for (NamedTimer* timer : {&a, &b}) {
    timer->timer.owner = &pair;
    timer->timer.fire = [](void* owner) {
      auto* self = static_cast<Pair*>(owner);
      ++self->fired;
      self->loop->Disarm(&self->a->timer);
      self->loop->Disarm(&self->b->timer);
      self->loop->Stop();
    };
    loop.Arm(&timer->timer, 0);
  }
  loop.Run();
  EXPECT_EQ(pair.fired, 1);
}

TEST(Loop, TellsOfAReadableDescriptorUntilItIsRemoved) {
  Loop loop;
  ASSERT_TRUE(loop.Open());
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]), write_end(ends[1]);
  struct Reader {
    Loop* loop;
    int fd, which = -1, calls = 0;
    NamedTimer last;
  } reader{&loop, read_end.get(), -1, 0, {}};
  Calls calls{.loop = &loop, .stop_after = 1};
  reader.last = {&calls, "last", {}};
  Prepare(&reader.last);
  Handler handler = {[](void* owner, int which) {
                       auto* self = static_cast<Reader*>(owner);
                       self->which = which;
                       ++self->calls;
                       self->loop->Remove(self->fd);  // it stays readable
                       self->loop->Arm(&self->last.timer, 0);
                     },
                     &reader, 7};
  ASSERT_TRUE(loop.Add(read_end.get(), &handler));
  ASSERT_EQ(write(write_end.get(), "x", 1), 1);
  loop.Run();
  EXPECT_EQ(reader.which, 7);
  EXPECT_EQ(reader.calls, 1);
}

class CgroupFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/cgroup-files-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
    directory_.reset(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  void Put(const std::string& name, const std::string& text) {
    std::ofstream(path_ + "/" + name) << text;
  }
  std::string path_;
  UniqueFd directory_;
};

TEST_F(CgroupFilesTest, CountsOomKillsOfV2) {
  Put("memory.events", "low 0\nhigh 0\nmax 12\noom 5\noom_kill 3\noom_group_kill 1\n");
  EXPECT_EQ(OomKills(directory_.get()), 3);
}

TEST_F(CgroupFilesTest, CountsOomKillsOfV1) {
  Put("memory.oom_control", "oom_kill_disable 9\nunder_oom 8\noom_kill 2\n");
  EXPECT_EQ(OomKills(directory_.get()), 2);
}

TEST_F(CgroupFilesTest, CountsNoOomKillsWhereNobodyCounts) {
  EXPECT_EQ(OomKills(-1), 0);
  EXPECT_EQ(OomKills(directory_.get()), 0);
  Put("memory.events", "low 0\n");
  EXPECT_EQ(OomKills(directory_.get()), 0);
}

TEST_F(CgroupFilesTest, KnowsAnEmptyCgroup) {
  EXPECT_FALSE(CgroupIsEmpty(directory_.get()));  // as one that was removed
  Put("cgroup.procs", "");
  EXPECT_TRUE(CgroupIsEmpty(directory_.get()));
  ASSERT_EQ(mkdirat(directory_.get(), "below", 0755), 0);
  EXPECT_FALSE(CgroupIsEmpty(directory_.get()));
  ASSERT_EQ(unlinkat(directory_.get(), "below", AT_REMOVEDIR), 0);
  Put("cgroup.procs", "1\n");
  EXPECT_FALSE(CgroupIsEmpty(directory_.get()));
}

TEST_F(CgroupFilesTest, KillsByTheKillFileWhereThereIsOne) {
  Put("cgroup.kill", "");
  Put("cgroup.procs", "");
  KillCgroup(directory_.get());
  std::ifstream file(path_ + "/cgroup.kill");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "1");
}

}  // namespace
}  // namespace berth::monitor
