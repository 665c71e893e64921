// Pull of an image of several large layers: of one that the runtime does not have, of one that it
// has, of one that it deleted a moment ago; what a worker needs of memory; beside skopeo with umoci
// and the floor.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "hack/benchmarks/command.h"
#include "hack/benchmarks/process_table.h"
#include "hack/benchmarks/scenario.h"
#include "hack/benchmarks/worker_memory.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

const Metric kPull = {.name = "pull of bench/big", .unit = "ms", .pace = ""};
const Metric kPresent = {.name = "pull of bench/big, all layers present", .unit = "ms", .pace = ""};
const Metric kAfterDeletion = {
    .name = "pull of bench/big right after its deletion", .unit = "ms", .pace = ""};
const Metric kDaemonMemory = {.name = "daemon RSS after a pull", .unit = "MiB", .pace = ""};
constexpr int kFloorThreads = 4;  // as many layers at a time as berth-pull

// What commands write, each run in a folder of its own. Nothing is deleted before the end: the
// deletion of many files makes what comes after it slow on the same file system.
class Scratch {
 public:
  explicit Scratch(std::string base) : base_(std::move(base)) {}
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(base_, ignored);
  }
  absl::StatusOr<std::string> Next() {
    const std::string path = absl::StrCat(base_, "/", next_++);
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) return ErrnoStatus("mkdir", path, error.value());
    return path;
  }

 private:
  const std::string base_;
  int next_ = 0;
};

struct ImageName {
  std::string host, repository, tag;
};

// "host:port/repository:tag"
ImageName SplitName(const std::string& image) {
  const size_t slash = image.find('/'), colon = image.rfind(':');
  return {.host = image.substr(0, slash),
          .repository = image.substr(slash + 1, colon - slash - 1),
          .tag = image.substr(colon + 1)};
}

absl::Status PullWithFloor(const Bench& bench, const std::string& directory) {
  const ImageName name = SplitName(bench.options.big_image);
  return RunCommand({bench.options.pull_floor, name.host, name.repository, name.tag, directory,
                     absl::StrCat(kFloorThreads)});
}

absl::Status PullWithSkopeo(const Bench& bench, const std::string& directory) {
  const std::string layout = absl::StrCat(directory, "/oci"), image = layout + ":big";
  RETURN_IF_ERROR(RunCommand(
      {FindProgram("skopeo"), "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false",
       absl::StrCat("docker://", bench.options.big_image), absl::StrCat("oci:", image)}));
  return RunCommand(
      {FindProgram("umoci"), "unpack", "--image", image, absl::StrCat(directory, "/bundle")});
}

// Equal durability: a runtime has synced before it answers.
absl::Status SyncAll() {
  ::sync();
  return absl::OkStatus();
}

absl::Status MeasureCommand(Bench& bench, Scratch& scratch, const char* column,
                            absl::Status (*pull)(const Bench&, const std::string&)) {
  ASSIGN_OR_RETURN(const std::string directory, scratch.Next());
  ::sync();
  return Timed(bench, kPull, column, [&]() -> absl::Status {
    RETURN_IF_ERROR(pull(bench, directory));
    return SyncAll();
  });
}

absl::Status MeasureFresh(Bench& bench, const Peer& peer) {
  RETURN_IF_ERROR(peer.RemoveImage(bench.options.big_image));
  ::sync();  // one peer's writes are not another one's burden
  RETURN_IF_ERROR(
      Timed(bench, kPull, peer.name(), [&] { return peer.PullImage(bench.options.big_image); }));
  bench.report.Add(kDaemonMemory, peer.name(), static_cast<double>(RssKib(peer.daemon())) / 1024);
  return Timed(bench, kPresent, peer.name(),
               [&] { return peer.PullImage(bench.options.big_image); });
}

absl::Status MeasureAfterDeletion(Bench& bench, const Peer& peer) {
  RETURN_IF_ERROR(peer.PullImage(bench.options.big_image));
  ::sync();
  RETURN_IF_ERROR(peer.RemoveImage(bench.options.big_image));
  return Timed(bench, kAfterDeletion, peer.name(),
               [&] { return peer.PullImage(bench.options.big_image); });
}

// Of runtimes whose workers have a name that we know.
absl::Status MeasureWorker(Bench& bench, const Peer& peer, const std::string& image,
                           const char* which) {
  RETURN_IF_ERROR(peer.RemoveImage(image));
  const WorkerMemory memory(peer.daemon());
  RETURN_IF_ERROR(peer.PullImage(image));
  if (memory.peak_kib() > 0) {
    bench.report.Add(
        {.name = absl::StrCat("peak memory of the worker, ", which), .unit = "MiB", .pace = ""},
        peer.name(), static_cast<double>(memory.peak_kib()) / 1024);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasurePull(Bench& bench) {
  const Options& options = bench.options;
  if (options.big_image.empty()) return absl::OkStatus();
  Scratch scratch(absl::StrCat(options.pull_scratch, "/pulls"));
  for (int round = 0; round < options.pulls; ++round) {
    for (const Peer* peer : bench.Order(round)) RETURN_IF_ERROR(MeasureFresh(bench, *peer));
    if (!options.pull_floor.empty())
      RETURN_IF_ERROR(MeasureCommand(bench, scratch, kFloor, PullWithFloor));
    if (options.skopeo) RETURN_IF_ERROR(MeasureCommand(bench, scratch, kSkopeo, PullWithSkopeo));
  }
  for (int round = 0; round < options.pulls; ++round) {
    for (const Peer* peer : bench.Order(round)) RETURN_IF_ERROR(MeasureAfterDeletion(bench, *peer));
  }
  for (const Peer& peer : bench.peers) {
    RETURN_IF_ERROR(peer.RemoveImage(options.big_image));
    RETURN_IF_ERROR(MeasureWorker(bench, peer, options.app_image, "small image"));
    if (options.huge_image.empty()) continue;
    RETURN_IF_ERROR(MeasureWorker(bench, peer, options.huge_image, "a layer of 1 GiB"));
    RETURN_IF_ERROR(peer.RemoveImage(options.huge_image));
  }
  return absl::OkStatus();
}

}  // namespace berth::bench
