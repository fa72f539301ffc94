#pragma once
// The folder of a run: `<id>.json`, the result, and `<id>.wav`, user left and agent right.

#include <optional>
#include <string>

#include "runtime/bench/dialog_result.h"

namespace duet::runtime::bench {

/// A result of an earlier run of the same thing (without a fingerprint: of anything); nothing when
/// there is none.
std::optional<DialogResult> read_dialog_file(const std::string& folder, const std::string& id,
                                             const std::optional<std::string>& fingerprint);

/// Writes it (unless `folder` is empty) and returns it as it would be read again, so that a report
/// does not depend on what was resumed. Throws core::LoadError.
DialogResult keep_dialog(const std::string& folder, const DialogResult& result,
                         const std::string& fingerprint);

/// Both channels at the agent's rate.
void write_dialog_audio(const std::string& folder, const std::string& id,
                        const Recording& recording);

}  // namespace duet::runtime::bench
