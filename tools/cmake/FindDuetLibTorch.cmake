# Finds LibTorch's CPU libraries without its own CMake package, which asks for CUDA in PyPI's wheel:
# Debian's libtorch-dev, a libtorch download, or site-packages/torch given by CMAKE_PREFIX_PATH.
# Defines Duet::LibTorch and DuetLibTorch_VERSION.
find_path(DuetLibTorch_INCLUDE_DIR ATen/ATen.h PATH_SUFFIXES include)
find_library(DuetLibTorch_CPU_LIBRARY torch_cpu PATH_SUFFIXES lib)
find_library(DuetLibTorch_C10_LIBRARY c10 PATH_SUFFIXES lib)
# The version's parts: up to 2.8 in the C++ API's header, later in headeronly.
foreach(header torch/csrc/api/include/torch/version.h torch/headeronly/version.h)
  if(DuetLibTorch_INCLUDE_DIR AND NOT DuetLibTorch_VERSION AND EXISTS "${DuetLibTorch_INCLUDE_DIR}/${header}")
    set(_parts)
    foreach(part MAJOR MINOR PATCH)
      file(STRINGS "${DuetLibTorch_INCLUDE_DIR}/${header}" _line REGEX "define TORCH_VERSION_${part} +[0-9]+")
      if(_line MATCHES "([0-9]+)$")
        list(APPEND _parts "${CMAKE_MATCH_1}")
      endif()
    endforeach()
    list(JOIN _parts "." DuetLibTorch_VERSION)
  endif()
endforeach()
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
