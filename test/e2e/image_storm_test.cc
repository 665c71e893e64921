// Pulls under fire: the daemon and its workers are killed at random moments, again and again, and
// no image may ever be half there or damaged, and nothing may stay behind.
// BERTH_STORM_PULLS sets how many pulls are begun (default 24). PowerCutTest is one life of a node
// whose power is cut, with pods as well; hack/powercut gives it many.
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/own_node.h"
#include "test/e2e/pod_cycles.h"
#include "test/e2e/stub_registry.h"
#include "test/e2e/subprocess.h"

namespace berth::e2e {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr int kImages = 5;
constexpr int kPodsAtATime = 2;

int PullsWanted() {
  int pulls = 24;
  const char* wanted = std::getenv("BERTH_STORM_PULLS");
  EXPECT_TRUE(wanted == nullptr || absl::SimpleAtoi(wanted, &pulls)) << wanted;
  return pulls;
}

// Incompressible, so that a pull takes long enough to be hit.
std::string Noise(std::mt19937_64& random, size_t bytes) {
  std::string noise(bytes, '\0');
  for (char& c : noise) c = static_cast<char>(random());
  return noise;
}

Layer NoisyLayer(std::mt19937_64& random, const std::string& prefix, int files) {
  Layer layer;
  for (int i = 0; i < files; ++i)
    layer.entries.push_back(File(absl::StrCat(prefix, i), Noise(random, 64 << 10)));
  return layer;
}

std::vector<pid_t> WorkersOf(pid_t daemon) {
  std::vector<pid_t> workers;
  for (const auto& task : std::filesystem::directory_iterator(
           absl::StrCat("/proc/", daemon, "/task"), std::filesystem::directory_options::none)) {
    std::ifstream children(task.path() / "children");
    for (pid_t child; children >> child;) {
      std::string name;
      std::ifstream(absl::StrCat("/proc/", child, "/comm")) >> name;
      if (name == "berth-pull") workers.push_back(child);
    }
  }
  return workers;
}

std::vector<std::string> AddImages(StubRegistry& registry, std::mt19937_64& random, int files) {
  std::vector<std::string> references;
  const Layer base = NoisyLayer(random, "base", 2 * files);
  for (int i = 0; i < kImages; ++i) {
    references.push_back(
        registry.Add(absl::StrCat("storm", i), "v1",
                     Build({.layers = {base, NoisyLayer(random, absl::StrCat("own", i, "-"), files),
                                       NoisyLayer(random, absl::StrCat("more", i, "-"), files)}})));
  }
  return references;
}

std::string Berth(const Daemon& daemon, const std::vector<std::string>& arguments) {
  Subprocess::Options options{
      .argv = {BERTH_BIN_DIR "/berth", "--socket", daemon.socket(), "image"},
      .output_path = daemon.options().dir + ".berth"};
  options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
  std::filesystem::remove(options.output_path);
  absl::StatusOr<Subprocess> process = Subprocess::Start(options);
  EXPECT_OK(process);
  if (!process.ok()) return "";
  EXPECT_EQ(process->Wait(absl::Minutes(2)), 0) << process->Output();
  std::string output = process->Output();
  std::filesystem::remove(options.output_path);
  return output;
}

// Everything that is listed is whole: each layer is compared with its tree, file by file.
void ExpectImagesWhole(const Daemon& daemon) {
  const std::string verified = Berth(daemon, {"verify"});
  EXPECT_THAT(verified, Not(HasSubstr("damaged")));
  EXPECT_THAT(verified, Not(HasSubstr("unknown")));
}

// With no image left. Kept layers of failed pulls have none: a start sweeps them.
void ExpectNothingLeft(Daemon& daemon) {
  ASSERT_OK(daemon.Kill());
  ASSERT_OK(daemon.StartAgain());
  EXPECT_TRUE(Eventually(absl::Seconds(30),
                         [&] {
                           for (const char* kind : {"layers", "trees", "blobs", "pull", "trash"}) {
                             if (!std::filesystem::is_empty(daemon.options().dir + "/data/" + kind))
                               return false;
                           }
                           return true;
                         }))
      << "something is left in " << daemon.options().dir;
  EXPECT_THAT(WorkersOf(daemon.pid()), IsEmpty());
}

class ImageStormTest : public E2eTest {
 protected:
  void SetUp() override {
    E2eTest::SetUp();
    ASSERT_OK_AND_ASSIGN(registry_, StubRegistry::Start());
    references_ = AddImages(*registry_, random_, 30);
    ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start("storm", ""));
    own_.emplace(std::move(own));
  }
  void TearDown() override {
    own_.reset();
    registry_.reset();
    E2eTest::TearDown();
  }

  size_t Pick(size_t count) { return std::uniform_int_distribution<size_t>(0, count - 1)(random_); }

  std::mt19937_64 random_{20261124};  // the same storm each time, but for the clock
  std::unique_ptr<StubRegistry> registry_;
  std::vector<std::string> references_;
  std::optional<OwnNode> own_;
};

