// An image by the beginning of its id. Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cri/runtime/v1/api.pb.h"

namespace berth::cli {

// The id of the one image whose id begins with `prefix`, with or without "sha256:". NotFound;
// InvalidArgument where several do.
absl::StatusOr<std::string> FindImageByPrefix(const ::runtime::v1::ListImagesResponse& images,
                                              absl::string_view prefix);

}  // namespace berth::cli
