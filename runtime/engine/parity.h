#pragma once
// How close a loaded model is to a reference implementation, stage by stage, from a dump of the
// reference's run (docs/parity.md): differences by percentiles, token agreement with the
// reference's own tokens fed back (teacher-forced) and with ours (free-running), and the first step
// that differs.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "codecs/neural/codec.h"
#include "models/duplex_lm.h"
#include "models/speech_encoder.h"
#include "models/weights/weight_reader.h"

namespace duet::engine {

/// What is compared; borrowed.
struct ParityModel {
  const models::SpeechEncoder* encoder = nullptr;
  const models::DuplexLm* lm = nullptr;
  const codecs::CodecDecoder* codec = nullptr;
  std::vector<int64_t>
      silence_codes;  ///< Empty: control codes are replaced by the first frame's, as in NeMo.
};

struct ParityOptions {
  /// Limit of |ours - reference| per stage: absolute + relative * |reference|. The defaults are
  /// what fp32 costs a stack of scaled Conformer layers when the reference is in double precision
  /// (4e-4 for the tiny model).
  double absolute = 5e-4;
  double relative = 1e-3;
};

/// |ours - reference| over all values of one stage.
struct StageParity {
  std::string stage;
  int64_t num_values = 0;
  double mean = 0.0, p90 = 0.0, p99 = 0.0, max = 0.0;
  double max_reference = 0.0;              ///< Largest |reference|, for scale.
  std::optional<int64_t> first_differing;  ///< First row (frame, step, sample) beyond the limit.
  std::string
      problem;  ///< Shapes that differ, values that are not numbers; then nothing was compared.
  bool is_within() const { return problem.empty() && !first_differing; }
};

struct TokenParity {
  std::string mode;  ///< "teacher-forced" or "free-running".
  int64_t num_steps = 0;
  int64_t num_equal_text = 0;   ///< Steps with the reference's text token.
  int64_t num_equal_codes = 0;  ///< Steps with all of the reference's codes.
  std::optional<int64_t> first_differing;
};

struct ParityReport {
  std::vector<StageParity> stages;
  std::vector<TokenParity> tokens;
  ParityOptions options;
  /// Every stage within its limit and every token equal.
  bool is_within() const;
  std::string to_table() const;
  std::string to_json() const;
};

/// Compares every stage that `reference` holds; see docs/parity.md for the names. Throws
/// core::LoadError when `pcm` is missing or a tensor is not what its name says. `file` names the
/// dump in errors.
ParityReport compare_with_reference(const ParityModel& model, const models::TensorMap& reference,
                                    const std::string& file, const ParityOptions& options = {});

}  // namespace duet::engine
