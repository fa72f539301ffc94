#pragma once
// The one way modules get their tensors. A module asks for each of its tensors by name and shape,
// once, in its constructor; where they come from (a checkpoint, a test's formula, a trainer's
// initialiser) is the reader's affair. So the trainer lists parameters without a second definition
// of any layer: it hands them out itself.

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace duet::models {

/// How a trainer that starts from nothing fills a parameter. Ignored by readers of checkpoints.
struct Init {
  enum class Kind { kZeros, kOnes, kConstant, kNormal, kFanIn };
  Kind kind = Kind::kFanIn;
  double scale = 1.0;  ///< kConstant: the value; kNormal: the standard deviation; kFanIn: times
                       ///< 1/sqrt(numel/shape[0]).

  static Init zeros() { return {Kind::kZeros, 0.0}; }
  static Init ones() { return {Kind::kOnes, 1.0}; }
  static Init constant(double value) { return {Kind::kConstant, value}; }
  static Init normal(double standard_deviation) { return {Kind::kNormal, standard_deviation}; }
  static Init fan_in(double gain = 1.0) { return {Kind::kFanIn, gain}; }
};

/// Source of named tensors. Problems (missing, misshapen, non-finite, unused) are collected and
/// thrown together by finish(), so that a user sees all of them at once. Not thread-safe.
class WeightReader {
 public:
  virtual ~WeightReader() = default;

  /// A trainable tensor, fp32 (or the dtype the reader was told to use), contiguous, of exactly
  /// `shape`.
  virtual at::Tensor parameter(const std::string& name, at::IntArrayRef shape,
                               Init init = Init::fan_in()) = 0;

  /// A stored tensor that training never changes (filter bank, window, running statistics).
  /// `make` gives the default a checkpoint may omit; without it the tensor is required.
  virtual at::Tensor buffer(const std::string& name, at::IntArrayRef shape,
                            const std::function<at::Tensor()>& make = nullptr) = 0;

  virtual bool contains(const std::string& name) const = 0;

  /// Throws core::LoadError listing every problem found so far, tensors never asked for included.
  virtual void finish() = 0;
};

/// A reader seen from inside a name prefix ("perception.encoder."). Copyable view; the reader must
/// outlive it.
class WeightScope {
 public:
  WeightScope(WeightReader& reader, std::string prefix = "")
      : reader_(&reader), prefix_(std::move(prefix)) {}

  WeightScope sub(std::string_view child) const {
    return {*reader_, prefix_ + std::string(child) + "."};
  }
  WeightScope sub(std::string_view child, int64_t index) const {
    return {*reader_, prefix_ + std::string(child) + "." + std::to_string(index) + "."};
  }
  at::Tensor parameter(std::string_view name, at::IntArrayRef shape,
                       Init init = Init::fan_in()) const {
    return reader_->parameter(prefix_ + std::string(name), shape, init);
  }
  at::Tensor buffer(std::string_view name, at::IntArrayRef shape,
                    const std::function<at::Tensor()>& make = nullptr) const {
    return reader_->buffer(prefix_ + std::string(name), shape, make);
  }
  bool contains(std::string_view name) const {
    return reader_->contains(prefix_ + std::string(name));
  }
  const std::string& prefix() const { return prefix_; }
  WeightReader& reader() const { return *reader_; }

 private:
  WeightReader* reader_;
  std::string prefix_;
};

using TensorMap = std::map<std::string, at::Tensor>;

/// Reads from tensors already in memory; every name must be asked for, or match one of `ignorable`
/// (a trailing or inner '*' is a wildcard). `source` names the file in errors.
class TensorMapReader : public WeightReader {
 public:
  TensorMapReader(TensorMap tensors, std::string source, std::vector<std::string> ignorable = {});

  at::Tensor parameter(const std::string& name, at::IntArrayRef shape, Init init) override;
  at::Tensor buffer(const std::string& name, at::IntArrayRef shape,
                    const std::function<at::Tensor()>& make) override;
  bool contains(const std::string& name) const override;
  void finish() override;

 private:
  at::Tensor take(const std::string& name, at::IntArrayRef shape);

  TensorMap tensors_;
  std::map<std::string, bool> used_;
  std::string source_;
  std::vector<std::string> ignorable_;
  std::vector<std::string> problems_;
};

}  // namespace duet::models
