#pragma once
// Other programs, started.

#include <sys/types.h>

#include <string>
#include <vector>

namespace duet::core {

/// What become the descriptors 0, 1 and 2 of a program; below 0: what they are here.
struct StandardFiles {
  int in = -1, out = -1, err = -1;
};

/// Starts arguments[0], which is looked for in PATH, with signals as a program expects them and in
/// a process group of its own: a Ctrl-C is its parent's alone. Returns 0 and sets `child`, or gives
/// the error as errno does.
int start_program(std::vector<std::string> arguments, const StandardFiles& files, pid_t& child);

}  // namespace duet::core
