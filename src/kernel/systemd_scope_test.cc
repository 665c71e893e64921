// Names of slices; and SystemdScopes in conversation with a manager of the test's own, on a
// dbus-daemon of the test's own.
#include "src/kernel/systemd_scope.h"
#include "src/base/steady_time.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace berth {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

TEST(SliceOfCgroupParent, IsTheBaseName) {
  const struct {
    const char *parent, *slice, *path;
  } cases[] = {
      {"system.slice", "system.slice", "/system.slice"},
      {"/test.slice", "test.slice", "/test.slice"},
      {"kubepods-burstable-podX_1.slice", "kubepods-burstable-podX_1.slice",
       "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podX_1.slice"},
      {"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podX.slice",
       "kubepods-burstable-podX.slice",
       "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podX.slice"},
      {"-.slice", "-.slice", ""},
  };
  for (const auto& each : cases) {
    const absl::StatusOr<std::string> slice = SliceOfCgroupParent(each.parent);
    ASSERT_TRUE(slice.ok()) << slice.status();
    EXPECT_EQ(*slice, each.slice);
    EXPECT_EQ(SliceCgroupPath(*slice), each.path);
    EXPECT_EQ(ScopeCgroupPath(*slice, "berth-1.scope"), absl::StrCat(each.path, "/berth-1.scope"));
  }
}

TEST(SliceOfCgroupParent, RefusesWhatIsNoSlice) {
  for (const std::string& parent :
       {std::string(), std::string("/"), std::string("/kubepods/burstable/pod1"),
        std::string("a.slice/"), std::string("/a.slice/b"), std::string(".slice"),
        std::string("--.slice"), std::string("-a.slice"), std::string("a-.slice"),
        std::string("a--b.slice"), std::string("a b.slice"), std::string("a\n.slice"),
        std::string("../../system.slice"), std::string("a\0b.slice", 9),
        std::string(300, 'a') + ".slice"}) {
    EXPECT_EQ(SliceOfCgroupParent(parent).status().code(), absl::StatusCode::kInvalidArgument)
        << parent;
  }
}

// What systemd's manager does for these calls, as far as the bus sees it.
class FakeManager {
 public:
  enum class Jobs { kDone, kFail, kNever };

  explicit FakeManager(const std::string& address) {
    sd_bus_new(&bus_);
    sd_bus_set_address(bus_, address.c_str());
    sd_bus_set_bus_client(bus_, 1);
    started_ = sd_bus_start(bus_) >= 0 &&
               sd_bus_add_object_vtable(bus_, nullptr, "/org/freedesktop/systemd1", kInterface,
                                        kMethods, this) >= 0 &&
               sd_bus_request_name(bus_, "org.freedesktop.systemd1", 0) >= 0;
    thread_ = std::thread([this] {
      while (!ended_) {
        if (sd_bus_process(bus_, nullptr) <= 0) sd_bus_wait(bus_, 10000);
      }
    });
  }
  ~FakeManager() {
    ended_ = true;
    thread_.join();
    sd_bus_flush_close_unref(bus_);
  }

  bool started() const { return started_; }
  void SetJobs(Jobs jobs) {
    absl::MutexLock lock(&mu_);
    jobs_ = jobs;
  }
  void AddUnit(const std::string& name, bool failed) {
    absl::MutexLock lock(&mu_);
    (failed ? failed_ : active_).insert(name);
  }
  std::set<std::string> active() const {
    absl::MutexLock lock(&mu_);
    return active_;
  }
  // "StartTransientUnit berth-1.scope fail", "Slice=x.slice"; in the order of the calls.
  std::vector<std::string> seen() const {
    absl::MutexLock lock(&mu_);
    return seen_;
  }
  bool WaitFor(const std::string& call) const {
    const auto is_seen = [&] {
      mu_.AssertReaderHeld();
      return std::find(seen_.begin(), seen_.end(), call) != seen_.end();
    };
    absl::MutexLock lock(&mu_);
    return mu_.AwaitWithTimeout(absl::Condition(&is_seen), absl::Seconds(20));
  }

 private:
  static constexpr char kInterface[] = "org.freedesktop.systemd1.Manager";
  static const sd_bus_vtable kMethods[];

