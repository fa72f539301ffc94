# Run at build time (cmake -P): writes a C++ file that holds every file of a folder as bytes.
#   -DFOLDER=<folder> -DOUT=<file.cpp>
file(GLOB files RELATIVE "${FOLDER}" "${FOLDER}/*")
list(SORT files)
set(arrays "")
set(rows "")
set(index 0)
foreach(name IN LISTS files)
  file(READ "${FOLDER}/${name}" hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND arrays "constexpr unsigned char kFile${index}[] = {${bytes}};\n")
  string(APPEND rows "    {\"${name}\", {reinterpret_cast<const char*>(kFile${index}), sizeof(kFile${index})}},\n")
  math(EXPR index "${index} + 1")
endforeach()
file(WRITE "${OUT}" "#include \"runtime/server/page_files.h\"\n\nnamespace duet::server {\nnamespace {\n${arrays}"
  "const PageFile kFiles[] = {\n${rows}};\n}  // namespace\nstd::span<const PageFile> page_files() noexcept { return kFiles; }\n"
  "}  // namespace duet::server\n")
