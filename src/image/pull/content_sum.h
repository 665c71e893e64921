// The checksum of a file's content in the tree of its layer (layer_tree.h), computed as the bytes
// pass by. One owner thread.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "src/image/pull/layer_tree.h"

struct XXH3_state_s;

namespace berth {

class ContentHasher {
 public:
  ContentHasher();

  void Restart();
  void Update(absl::string_view bytes);
  void UpdateZeros(int64_t count);
  // Of all bytes since the last Restart.
  ContentSum Sum() const;

 private:
  std::unique_ptr<XXH3_state_s, void (*)(XXH3_state_s*)> state_;
};

// Of content that is in memory as a whole.
ContentSum SumOf(absl::string_view content);

}  // namespace berth
