#pragma once
// The safetensors container: u64 little-endian header length, JSON header {name: {dtype, shape,
// data_offsets}}, raw little-endian data. Source: https://github.com/huggingface/safetensors
// (format section); nemo-duplex-s2s 1.1. Types: F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL. Not
// supported: F8 types, sharded files (an index .json).

#include <map>
#include <string>

#include "models/weights/weight_reader.h"

namespace duet::models {

struct SafetensorsFile {
  TensorMap tensors;  ///< In the stored type. Point into the mapped file where aligned.
  std::map<std::string, std::string> metadata;  ///< `__metadata__`, as stored.
};

/// Reads and checks a file. `__metadata__` entries "dropped name: kept name" of parameters that
/// shared storage become tensors again, sharing it. Throws core::LoadError (every bad entry in one
/// message) on headers that lie: sizes beyond the file, shapes that do not fit their bytes,
/// overlaps, gaps, unknown types, duplicate names, truncation. The tensors are private copies on
/// write: changing one never changes the file.
SafetensorsFile read_safetensors(const std::string& path);

/// read_safetensors without the metadata.
TensorMap load_safetensors(const std::string& path);

/// Writes all tensors (any strides, CPU) atomically: the file appears complete or not at all, the
/// same bytes for the same tensors. Tensors with the very same storage are written once and named
/// in `__metadata__`. Throws core::Error when a type cannot be stored or writing fails.
void save_safetensors(const std::string& path, const TensorMap& tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace duet::models