  static int Subscribe(sd_bus_message* call, void* data, sd_bus_error*) {
    auto* self = static_cast<FakeManager*>(data);
    absl::MutexLock lock(&self->mu_);
    self->seen_.push_back("Subscribe");
    return sd_bus_reply_method_return(call, "");
  }

  static int Start(sd_bus_message* call, void* data, sd_bus_error* error) {
    auto* self = static_cast<FakeManager*>(data);
    absl::MutexLock lock(&self->mu_);
    const char *name, *mode;
    if (sd_bus_message_read(call, "ss", &name, &mode) < 0) return -EINVAL;
    self->seen_.push_back(absl::StrCat("StartTransientUnit ", name, " ", mode));
    if (self->active_.count(name) || self->failed_.count(name)) {
      return sd_bus_error_set(error, "org.freedesktop.systemd1.UnitExists",
                              "Unit was already loaded or has a fragment file.");
    }
    if (sd_bus_message_enter_container(call, 'a', "(sv)") < 0) return -EINVAL;
    while (sd_bus_message_enter_container(call, 'r', "sv") > 0) {
      if (!self->ReadProperty(call)) return -EINVAL;
      sd_bus_message_exit_container(call);
    }
    sd_bus_message_exit_container(call);
    if (sd_bus_message_skip(call, "a(sa(sv))") < 0) return -EINVAL;
    if (self->jobs_ == Jobs::kDone) self->active_.insert(name);
    if (self->jobs_ == Jobs::kFail) self->failed_.insert(name);
    return self->EndJob(call, name);
  }

  bool ReadProperty(sd_bus_message* call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const char *name, *contents;
    char type;
    if (sd_bus_message_read(call, "s", &name) < 0 ||
        sd_bus_message_peek_type(call, &type, &contents) < 0) {
      return false;
    }
    const std::string kind = contents;
    std::string value;
    if (kind == "s") {
      const char* text;
      if (sd_bus_message_read(call, "v", "s", &text) < 0) return false;
      value = text;
    } else if (kind == "b") {
      int flag;
      if (sd_bus_message_read(call, "v", "b", &flag) < 0) return false;
      value = flag ? "yes" : "no";
    } else if (kind == "t") {
      uint64_t number;
      if (sd_bus_message_read(call, "v", "t", &number) < 0) return false;
      value = number == UINT64_MAX ? "infinity" : absl::StrCat(number);
    } else {
      uint32_t pid;
      if (sd_bus_message_read(call, "v", "au", 1, &pid) < 0) return false;
      value = absl::StrCat(pid);
    }
    seen_.push_back(absl::StrCat(name, "=", value));
    return true;
  }

  static int Stop(sd_bus_message* call, void* data, sd_bus_error* error) {
    auto* self = static_cast<FakeManager*>(data);
    absl::MutexLock lock(&self->mu_);
    const char *name, *mode;
    if (sd_bus_message_read(call, "ss", &name, &mode) < 0) return -EINVAL;
    self->seen_.push_back(absl::StrCat("StopUnit ", name, " ", mode));
    if (!self->active_.count(name) && !self->failed_.count(name))
      return sd_bus_error_set(error, "org.freedesktop.systemd1.NoSuchUnit", "Unit not loaded.");
    self->active_.erase(name);
    return self->EndJob(call, name);
  }

  static int ResetFailed(sd_bus_message* call, void* data, sd_bus_error* error) {
    auto* self = static_cast<FakeManager*>(data);
    absl::MutexLock lock(&self->mu_);
    const char* name;
    if (sd_bus_message_read(call, "s", &name) < 0) return -EINVAL;
    self->seen_.push_back(absl::StrCat("ResetFailedUnit ", name));
    if (!self->failed_.erase(name))
      return sd_bus_error_set(error, "org.freedesktop.systemd1.NoSuchUnit", "Unit not loaded.");
    return sd_bus_reply_method_return(call, "");
  }