TEST_F(ImageStormTest, I_10_KilledDaemonsAndWorkersLeaveWholeImagesAndNothingElse) {
  const int pulls = PullsWanted();
  int begun = 0, daemons_killed = 0, workers_killed = 0;
  while (begun < pulls) {
    // Two at a time, so that layers are shared when the blow comes.
    std::vector<std::thread> pullers;
    for (int i = 0; i < 2; ++i, ++begun) {
      pullers.emplace_back([this, reference = references_[Pick(references_.size())]] {
        // Whatever becomes of it: the next ones tell whether it did harm.
        Client(own_->daemon().socket()).Pull(reference, absl::Seconds(20)).IgnoreError();
      });
    }
    const absl::Time blow = absl::Now() + absl::Milliseconds(Pick(150));
    const bool hits_daemon = Pick(2) == 0;
    while (absl::Now() < blow) std::this_thread::yield();
    if (hits_daemon) {
      ASSERT_OK(own_->daemon().Kill());
      ++daemons_killed;
    } else {
      for (const pid_t worker : WorkersOf(own_->daemon().pid())) {
        workers_killed += ::kill(worker, SIGKILL) == 0 ? 1 : 0;
      }
    }
    if (hits_daemon) {
      ASSERT_OK(own_->daemon().StartAgain());
    }
    for (std::thread& puller : pullers) puller.join();
    if (hits_daemon) ExpectImagesWhole(own_->daemon());
    // Now and then an image goes, so that pulls find some layers and not others.
    if (Pick(3) == 0) {
      EXPECT_OK(Client(own_->daemon().socket()).RemoveImage(references_[Pick(references_.size())]));
    }
  }
  RecordProperty("daemons_killed", daemons_killed);
  RecordProperty("workers_killed", workers_killed);
  EXPECT_GT(daemons_killed, 0);

  Client client(own_->daemon().socket());
  for (const std::string& reference : references_) EXPECT_OK(client.Pull(reference));
  ExpectImagesWhole(own_->daemon());
  ASSERT_OK_AND_ASSIGN(const std::vector<cri::Image> images, client.ListImages());
  for (const cri::Image& image : images) EXPECT_OK(client.RemoveImage(image.id()));
  ExpectNothingLeft(own_->daemon());
}

// BERTH_POWERCUT_DIR is a directory that outlives the kernel, BERTH_POWERCUT_JOURNAL a file that
// does so whole, BERTH_POWERCUT_READY one that is made as soon as the power may be cut;
// BERTH_POWERCUT_LAST makes it the last life, which ends by itself.
TEST(PowerCutTest, I_08_I_09_WhatALifeLeftIsWholeAndItGoesOnPullingAndRunning) {
  const char* dir = std::getenv("BERTH_POWERCUT_DIR");
  if (dir == nullptr) GTEST_SKIP() << "run by hack/powercut";
  std::mt19937_64 content(20261124);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<StubRegistry> registry, StubRegistry::Start());
  const std::vector<std::string> references = AddImages(*registry, content, 10);
  ASSERT_OK_AND_ASSIGN(
      Daemon daemon,
      Daemon::Start({.dir = dir, .cgroup_root = "/berth-powercut", .bridge = "berthcut"}));
  ExpectImagesWhole(daemon);
  // berthd compares by itself after such an end, and mends: that must not have been necessary.
  EXPECT_THAT(daemon.Log(), Not(HasSubstr("layer after an unclean stop")));
  EXPECT_THAT(daemon.Log(), Not(HasSubstr("image dropped")));
  const std::string probe = registry->Add("probe", "latest", Build(ProbeRecipe()));
  PodCycles cycles({.socket = daemon.socket(), .image = probe, .logs = absl::StrCat(dir, "-logs")});
  cycles.ExpectEndedAndRemoveAll();
  for (const char* kind : {"pods", "containers"}) {
    EXPECT_TRUE(Eventually(absl::Seconds(30), [&] {
      return std::filesystem::is_empty(daemon.options().dir + "/data/" + kind);
    })) << kind;
  }
  Client client(daemon.socket());
  // What was acknowledged last of each image.
  const std::string journal = std::getenv("BERTH_POWERCUT_JOURNAL");
  std::map<std::string, bool> there;
  std::ifstream noted(journal);
  for (std::string what, image; noted >> what >> image;) there[image] = what == "pulled";
  ASSERT_OK_AND_ASSIGN(const std::vector<cri::Image> images, client.ListImages());
  for (const auto& [image, pulled] : there) {
    const bool listed = std::any_of(images.begin(), images.end(),
                                    [&, id = image](const auto& each) { return each.id() == id; });
    EXPECT_TRUE(listed || !pulled) << image << " was pulled and is lost";
  }
  ASSERT_FALSE(HasFailure()) << daemon.Log();

  ASSERT_OK(client.Pull(probe));
  if (std::getenv("BERTH_POWERCUT_LAST") != nullptr) {
    for (const std::string& reference : references) EXPECT_OK(client.Pull(reference));
    ExpectImagesWhole(daemon);
    ASSERT_OK_AND_ASSIGN(const std::vector<cri::Image> all, client.ListImages());
    for (const cri::Image& image : all) EXPECT_OK(client.RemoveImage(image.id()));
    ExpectNothingLeft(daemon);
    EXPECT_OK(daemon.Terminate());
    return;
  }
  std::vector<std::thread> pods;
  for (int i = 0; i < kPodsAtATime; ++i) pods.emplace_back([&cycles, i] { cycles.Run(i); });
  std::ofstream(std::getenv("BERTH_POWERCUT_READY")) << "pulling\n";
  std::mt19937_64 random(std::random_device{}());
  while (!HasFailure()) {
    const std::string& reference = references[random() % references.size()];
    const auto id = client.Pull(reference);
    EXPECT_OK(id);
    if (id.ok()) std::ofstream(journal, std::ios::app) << "pulled " << *id << std::endl;
    if (!id.ok() || random() % 3 != 0) continue;
    std::ofstream(journal, std::ios::app) << "removing " << *id << std::endl;
    EXPECT_OK(client.RemoveImage(reference));
  }
  std::cout << daemon.Log() << std::endl;
  std::_Exit(1);  // the pods' threads have no end
}

}  // namespace
}  // namespace berth::e2e
