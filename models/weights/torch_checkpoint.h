#pragma once
// Files of torch.save (the zip format, PyTorch 1.6 and later) and NeMo's `.nemo` archives, read
// without executing anything: a small machine for the pickle language that knows ordered
// dictionaries, lists, tuples, numbers, strings, storages and tensors, and refuses every other
// global by name. Source: nemo-duplex-s2s 1.5; CPython Lib/pickletools.py; torch/serialization.py,
// torch/_utils.py.

#include <memory>
#include <string>
#include <string_view>

#include "models/weights/weight_reader.h"

namespace duet::models {

/// The tensors of a torch.save zip: of the top dictionary, or of its "state_dict" when there is
/// one. Names of nested dictionaries are joined with dots. Values that are no tensors are skipped.
/// Tensors are contiguous copies in the stored type. Throws core::LoadError: truncated, unknown
/// opcode or global, tensors that reach beyond their storage.
TensorMap read_torch_checkpoint(std::string_view bytes, std::shared_ptr<const void> owner,
                                const std::string& file);
TensorMap load_torch_checkpoint(const std::string& path);

struct NemoArchive {
  std::string config_yaml;  ///< model_config.yaml, for core::ConfigReader::parse.
  TensorMap tensors;        ///< model_weights.ckpt, names as stored.
};

/// Tar, plain or gzip. Throws core::LoadError.
NemoArchive read_nemo(const std::string& path);

}  // namespace duet::models
