// Layers from hostile registries: compressed or not, no input may crash the decompressors or the
// archive reader, and what comes out must keep the promises of TarSink.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "src/image/pull/decompress.h"
#include "src/image/pull/layer_path.h"
#include "src/image/pull/tar.h"

namespace {

class Checker : public berth::TarSink {
 public:
  absl::Status Begin(const berth::TarEntry& entry) override {
    if (open_ || entry.path.empty() || entry.path.find('\0') != std::string::npos || entry.size < 0)
      std::abort();
    open_ = true;
    left_ = entry.size;
    (void)berth::SplitLayerPath(entry.path, {});
    return absl::OkStatus();
  }
  absl::Status Data(absl::string_view bytes) override {
    left_ -= static_cast<int64_t>(bytes.size());
    if (!open_ || bytes.empty() || left_ < 0) std::abort();
    return absl::OkStatus();
  }
  absl::Status Hole(int64_t bytes) override {
    left_ -= bytes;
    if (!open_ || bytes <= 0 || left_ < 0) std::abort();
    return absl::OkStatus();
  }
  absl::Status End() override {
    if (!open_ || left_ != 0) std::abort();
    open_ = false;
    return absl::OkStatus();
  }

 private:
  bool open_ = false;
  int64_t left_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  Checker checker;
  berth::TarReader tar(checker);
  berth::WindowBudget windows(32 << 20);
  berth::Decompressor decompressor(windows, {.output_bytes = 16 << 20});
  const auto take = [&](absl::string_view plain) { return tar.Feed(plain); };
  // In two pieces, so that every cut is tried sooner or later.
  const size_t cut = size / 3;
  if (decompressor.Feed(bytes.substr(0, cut), take).ok() &&
      decompressor.Feed(bytes.substr(cut), take).ok() && decompressor.Finish(take).ok()) {
    (void)tar.Finish();
  }
  return 0;
}
