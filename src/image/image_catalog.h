// What the rows of each image say, once more as a file DATA/images/<hex of its id>.json beside the
// layers, from which a lost database is made again (docs/formats/store.md). One owner; its calls
// must not overlap.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"
#include "src/image/image_rows.h"
#include "src/store/database.h"

namespace berth {

class ImageCatalog {
 public:
  // Makes the directory below `data_dir` where it is absent.
  static absl::StatusOr<ImageCatalog> Open(const std::string& data_dir);

  // Writes files of images that are new or changed, and removes those of images that are gone. Not
  // synced: a power cut may take the last ones, of which the rows are synced.
  absl::Status Follow(const std::vector<LayerRow>& layers, const std::vector<ImageRow>& images);

  // Inserts the rows that the files tell, into a database without rows of images. Files that
  // cannot be read are left out, as are images with a layer that another file tells otherwise;
  // returns how many images there are.
  absl::StatusOr<int> Rebuild(Database& database) const;

 private:
  explicit ImageCatalog(UniqueFd directory) : directory_(std::move(directory)) {}

  UniqueFd directory_;
  std::map<std::string, std::string> written_;  // file name -> what of its image may change
};

}  // namespace berth
