// A fixture whose tests have a pod: WithPod<E2eTest>, WithPod<ProbedTest>.
#pragma once

#include <optional>
#include <utility>

#include "test/e2e/e2e_test.h"

namespace berth::e2e {

template <class Fixture>
class WithPod : public Fixture {
 protected:
  void SetUp() override {
    Fixture::SetUp();
    if (this->HasFatalFailure()) return;
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(this->client(), PodConfig()));
    pod_.emplace(std::move(pod));
  }
  void TearDown() override {
    pod_.reset();
    Fixture::TearDown();
  }
  virtual cri::PodSandboxConfig PodConfig() { return MakeKubeletPodConfig(this->Name()); }
  Pod& pod() { return *pod_; }

 private:
  std::optional<Pod> pod_;
};

}  // namespace berth::e2e
