# Warnings for all builds; hardening for Release; sanitizers where a preset asks.
add_compile_options(-Wall -Wextra -Werror=unused-result -Wno-missing-field-initializers)
add_compile_definitions(_GNU_SOURCE _FILE_OFFSET_BITS=64)
if(BERTH_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)  # coverage of what the targets reach, without libFuzzer's main
endif()
if(BERTH_SANITIZE)
  add_compile_options(-fsanitize=${BERTH_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${BERTH_SANITIZE})
  if(BERTH_SANITIZE MATCHES undefined)
    add_compile_options(-fno-sanitize-recover=undefined)  # what UBSan finds ends the program, as with ASan
  endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-fstack-protector-strong -fstack-clash-protection
                      -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -D_GLIBCXX_ASSERTIONS)
  add_link_options(-Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed)
endif()
include(CheckPIESupported)
check_pie_supported()
