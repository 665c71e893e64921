# One module is one folder: its sources become the library berth_NAME, its tests become executables
# whose every TEST is one ctest. Sources and tests are found by glob, so none can be left out.
#
#   *_main.cc        an executable (bin/ + the file's name: berth_pull_main.cc -> berth-pull)
#   *_test.cc        pure tests, label "unit"
#   *_root_test.cc   tests against the real kernel, label "root" (need root)
#   *_fuzz.cc        a libFuzzer target; its corpus is replayed as a ctest
#
# berth_module(NAME DEPS lib... [PCH header...] [UNITY] [FUZZED source...] [SANITIZED address|thread...])
#
# SANITIZED names the sanitizers that the tests are also run with by `hack/test --ring asan`, `--ring tsan`: those of the
# modules that read what strangers wrote, or have threads. The target `sanitized` is their programs; each is one ctest with
# the label "sanitized".
#
# FUZZED names the sources that the fuzz targets need where clang cannot compile all: the fuzz preset builds only those.
#
# UNITY compiles several sources as one: each use of a precompiled header instantiates again what the
# header leaves open, which for gRPC, CLI11 and GoogleTest takes longer than most sources themselves.
include(GoogleTest)

add_custom_target(sanitized)

function(berth_module name)
  cmake_parse_arguments(ARG "UNITY" "" "DEPS;PCH;FUZZED;SANITIZED" ${ARGN})
  set(dir ${CMAKE_CURRENT_SOURCE_DIR})
  file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.cc ${dir}/rpc/*.cc ${dir}/convert/*.cc)
  set(tests ${sources})
  set(root_tests ${sources})
  set(mains ${sources})
  set(fuzzers ${sources})
  list(FILTER sources EXCLUDE REGEX "_(test|main|fuzz)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER tests EXCLUDE REGEX "_root_test\\.cc$")
  list(FILTER root_tests INCLUDE REGEX "_root_test\\.cc$")
  list(FILTER mains INCLUDE REGEX "_main\\.cc$")
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")
  if(BERTH_FUZZ AND ARG_FUZZED)
    set(sources ${ARG_FUZZED})
    unset(ARG_PCH)
    foreach(kind tests root_tests mains)
      set(${kind} "")
    endforeach()
  endif()

  if(sources)
    add_library(berth_${name} STATIC ${sources})
    target_include_directories(berth_${name} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(berth_${name} PUBLIC ${ARG_DEPS})
  else()
    add_library(berth_${name} INTERFACE)
    target_include_directories(berth_${name} INTERFACE ${CMAKE_SOURCE_DIR})
    target_link_libraries(berth_${name} INTERFACE ${ARG_DEPS})
  endif()
  if(ARG_PCH AND sources)
    target_precompile_headers(berth_${name} PRIVATE ${ARG_PCH})
  endif()
  if(ARG_UNITY)
    set_target_properties(berth_${name} PROPERTIES UNITY_BUILD ON)
  endif()

  foreach(main ${mains})
    get_filename_component(exe ${main} NAME_WE)
    string(REGEX REPLACE "_main$" "" exe ${exe})
    string(REPLACE "_" "-" exe ${exe})
    add_executable(${exe} ${main})
    target_link_libraries(${exe} PRIVATE berth_${name})
    set_target_properties(${exe} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  endforeach()

  set(sanitized OFF)
  foreach(sanitizer ${ARG_SANITIZED})
    if(BERTH_SANITIZE MATCHES ${sanitizer})
      set(sanitized ON)
    endif()
  endforeach()
  berth_tests(${name}_test unit "${tests}" ${sanitized})
  berth_tests(${name}_root_test root "${root_tests}" ${sanitized})

  foreach(fuzzer ${fuzzers})
    get_filename_component(exe ${fuzzer} NAME_WE)
    add_executable(${exe} ${fuzzer})
    target_link_libraries(${exe} PRIVATE berth_${name})
    if(BERTH_FUZZ)
      target_link_options(${exe} PRIVATE -fsanitize=fuzzer)
    else()
      target_sources(${exe} PRIVATE ${CMAKE_SOURCE_DIR}/test/fuzz_replay.cc)
    endif()
    add_test(NAME ${exe}.replay COMMAND ${exe} ${dir}/testdata/${exe})
    set_tests_properties(${exe}.replay PROPERTIES LABELS unit)
    if(sanitized)
      berth_sanitized(${exe} ${dir}/testdata/${exe})
    endif()
  endforeach()
endfunction()

function(berth_tests exe label sources sanitized)
  if(NOT sources)
    return()
  endif()
  add_executable(${exe} ${sources})
  string(REGEX REPLACE "_(root_)?test$" "" name ${exe})
  target_link_libraries(${exe} PRIVATE berth_${name} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_definitions(${exe} PRIVATE BERTH_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                            BERTH_BIN_DIR="${CMAKE_BINARY_DIR}/bin")
  set_target_properties(${exe} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  gtest_discover_tests(${exe} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                       PROPERTIES LABELS ${label} TIMEOUT 300)
  if(sanitized)
    berth_sanitized(${exe})
  endif()
endfunction()

function(berth_sanitized exe)
  add_dependencies(sanitized ${exe})
  add_test(NAME sanitized.${exe} COMMAND ${exe} ${ARGN})
  set_tests_properties(sanitized.${exe} PROPERTIES LABELS sanitized TIMEOUT 600)
endfunction()
