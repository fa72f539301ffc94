# Run at build time (cmake -P): writes one C++ file out of several test files, as compiling headers and templates once
# takes less time. What they include comes first; then each is a namespace, so that their private names may
# coincide. -DOUT=<file.cpp> -DFILES=<file,file,...>
string(REPLACE "," ";" files "${FILES}")
set(includes "")
set(bodies "")
set(index 0)
foreach(file IN LISTS files)
  file(STRINGS "${file}" lines REGEX "^#include ")
  list(APPEND includes ${lines})
  string(APPEND bodies "namespace file${index} {\n#include \"${file}\"\n}\n")
  math(EXPR index "${index} + 1")
endforeach()
list(REMOVE_DUPLICATES includes)
list(JOIN includes "\n" includes)
file(WRITE "${OUT}" "${includes}\n${bodies}")
