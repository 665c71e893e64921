# Programs with failpoints (src/base/failpoint.h), for tests. What has none is compiled once for both: the sources that
# have some are compiled again with BERTH_FAILPOINTS, and stand before the libraries that have them without.
set(BERTH_FAILPOINTS_DIR ${CMAKE_BINARY_DIR}/failpoints)
file(MAKE_DIRECTORY ${BERTH_FAILPOINTS_DIR})

# Sets `result` to whether there are any in `source`. Asked when the build is configured: the first of a file is seen
# by the next configuration.
function(has_failpoints source result)
  file(STRINGS ${source} uses REGEX "(FAULT|FAILPOINT)\\(" LIMIT_COUNT 1)
  if(uses)
    set(${result} TRUE PARENT_SCOPE)
  else()
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()

# failpoint_program(NAME LIBRARY library... FOLDERS folder...): bin/NAME once more, as failpoints/NAME. FOLDERS of src/
# are looked through for points.
function(failpoint_program name)
  cmake_parse_arguments(ARG "" "" "LIBRARY;FOLDERS" ${ARGN})
  set(sources "")
  foreach(folder ${ARG_FOLDERS})
    file(GLOB candidates CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${folder}/*.cc)
    list(FILTER candidates EXCLUDE REGEX "_(test|fuzz)\\.cc$")
    foreach(source ${candidates})
      has_failpoints(${source} points)
      if(points)
        list(APPEND sources ${source})
      endif()
    endforeach()
  endforeach()
  set(mains ${sources})
  list(FILTER mains INCLUDE REGEX "_main\\.cc$")
  add_executable(${name}-failpoints ${sources})
  if(NOT mains)
    target_sources(${name}-failpoints PRIVATE $<TARGET_OBJECTS:${name}>)
  endif()
  target_compile_definitions(${name}-failpoints PRIVATE BERTH_FAILPOINTS)
  target_link_libraries(${name}-failpoints PRIVATE ${ARG_LIBRARY})
  set_target_properties(${name}-failpoints PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${BERTH_FAILPOINTS_DIR})
endfunction()
