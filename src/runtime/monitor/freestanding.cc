// What the header-only parts of the standard library call when they fail; there is no C++ runtime
// to throw.
#include <stdlib.h>

namespace std {

[[noreturn]] void __throw_out_of_range_fmt(const char*, ...) { abort(); }

}  // namespace std
