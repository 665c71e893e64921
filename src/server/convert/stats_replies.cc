#include "src/server/convert/stats_replies.h"

#include <algorithm>

#include "src/server/convert/replies.h"
#include "src/server/convert/requests.h"

namespace berth {
namespace {

namespace cri = runtime::v1;

constexpr char kDefaultInterface[] = "eth0";

template <typename Message>
void Set(Message* out, cri::UInt64Value* (Message::*field)(),
         const std::optional<uint64_t>& value) {
  if (value) (out->*field)()->set_value(*value);
}

void FillData(const Pressure& pressure, cri::PsiData* out) {
  out->set_avg10(pressure.avg10);
  out->set_avg60(pressure.avg60);
  out->set_avg300(pressure.avg300);
  out->set_total(pressure.total_us * 1000);
}

void FillStall(const PressureStall& stall, cri::PsiStats* out) {
  FillData(stall.some, out->mutable_some());
  if (stall.full) FillData(*stall.full, out->mutable_full());
}

void FillCpu(const UsageSample& sample, cri::CpuUsage* out) {
  out->set_timestamp(sample.at);
  Set(out, &cri::CpuUsage::mutable_usage_core_nano_seconds, sample.usage.cpu_ns);
  Set(out, &cri::CpuUsage::mutable_usage_nano_cores, sample.nano_cores);
  if (sample.usage.cpu_pressure) FillStall(*sample.usage.cpu_pressure, out->mutable_psi());
}

void FillMemory(const UsageSample& sample, cri::MemoryUsage* out) {
  const CgroupUsage& usage = sample.usage;
  const std::optional<uint64_t> working_set = usage.WorkingSet();
  out->set_timestamp(sample.at);
  Set(out, &cri::MemoryUsage::mutable_working_set_bytes, working_set);
  Set(out, &cri::MemoryUsage::mutable_usage_bytes, usage.memory_bytes);
  Set(out, &cri::MemoryUsage::mutable_rss_bytes, usage.memory_rss);
  Set(out, &cri::MemoryUsage::mutable_page_faults, usage.page_faults);
  Set(out, &cri::MemoryUsage::mutable_major_page_faults, usage.major_page_faults);
  if (usage.memory_limit && working_set) {
    out->mutable_available_bytes()->set_value(*usage.memory_limit -
                                              std::min(*usage.memory_limit, *working_set));
  }
  if (usage.memory_pressure) FillStall(*usage.memory_pressure, out->mutable_psi());
}

void FillInterface(const InterfaceCounters& from, cri::NetworkInterfaceUsage* out) {
  out->set_name(from.name);
  out->mutable_rx_bytes()->set_value(from.rx_bytes);
  out->mutable_rx_errors()->set_value(from.rx_errors);
  out->mutable_tx_bytes()->set_value(from.tx_bytes);
  out->mutable_tx_errors()->set_value(from.tx_errors);
}

}  // namespace

void FillContainerStats(const ContainerSample& sample, const std::optional<Node::LayerUsage>& layer,
                        const std::string& mountpoint, cri::ContainerStats* out) {
  const cri::ContainerConfig& config = RequestOf(*sample.container).config();
  cri::ContainerAttributes* attributes = out->mutable_attributes();
  attributes->set_id(sample.container->id);
  *attributes->mutable_metadata() = config.metadata();
  *attributes->mutable_labels() = config.labels();
  *attributes->mutable_annotations() = config.annotations();
  if (layer) {
    cri::FilesystemUsage* writable = out->mutable_writable_layer();
    writable->set_timestamp(layer->at);
    writable->mutable_fs_id()->set_mountpoint(mountpoint);
    writable->mutable_used_bytes()->set_value(static_cast<uint64_t>(layer->bytes));
    writable->mutable_inodes_used()->set_value(static_cast<uint64_t>(layer->inodes));
  }
  if (sample.at == 0) return;
  FillCpu(sample, out->mutable_cpu());
  FillMemory(sample, out->mutable_memory());
  const CgroupUsage& usage = sample.usage;
  if (usage.swap_bytes) {
    out->mutable_swap()->set_timestamp(sample.at);
    Set(out->mutable_swap(), &cri::SwapUsage::mutable_swap_usage_bytes, usage.swap_bytes);
    if (usage.swap_limit) {
      out->mutable_swap()->mutable_swap_available_bytes()->set_value(
          *usage.swap_limit - std::min(*usage.swap_limit, *usage.swap_bytes));
    }
  }
  if (usage.io_pressure) {
    out->mutable_io()->set_timestamp(sample.at);
    FillStall(*usage.io_pressure, out->mutable_io()->mutable_psi());
  }
}

void FillPodSandboxStats(const PodSample& sample, cri::PodSandboxStats* out) {
  const cri::PodSandboxConfig& config = RequestOf(*sample.pod).config();
  cri::PodSandboxAttributes* attributes = out->mutable_attributes();
  attributes->set_id(sample.pod->id);
  *attributes->mutable_metadata() = config.metadata();
  *attributes->mutable_labels() = config.labels();
  *attributes->mutable_annotations() = config.annotations();
  cri::LinuxPodSandboxStats* linux = out->mutable_linux();
  if (sample.at == 0) return;
  FillCpu(sample, linux->mutable_cpu());
  FillMemory(sample, linux->mutable_memory());
  if (sample.usage.io_pressure) {
    linux->mutable_io()->set_timestamp(sample.at);
    FillStall(*sample.usage.io_pressure, linux->mutable_io()->mutable_psi());
  }
  if (sample.usage.pids) {
    linux->mutable_process()->set_timestamp(sample.at);
    Set(linux->mutable_process(), &cri::ProcessUsage::mutable_process_count, sample.usage.pids);
  }
  if (!sample.interfaces) return;
  linux->mutable_network()->set_timestamp(sample.at);
  for (const InterfaceCounters& interface : *sample.interfaces) {
    if (interface.name == "lo") continue;
    FillInterface(interface, interface.name == kDefaultInterface
                                 ? linux->mutable_network()->mutable_default_interface()
                                 : linux->mutable_network()->add_interfaces());
  }
}

bool Matches(const cri::PodSandboxStatsFilter& filter, const PodRecord& pod) {
  cri::PodSandboxFilter same;
  same.set_id(filter.id());
  *same.mutable_label_selector() = filter.label_selector();
  return Matches(same, pod);
}

}  // namespace berth
