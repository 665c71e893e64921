// Pods and containers as NRI plugins are shown them. Pure.
#pragma once

#include "nri/v1alpha1/nri.pb.h"
#include "src/runtime/container_plan.h"
#include "src/sandbox/records.h"

namespace berth::nri {

namespace api = ::nri::pkg::api::v1alpha1;

api::PodSandbox ToMessage(const PodRecord& pod);

// Without a spec the container's process and files are left out: they are told when it is made.
api::Container ToMessage(const ContainerRecord& container);
api::Container ToMessage(const ContainerRecord& container, const ContainerSpec& spec);

}  // namespace berth::nri
