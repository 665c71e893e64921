// Pods that come and go while the power may be cut at any moment, and what must be true of them
// after the next boot. Thread-safe.
#pragma once

#include <string>

#include "test/e2e/client.h"

namespace berth::e2e {

class PodCycles {
 public:
  struct Options {
    std::string socket;  // of berthd
    std::string image;   // the probe, pulled
    std::string logs;    // directory of the pods' logs
  };
  explicit PodCycles(Options options) : options_(std::move(options)) {}

  // What earlier lives left, of which the last may be missing (docs/adr/0001): no pod is ready, no
  // container runs, each has ended as it did or with the boot; all can be stopped and removed.
  void ExpectEndedAndRemoveAll();

  // One pod after the other, until a call fails (which fails the test) or the machine ends. Workers
  // at a time have different numbers.
  void Run(int worker);

 private:
  absl::Status LiveOnce(Client& client, int worker, uint64_t number);

  const Options options_;
};

}  // namespace berth::e2e
