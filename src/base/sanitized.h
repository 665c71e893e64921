// Whether this build is watched by AddressSanitizer or ThreadSanitizer. They reserve terabytes of
// address space and keep freed memory: what a process takes is then neither limited nor measured.
#pragma once

namespace berth {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace berth
