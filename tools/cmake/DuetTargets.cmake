# Helpers shared by all targets: warnings, sanitizers, and "one library per folder".

function(duet_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wconversion -Wdouble-promotion
    -Wno-sign-conversion)
  # GCC 12 warns falsely, and at length, about std::string at -O3 (GCC bugs 105651, 105329). Whatever of this is real,
  # the asan stage finds.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)
  endif()
  # Warns about private types of any file but the one compiled, and that is a generated one with DUET_UNITY.
  if(DUET_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
  endif()
  if(DUET_WERROR)
    # CMake adds -Winvalid-pch: a target that cannot use the precompiled header is found here, too.
    target_compile_options(${target} PRIVATE -Werror)
  endif()
endfunction()

if(DUET_SANITIZE)
  add_compile_options(-fsanitize=${DUET_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${DUET_SANITIZE})
  if(DUET_SANITIZE MATCHES "undefined")
    # These look at every access through a pointer: compiling takes twice as long, and most of what they find,
    # AddressSanitizer does.
    add_compile_options(-fno-sanitize=null,vptr,alignment,object-size,nonnull-attribute,returns-nonnull-attribute)
  endif()
endif()

# duet_library(NAME DIRS dir... DEPS target...): a static library of every .cpp directly in the given folders
# (an INTERFACE library while a folder has none), with root-relative includes.
function(duet_library name)
  cmake_parse_arguments(ARG "" "" "DIRS;DEPS" ${ARGN})
  set(sources)
  foreach(dir IN LISTS ARG_DIRS)
    file(GLOB found CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${dir}/*.cpp")
    list(APPEND sources ${found})
  endforeach()
  if(sources)
    add_library(${name} STATIC ${sources})
    target_include_directories(${name} PUBLIC "${CMAKE_SOURCE_DIR}")
    target_link_libraries(${name} PUBLIC ${ARG_DEPS})
    duet_warnings(${name})
    set_target_properties(${name} PROPERTIES UNITY_BUILD ${DUET_UNITY} UNITY_BUILD_BATCH_SIZE 8)
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE "${CMAKE_SOURCE_DIR}")
    target_link_libraries(${name} INTERFACE ${ARG_DEPS})
  endif()
endfunction()

# Uses duet_models' precompiled ATen/ATen.h for a target that has sources.
function(duet_reuse_pch target)
  get_target_property(kind ${target} TYPE)
  if(NOT kind STREQUAL "INTERFACE_LIBRARY")
    target_precompile_headers(${target} REUSE_FROM duet_models)
  endif()
endfunction()

# duet_embed(TARGET FOLDER): every file of FOLDER becomes part of the program, refreshed when it changes
# (runtime/server/page_files.h reads them).
function(duet_embed target folder)
  file(GLOB files CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${folder}/*")
  set(out "${CMAKE_BINARY_DIR}/generated/duet_page_files.cpp")
  add_custom_command(OUTPUT "${out}" DEPENDS ${files} "${CMAKE_SOURCE_DIR}/tools/cmake/DuetEmbed.cmake"
    COMMAND "${CMAKE_COMMAND}" "-DFOLDER=${CMAKE_SOURCE_DIR}/${folder}" "-DOUT=${out}"
      -P "${CMAKE_SOURCE_DIR}/tools/cmake/DuetEmbed.cmake"
    COMMENT "Web page" VERBATIM)
  target_sources(${target} PRIVATE "${out}")
endfunction()
