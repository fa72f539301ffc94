# Finds LibTorch's CPU libraries without its own CMake package, which asks for CUDA in PyPI's wheel:
# Debian's libtorch-dev, a libtorch download, or site-packages/torch given by CMAKE_PREFIX_PATH.
# Defines Duet::LibTorch and DuetLibTorch_VERSION.
find_path(DuetLibTorch_INCLUDE_DIR ATen/ATen.h PATH_SUFFIXES include)
find_library(DuetLibTorch_CPU_LIBRARY torch_cpu PATH_SUFFIXES lib)
find_library(DuetLibTorch_C10_LIBRARY c10 PATH_SUFFIXES lib)
if(DuetLibTorch_INCLUDE_DIR AND EXISTS "${DuetLibTorch_INCLUDE_DIR}/torch/csrc/api/include/torch/version.h")
  file(STRINGS "${DuetLibTorch_INCLUDE_DIR}/torch/csrc/api/include/torch/version.h" _version_lines
    REGEX "define TORCH_VERSION ")
  string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" DuetLibTorch_VERSION "${_version_lines}")
endif()
if(NOT DuetLibTorch_VERSION AND DuetLibTorch_INCLUDE_DIR
   AND EXISTS "${DuetLibTorch_INCLUDE_DIR}/torch/headeronly/version.h")
  foreach(part MAJOR MINOR PATCH)
    file(STRINGS "${DuetLibTorch_INCLUDE_DIR}/torch/headeronly/version.h" _line REGEX "define TORCH_VERSION_${part} ")
    string(REGEX MATCH "[0-9]+$" _${part} "${_line}")
  endforeach()
  set(DuetLibTorch_VERSION "${_MAJOR}.${_MINOR}.${_PATCH}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(DuetLibTorch
  REQUIRED_VARS DuetLibTorch_CPU_LIBRARY DuetLibTorch_C10_LIBRARY DuetLibTorch_INCLUDE_DIR
  VERSION_VAR DuetLibTorch_VERSION)
if(DuetLibTorch_FOUND AND NOT TARGET Duet::LibTorch)
  add_library(Duet::LibTorch INTERFACE IMPORTED)
  target_include_directories(Duet::LibTorch SYSTEM INTERFACE "${DuetLibTorch_INCLUDE_DIR}"
    "${DuetLibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  target_link_libraries(Duet::LibTorch INTERFACE "${DuetLibTorch_CPU_LIBRARY}" "${DuetLibTorch_C10_LIBRARY}")
  get_filename_component(_duet_torch_lib "${DuetLibTorch_CPU_LIBRARY}" DIRECTORY)
  # The wheel's libtorch_cpu names CUDA profiling libraries that lie in sibling packages: link although they are
  # resolved only at run time (RPATH below).
  file(GLOB _duet_nvidia_libs "${_duet_torch_lib}/../../nvidia/*/lib")
  target_link_options(Duet::LibTorch INTERFACE "-Wl,--allow-shlib-undefined" "-Wl,-rpath,${_duet_torch_lib}")
  foreach(dir IN LISTS _duet_nvidia_libs)
    target_link_options(Duet::LibTorch INTERFACE "-Wl,-rpath,${dir}")
  endforeach()
endif()
