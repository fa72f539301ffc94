#pragma once
// The sound card, through PortAudio: one full-duplex stream with one callback.

#include <memory>

#include "audio/duplex_device.h"

namespace duet::audio {

/// PortAudio has no hot-plug: its list of devices is made when the library starts, so open starts
/// it anew. At most one at a time.
std::unique_ptr<DuplexDevice> make_portaudio_device();

}  // namespace duet::audio
