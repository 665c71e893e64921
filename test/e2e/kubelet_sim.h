// A kubelet on the wire: what one calls, in its order and at its rates, while pods come and go.
// Every answer that a kubelet would not expect is kept.
#pragma once

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "test/e2e/client.h"
#include "test/e2e/pod.h"

namespace berth::e2e {

struct KubeletOptions {
  std::string socket;
  std::string name;  // of pods, with a number behind it
  std::string image;
  int pods = 10;  // at a time
  absl::Duration runs = absl::Seconds(20);
  absl::Duration pod_lives = absl::Seconds(8);  // about
  absl::Duration probe_period = absl::Seconds(1);
};

struct KubeletReport {
  std::map<std::string, int> calls;        // answers, by RPC
  std::map<std::string, int> interrupted;  // by the death of the daemon
  std::map<std::string, int> done;         // what happened: pods, restarts, resizes, ...
  std::vector<absl::Duration> list_times;  // of ListPodSandbox and ListContainers
  std::vector<std::string> unexpected;
  std::string Text() const;
};

class KubeletSim {
 public:
  explicit KubeletSim(KubeletOptions options);

  // Returns when the time is over and all pods are gone.
  KubeletReport Run();
  // From here on a call may be cut off; its caller asks again. Thread-safe.
  void ExpectInterruptions() { interruptions_ = true; }

 private:
  struct Container {
    std::string name, id;
    std::vector<std::string> arguments;
    int attempt = 0;
    cri::ContainerConfig config;
  };

  // `call` until it is not cut off; what then is no success is unexpected.
  template <class F>
  auto Ask(const std::string& rpc, F call) -> decltype(call());
  void Count(const std::string& what);
  void Unexpected(const std::string& what);
  bool Over() const { return absl::Now() >= end_; }
  void Every(absl::Duration period, void (KubeletSim::*act)());
  void Relist();
  void Housekeeping();
  void Node();
  void Stats();
  void FollowEvents();
  void SetStream(grpc::ClientContext* stream);

  void KeepOnePod(int slot);
  void LiveThrough(const cri::PodSandboxConfig& pod, std::mt19937& random);
  bool Launch(const std::string& pod, const cri::PodSandboxConfig& config, Container* container);
  bool CutOffStart(const cri::ContainerStatus& status);
  bool RunInit(const std::string& pod, const cri::PodSandboxConfig& config);
  void Sync(const std::string& pod, const cri::PodSandboxConfig& config,
            std::vector<Container>& containers);
  void Probe(const Container& container);
  void Resize(const Container& container, std::mt19937& random);
  void Rotate(const cri::PodSandboxConfig& config, const Container& container);
  void TearDown(const std::string& pod, std::vector<Container>& containers);

  const KubeletOptions options_;
  Client client_;
  absl::Time end_;
  std::atomic<bool> interruptions_ = false, done_ = false;
  absl::Mutex mu_;
  KubeletReport report_ ABSL_GUARDED_BY(mu_);
  grpc::ClientContext* stream_ ABSL_GUARDED_BY(mu_) = nullptr;  // of events
};

}  // namespace berth::e2e
