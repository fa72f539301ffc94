#pragma once
// What `duet describe DIR` says: architecture, sizes, rates, delays, tensors, memory, arithmetic
// per step, and every problem of a model directory at once.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace duet::engine {

struct PartFigures {
  std::string name = {};          ///< "encoder", "lm", "codec"
  std::string architecture = {};  ///< One line.
  int64_t num_values = 0;         ///< Parameters and buffers, tied ones once.
  int64_t macs_per_step =
      0;  ///< Multiply-accumulates in matrix products for 80 ms; 0: not counted for this family.
  int64_t state_bytes = 0;  ///< Of one session; 0: not counted for this family.
  double delay_ms =
      0.0;  ///< Look-ahead of the encoder; overlap of the codec, which delays nothing.
};

struct StoredTensors {
  int64_t count = 0, bytes = 0;
};

struct Description {
  std::string dir, kind, name, version, description, license;
  std::vector<PartFigures> parts;
  std::map<std::string, StoredTensors> stored;  ///< By type: "I8", "F32", ...
  int64_t num_values = 0;    ///< All values of the model; int8 scales are not counted.
  int64_t file_bytes = 0;    ///< All files of the directory.
  int64_t weight_bytes = 0;  ///< In memory, as fp32.
  int64_t in_sample_rate_hz = 16000, out_sample_rate_hz = 0, out_step_samples = 0,
          num_codebooks = 0;
  std::vector<std::string> problems;  ///< Empty: the directory is valid.
  std::vector<std::string> remarks;   ///< What was not checked, and warnings.
};

/// Reads everything and builds every part. Never throws for what is wrong with the directory: see
/// `problems`.
Description describe_model(const std::string& dir, const std::vector<std::string>& overrides = {});

std::string description_text(const Description& description);
std::string description_json(const Description& description);

}  // namespace duet::engine
