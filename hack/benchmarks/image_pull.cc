// Pull of an image of several large layers that the runtime does not have.
#include <unistd.h>

#include "absl/time/clock.h"
#include "hack/benchmarks/process_table.h"
#include "hack/benchmarks/scenario.h"
#include "src/base/status_macros.h"

namespace berth::bench {

absl::Status MeasurePull(Bench& bench) {
  if (bench.options.big_image.empty()) return absl::OkStatus();
  for (int round = 0; round < bench.options.pulls; ++round) {
    for (const Peer* peer : bench.Order(round)) {
      RETURN_IF_ERROR(peer->RemoveImage(bench.options.big_image));
      ::sync();  // one peer's writes are not another one's burden
      RETURN_IF_ERROR(Timed(bench, {.name = "pull of bench/big", .unit = "ms", .pace = ""},
                            peer->name(),
                            [&] { return peer->PullImage(bench.options.big_image); }));
      bench.report.Add({.name = "daemon RSS after a pull", .unit = "MiB", .pace = ""}, peer->name(),
                       static_cast<double>(RssKib(peer->daemon())) / 1024);
    }
  }
  for (const Peer& peer : bench.peers) RETURN_IF_ERROR(peer.RemoveImage(bench.options.big_image));
  return absl::OkStatus();
}

}  // namespace berth::bench
