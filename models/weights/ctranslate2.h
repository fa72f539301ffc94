#pragma once
// Reader of CTranslate2's model.bin, to import pretrained encoders (Whisper-tiny's). Source:
// OpenNMT/CTranslate2 src/models/model.cc (load) and python/ctranslate2/specs/model_spec.py
// (_serialize). Layout, little-endian: u32 binary version, string specification, u32 revision, u32
// count, count x variable, u32 count, count x alias. variable: string name, u8 rank, rank x u32
// size, u8 type (0 f32, 1 i8, 2 i16, 3 i32, 4 f16, 5 bf16), u32 bytes, data. string: u16 length
// with the final 0, bytes. alias: string alias, string variable name. Not supported: binary
// versions below 4 (before 2022), AWQ-packed 4-bit weights.

#include <string>

#include "models/weights/weight_reader.h"

namespace duet::models {

struct CTranslate2File {
  std::string specification;  ///< "WhisperSpec"
  int64_t revision = 0;
  TensorMap tensors;  ///< Names as stored ("encoder/layer_0/self_attention/linear_0/weight"),
                      ///< aliases included.
};

/// Tensors keep the stored type, except that quantised weights (i8, i16 with a "<name>_scale"
/// beside them) become fp32: value / scale, one scale a row or one in all; the scale itself is left
/// out. Throws core::LoadError: truncated, sizes that lie, duplicate or dangling names, unknown
/// version or type.
CTranslate2File read_ctranslate2(const std::string& path);

}  // namespace duet::models
