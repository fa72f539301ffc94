#pragma once
// `duet talk`, which is also what `duet` alone does.

#include <filesystem>
#include <string>
#include <vector>

#include "audio/device_list.h"

namespace duet::commands {

/// The recording that stands in for a live user.
inline constexpr const char* kDemoRecording = "conversation.ogg";

/// The first of `folders` that holds `name`; throws core::LoadError naming the folders.
std::filesystem::path find_demo(const std::string& name,
                                const std::vector<std::filesystem::path>& folders);

/// Where demo recordings lie: the source tree, then <prefix>/share/duet/demo of the installed
/// binary.
std::vector<std::filesystem::path> demo_folders();

/// Why the demo plays instead of a live conversation, in one line.
std::string why_demo(const std::vector<audio::AudioDevice>& devices);

}  // namespace duet::commands
