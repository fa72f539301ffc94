#include "tools/commands/commands.h"

int main(int argc, char** argv) { return duet::commands::run_main(argc, argv); }
