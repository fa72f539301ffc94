#pragma once
// `duet talk`, which is also what `duet` alone does.

#include <CLI/CLI.hpp>

#include <filesystem>
#include <string>
#include <vector>

#include "audio/device_list.h"
#include "audio/echo_canceller.h"
#include "runtime/engine.h"

namespace duet::commands {

/// The recording that stands in for a live user.
inline constexpr const char* kDemoRecording = "conversation.ogg";

/// The first of `folders` that holds `name`; throws core::LoadError naming the folders.
std::filesystem::path find_demo(const std::string& name,
                                const std::vector<std::filesystem::path>& folders);

/// Where demo recordings lie: the source tree, then <prefix>/share/duet/demo of the installed
/// binary.
std::vector<std::filesystem::path> demo_folders();

/// Why the demo plays instead of a live conversation, in one line; empty: both microphone and
/// speaker are there.
std::string why_demo(const std::vector<audio::AudioDevice>& devices);

/// "full", "speex" or "none".
audio::EchoConfig::Backend echo_backend(const std::string& name);

/// --seed, --temperature, --interruptibility, --greet.
void add_session_options(CLI::App& command, runtime::SessionOptions& session);

}  // namespace duet::commands
