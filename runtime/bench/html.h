#pragma once
// What the HTML reports share: the page, table cells, a conversation to look at and to listen to.
// Nothing is loaded from anywhere: styles, pictures and sound are inside.

#include <string>

#include "runtime/bench/dialog_result.h"

namespace duet::runtime::bench {

/// The whole page; `title` is escaped, `body` is HTML.
std::string html_page(const std::string& title, const std::string& body);

/// `<td>` with escaped text; cls "n" is for numbers.
std::string html_cell(const std::string& text, const char* cls = "");

struct DialogHtml {
  std::string folder =
      {};  ///< With `<id>.wav`, user left and agent right; empty: no waveforms, no sound.
  bool has_audio = false;
  bool has_spectrogram = false;
};

/// Its timeline (both voices), sound, spectrograms of both, and a table of its events. Throws
/// core::LoadError for a file that is no audio; one that is not there is left out.
std::string html_dialog(const DialogResult& dialog, const DialogHtml& options);

}  // namespace duet::runtime::bench
