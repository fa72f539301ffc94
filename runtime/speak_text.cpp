#include "runtime/speak_text.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "runtime/core/error.h"

extern char** environ;

namespace duet::runtime {

namespace {

namespace fs = std::filesystem;

/// The text and the speech, in a folder of their own that goes when this goes.
class WorkFolder {
 public:
  WorkFolder() {
    std::string name = (fs::temp_directory_path() / "duet-speak-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      throw core::LoadError({.subject = "temporary folder",
                             .expected = "one to create",
                             .found = std::strerror(errno),
                             .file = name,
                             .hint = ""});
    }
    path_ = name;
  }
  ~WorkFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

bool is_installed(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::string folders = path != nullptr ? path : "";
  for (std::size_t at = 0; at <= folders.size();) {
    const std::size_t end = std::min(folders.find(':', at), folders.size());
    const fs::path candidate = fs::path(folders.substr(at, end - at)) / program;
    if (::access(candidate.c_str(), X_OK) == 0 && !fs::is_directory(candidate)) return true;
    at = end + 1;
  }
  return false;
}

/// Runs a program with its output thrown away; its exit code, or -1.
int run(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", 0 /* O_RDONLY */, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1 /* O_WRONLY */, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", 1, 0);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return -1;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

audio::AudioClip speak_text(const std::string& text, const std::vector<std::string>& synthesisers) {
  if (std::none_of(text.begin(), text.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || (c & 0x80) != 0;
      })) {
    throw core::ConfigError({.subject = "text",
                             .expected = "something to say",
                             .found = "no word",
                             .file = "",
                             .hint = ""});
  }
  const auto program = std::find_if(synthesisers.begin(), synthesisers.end(), is_installed);
  if (program == synthesisers.end()) {
    throw core::ConfigError({.subject = "speech synthesiser",
                             .expected = "flite or espeak-ng",
                             .found = "neither",
                             .file = "PATH",
                             .hint = "apt-get install flite"});
  }
  const WorkFolder folder;
  const std::string text_file = folder.file("text.txt");
  const std::string speech_file = folder.file("speech.wav");
  std::ofstream(text_file) << text << '\n';
  const int code = *program == "espeak-ng" ? run({*program, "-w", speech_file, "-f", text_file})
                                           : run({*program, "-f", text_file, "-o", speech_file});
  if (code != 0) {
    throw core::LoadError({.subject = *program,
                           .expected = "exit code 0",
                           .found = std::to_string(code),
                           .file = "",
                           .hint = ""});
  }
  return audio::load_audio_file(speech_file);
}

}  // namespace duet::runtime