  // The signal goes before the reply that names the job, and one of another job before both.
  int EndJob(sd_bus_message* call, const char* unit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const std::string path = absl::StrCat("/org/freedesktop/systemd1/job/", ++job_);
    const auto removed = [&](const std::string& job, const char* result) {
      sd_bus_emit_signal(bus_, "/org/freedesktop/systemd1", kInterface, "JobRemoved", "uoss",
                         static_cast<uint32_t>(job_), job.c_str(), unit, result);
    };
    removed("/org/freedesktop/systemd1/job/999999", "canceled");
    if (jobs_ != Jobs::kNever) removed(path, jobs_ == Jobs::kDone ? "done" : "failed");
    return sd_bus_reply_method_return(call, "o", path.c_str());
  }

  sd_bus* bus_ = nullptr;
  bool started_ = false;
  std::thread thread_;
  std::atomic<bool> ended_ = false;
  mutable absl::Mutex mu_;
  Jobs jobs_ ABSL_GUARDED_BY(mu_) = Jobs::kDone;
  int job_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<std::string> active_ ABSL_GUARDED_BY(mu_), failed_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> seen_ ABSL_GUARDED_BY(mu_);
};

const sd_bus_vtable FakeManager::kMethods[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("Subscribe", "", "", FakeManager::Subscribe, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("StartTransientUnit", "ssa(sv)a(sa(sv))", "o", FakeManager::Start,
                  SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("StopUnit", "ss", "o", FakeManager::Stop, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("ResetFailedUnit", "s", "", FakeManager::ResetFailed, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL("JobRemoved", "uoss", 0),
    SD_BUS_VTABLE_END,
};

class SystemdScopesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (access("/usr/bin/dbus-daemon", X_OK) != 0) GTEST_SKIP() << "needs dbus-daemon";
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
    address_ = absl::StrCat("unix:path=", directory_, "/bus");
    const std::string config = directory_ + "/config";
    std::ofstream(config) << "<busconfig><type>session</type><listen>" << address_
                          << "</listen><auth>EXTERNAL</auth><policy context=\"default\">"
                             "<allow send_destination=\"*\"/><allow receive_sender=\"*\"/>"
                             "<allow own=\"*\"/></policy></busconfig>";
    int ready[2];
    ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ready[1], 3);
    // It complains where it may not raise its own limit of descriptors.
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    const std::string option = "--config-file=" + config;
    const char* argv[] = {"dbus-daemon", option.c_str(),      "--nofork",
                          "--nopidfile", "--print-address=3", nullptr};
    char* environment[] = {nullptr};
    ASSERT_EQ(posix_spawn(&daemon_, "/usr/bin/dbus-daemon", &actions, nullptr,
                          const_cast<char**>(argv), environment),
              0);
    posix_spawn_file_actions_destroy(&actions);
    close(ready[1]);
    char byte;
    const ssize_t told = read(ready[0], &byte, 1);  // its address: it listens
    close(ready[0]);
    ASSERT_EQ(told, 1) << "dbus-daemon did not start";
    manager_ = std::make_unique<FakeManager>(address_);
    ASSERT_TRUE(manager_->started());
  }
  void TearDown() override {
    manager_.reset();
    if (daemon_ > 0) {
      kill(daemon_, SIGKILL);
      waitpid(daemon_, nullptr, 0);
    }
    std::filesystem::remove_all(directory_);
  }

  SystemdScopes Scopes() const {
    absl::StatusOr<SystemdScopes> scopes = SystemdScopes::Connect(address_);
    EXPECT_TRUE(scopes.ok()) << scopes.status();
    return *std::move(scopes);
  }
  static absl::Time Soon() { return SteadyNow() + absl::Seconds(20); }

  static inline const ScopeRequest kRequest = {.unit = "berth-1.scope",
                                               .slice = "kubepods-podX.slice",
                                               .description = "pod \"a\" of b",
                                               .parked_pid = 4711};
  std::string directory_ = "/tmp/berth-bus-XXXXXX", address_;
  pid_t daemon_ = -1;
  std::unique_ptr<FakeManager> manager_;
};

TEST_F(SystemdScopesTest, CreateAsksForADelegatedScopeWithTheProcess) {
  const absl::Status created = Scopes().Create(kRequest, Soon());
  ASSERT_TRUE(created.ok()) << created;
  EXPECT_THAT(manager_->active(), UnorderedElementsAre("berth-1.scope"));
  std::vector<std::string> seen = manager_->seen();
  std::erase(seen, "Subscribe");
  EXPECT_THAT(seen, ElementsAre("StartTransientUnit berth-1.scope fail",
                                "Description=pod \"a\" of b", "Slice=kubepods-podX.slice",
                                "CollectMode=inactive-or-failed", "Delegate=yes",
                                "DefaultDependencies=no", "TasksMax=infinity", "PIDs=4711"));
}

TEST_F(SystemdScopesTest, ItSubscribesBeforeTheJob) {
  ASSERT_TRUE(Scopes().Create(kRequest, Soon()).ok());
  const std::vector<std::string> seen = manager_->seen();
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen[0], "Subscribe");
}

