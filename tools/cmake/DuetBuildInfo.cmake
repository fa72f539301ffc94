# Run at build time (cmake -P): writes duet_build_info.h, and touches it only when its text changes, so that a new
# commit recompiles one file and nothing else.
#   -DSOURCE=<source folder> -DOUT=<header> -DVERSION=<x.y.z> -DBUILD_TYPE=<Release...>
set(commit "unknown")
find_program(GIT git)
if(GIT AND EXISTS "${SOURCE}/.git")
  execute_process(COMMAND "${GIT}" -c safe.directory=* -C "${SOURCE}" rev-parse --short=10 HEAD OUTPUT_VARIABLE found
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    set(commit "${found}")
    execute_process(COMMAND "${GIT}" -c safe.directory=* -C "${SOURCE}" diff --quiet HEAD -- ERROR_QUIET RESULT_VARIABLE dirty)
    if(dirty)
      string(APPEND commit "+")
    endif()
  endif()
endif()
set(text "#define DUET_VERSION \"${VERSION}\"\n#define DUET_COMMIT \"${commit}\"\n#define DUET_BUILD_TYPE \"${BUILD_TYPE}\"\n")
set(old "")
if(EXISTS "${OUT}")
  file(READ "${OUT}" old)
endif()
if(NOT old STREQUAL text)
  file(WRITE "${OUT}" "${text}")
endif()
