// What plugins want of a container: their wishes become one, and that becomes what the node knows.
// What Berth does not do is refused by its name. Pure.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nri/v1alpha1/nri.pb.h"
#include "src/kernel/cgroup_limits.h"
#include "src/sandbox/container_adjustment.h"

namespace berth::nri {

namespace api = ::nri::pkg::api::v1alpha1;

// Of one container that is being made.
class AdjustmentMerge {
 public:
  // In the order of the plugins. Aborted: an earlier one has set what this one sets, and it does
  // not say that it removes that. Unimplemented, InvalidArgument. All name the plugin and the
  // field.
  absl::Status Add(const std::string& plugin, const api::ContainerAdjustment& wanted);

  const api::ContainerAdjustment& merged() const { return merged_; }
  // Who has set what of it.
  api::FieldOwners Owners() const;

 private:
  // A field, and its key where it has keys.
  using Claim = std::pair<api::Field, std::string>;

  absl::Status Take(const std::string& plugin, api::Field field, const std::string& key);
  template <typename Entries, typename KeyOf>
  absl::Status MergeKeyed(const std::string& plugin, api::Field field, const Entries& wanted,
                          KeyOf key_of, Entries* merged);
  absl::Status MergeAnnotations(const std::string& plugin, const api::ContainerAdjustment& wanted);
  absl::Status MergeResources(const std::string& plugin, const api::LinuxResources& wanted);

  api::ContainerAdjustment merged_;
  std::map<Claim, std::string> owners_;
};

// `container` as it is with `adjustment`: what the next plugin is shown.
void ShowAdjustment(const api::ContainerAdjustment& adjustment, api::Container* container);

// InvalidArgument and Unimplemented name the field. But for resources.
absl::StatusOr<ContainerAdjustment> ToContainerAdjustment(const api::ContainerAdjustment& from);
// The serialized message, as it is stored.
absl::StatusOr<ContainerAdjustment> ReadAdjustment(absl::string_view stored);

// Unimplemented names the field.
absl::StatusOr<CgroupLimits> ToLimits(const api::LinuxResources& from);
api::LinuxResources ToResources(const CgroupLimits& from);

}  // namespace berth::nri
