// The passwd and group files of the images that containers were made of lately: each would be
// looked for in every layer again. What they are does not change: layers are immutable, and one
// that is mended has another directory. Thread-safe.
#pragma once

#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "src/image/image_store.h"
#include "src/image/user.h"

namespace berth {

class UserFileCache {
 public:
  // Errors as ReadImageFile, and not remembered.
  absl::StatusOr<UserFiles> Of(int data_dir_fd, const Image& image);

 private:
  absl::Mutex mu_;
  std::map<std::string, UserFiles> files_ ABSL_GUARDED_BY(mu_);  // by the image and its layers
};

}  // namespace berth