TEST_F(SystemdScopesTest, AFailedUnitOfTheNameIsClearedAway) {
  manager_->AddUnit("berth-1.scope", /*failed=*/true);
  const absl::Status created = Scopes().Create(kRequest, Soon());
  EXPECT_TRUE(created.ok()) << created;
  EXPECT_THAT(manager_->seen(), Contains("ResetFailedUnit berth-1.scope"));
}

TEST_F(SystemdScopesTest, ALivingUnitOfTheNameIsAnError) {
  manager_->AddUnit("berth-1.scope", /*failed=*/false);
  const absl::Status refused = Scopes().Create(kRequest, Soon());
  EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("StartTransientUnit berth-1.scope: Unit"));
}

TEST_F(SystemdScopesTest, AJobThatFailsIsAnError) {
  manager_->SetJobs(FakeManager::Jobs::kFail);
  const absl::Status failed = Scopes().Create(kRequest, Soon());
  EXPECT_EQ(failed.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(failed.message()), HasSubstr("ended as failed"));
}

TEST_F(SystemdScopesTest, AJobThatDoesNotEndIsTakenBackAtTheDeadline) {
  manager_->SetJobs(FakeManager::Jobs::kNever);
  const absl::Status late = Scopes().Create(kRequest, SteadyNow() + absl::Milliseconds(200));
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded) << late;
  EXPECT_TRUE(manager_->WaitFor("StopUnit berth-1.scope replace"));
}

TEST_F(SystemdScopesTest, StopEndsTheUnitAndClearsItAway) {
  const SystemdScopes scopes = Scopes();
  ASSERT_TRUE(scopes.Create(kRequest, Soon()).ok());
  EXPECT_TRUE(scopes.Stop("berth-1.scope", Soon()).ok());
  EXPECT_THAT(manager_->active(), IsEmpty());
  EXPECT_THAT(manager_->seen(), Contains("ResetFailedUnit berth-1.scope"));
  EXPECT_TRUE(scopes.Stop("berth-1.scope", Soon()).ok()) << "once more";
}

TEST_F(SystemdScopesTest, ManyThreadsMakeScopesAtATime) {
  const SystemdScopes scopes = Scopes();
  std::vector<std::thread> threads;
  std::vector<absl::Status> statuses(8);
  for (size_t i = 0; i < statuses.size(); ++i) {
    threads.emplace_back([&, i] {
      ScopeRequest request = kRequest;
      request.unit = absl::StrCat("berth-", i, ".scope");
      statuses[i] = scopes.Create(request, Soon());
      if (i % 2) statuses[i].Update(scopes.Stop(request.unit, Soon()));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(manager_->active().size(), statuses.size() / 2);
}

TEST_F(SystemdScopesTest, RequestsThatCannotBeScopesAreRefusedUnasked) {
  const SystemdScopes scopes = Scopes();
  const size_t before = manager_->seen().size();
  ScopeRequest bad[] = {kRequest, kRequest, kRequest};
  bad[0].unit = "berth-1.service";
  bad[1].parked_pid = -1;
  bad[2].slice = "../system.slice/x";
  for (const ScopeRequest& each : bad)
    EXPECT_EQ(scopes.Create(each, Soon()).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(manager_->seen().size(), before);
}

TEST_F(SystemdScopesTest, WithoutAManagerItIsUnavailable) {
  manager_.reset();
  const absl::Status status = SystemdScopes::Connect(address_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ(SystemdScopes::Connect("unix:path=/nonexistent/bus").status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace berth
