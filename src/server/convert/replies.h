// Records as CRI messages. Pure.
#pragma once

#include <vector>

#include "cri/runtime/v1/api.pb.h"
#include "src/image/image_store.h"
#include "src/sandbox/records.h"

namespace berth {

void FillPodSandbox(const PodRecord& pod, runtime::v1::PodSandbox* out);
void FillPodSandboxStatus(const PodRecord& pod, runtime::v1::PodSandboxStatus* out);
void FillContainer(const ContainerRecord& container, runtime::v1::Container* out);
void FillContainerStatus(const ContainerRecord& container, runtime::v1::ContainerStatus* out);
// The images that a list with this filter has: all of them, or the one it names.
std::vector<Image> ImagesFor(const ImageStore& images, const runtime::v1::ImageFilter& filter);
void FillImage(const Image& image, runtime::v1::Image* out);

// Filters: all set parts must match; ids by prefix, labels exactly.
template <typename Filter>
bool IsEmpty(const Filter& filter) {
  return filter.ByteSizeLong() == 0;
}
bool Matches(const runtime::v1::PodSandboxFilter& filter, const PodRecord& pod);
bool Matches(const runtime::v1::ContainerFilter& filter, const ContainerRecord& container);
bool Matches(const runtime::v1::ContainerStatsFilter& filter, const ContainerRecord& container);

}  // namespace berth
