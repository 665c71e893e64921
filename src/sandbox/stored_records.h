// Rows of pods and containers as the records that they were. Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "src/sandbox/records.h"
#include "src/sandbox/request_parsers.h"
#include "src/store/pods.h"

namespace berth {

// A damaged row is the error of what could not be read first.
absl::StatusOr<std::shared_ptr<PodRecord>> RecordOf(const PodRow& row,
                                                    const RequestParsers& parsers);
absl::StatusOr<std::shared_ptr<ContainerRecord>> RecordOf(const ContainerRow& row,
                                                          const PodRecord& pod,
                                                          const RequestParsers& parsers);

// What is left of a damaged row: an object with a name that has ended.
std::shared_ptr<PodRecord> UnreadableRecord(const PodRow& row, const RequestParsers& parsers,
                                            const std::string& boot_id);
// `now`: ns since the epoch.
std::shared_ptr<ContainerRecord> UnreadableRecord(const ContainerRow& row, const PodRecord& pod,
                                                  const RequestParsers& parsers, int64_t now);

}  // namespace berth
