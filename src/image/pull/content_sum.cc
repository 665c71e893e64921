#include "src/image/pull/content_sum.h"

#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // the same functions by the widest vectors of this processor
#else
#include <xxhash.h>
#endif

#include <algorithm>
#include <array>
#include <cstring>

namespace berth {
namespace {

constexpr std::array<char, 64 << 10> kZeros = {};

void Free(XXH3_state_t* state) { XXH3_freeState(state); }

ContentSum Canonical(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  ContentSum sum;
  static_assert(sizeof(canonical.digest) == sizeof(sum));
  std::memcpy(sum.data(), canonical.digest, sum.size());
  return sum;
}

}  // namespace

ContentHasher::ContentHasher() : state_(XXH3_createState(), Free) { Restart(); }

void ContentHasher::Restart() { XXH3_128bits_reset(state_.get()); }

void ContentHasher::Update(absl::string_view bytes) {
  XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
}

void ContentHasher::UpdateZeros(int64_t count) {
  while (count > 0) {
    const auto n = static_cast<size_t>(std::min<int64_t>(count, kZeros.size()));
    XXH3_128bits_update(state_.get(), kZeros.data(), n);
    count -= static_cast<int64_t>(n);
  }
}

ContentSum ContentHasher::Sum() const { return Canonical(XXH3_128bits_digest(state_.get())); }

ContentSum SumOf(absl::string_view content) {
  return Canonical(XXH3_128bits(content.data(), content.size()));
}

}  // namespace berth
