#pragma once
// The seam between everything that moves audio (files, devices, servers, benchmarks) and everything
// that thinks (LibTorch). No tensors cross it: a step takes one block of microphone samples and
// gives one block of the agent's voice with what was said and heard meanwhile. Implementations:
// runtime/engine/ (LibTorch) and tests/support/fake_engine.h.
//
// Clock. A session counts steps from 0. Step t takes input samples [t, t+1) * block_samples. Its
// pcm can be played from the moment the step returns, so a live listener hears its first sample no
// earlier than (t + 1) * step_seconds: all look-ahead inside the engine is already paid for by then
// (the engine delays, it never guesses), and the pcm already contains the delay of the codec. The
// declared latencies below are there to be shown and tested, and must not be added to that time a
// second time.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace duet::runtime {

/// Constant facts about a loaded model. All values are positive unless said otherwise.
struct EngineInfo {
  int input_rate_hz = 16000;
  int output_rate_hz = 24000;
  int block_samples = 1280;         ///< Input samples per step.
  int output_block_samples = 1920;  ///< Output samples per step.
  double step_seconds =
      0.08;  ///< block_samples / input_rate_hz = output_block_samples / output_rate_hz.
  /// Input samples that the encoder waits for beyond the time it speaks about (>= 0). Step t has
  /// heard the user up to sample (t + 1) * block_samples - encoder_lookahead_samples.
  int encoder_lookahead_samples = 0;
  /// Output samples by which pcm lags the decoder's offline output (>= 0), e.g. the overlap of its
  /// inverse STFT.
  int codec_latency_samples = 0;
  int num_codebooks = 4;
  bool has_user_text = false;      ///< StepOutput::user_text is filled.
  bool has_user_activity = false;  ///< StepOutput::user_speaking is filled.
  bool can_say = false;            ///< Session::say() has an effect.
  std::string model_name;          ///< As in the model's config.
  std::string model_version;       ///< As in the model's config, empty when it says none.
  std::string model_path;          ///< Folder it was loaded from.
  std::string dtype;               ///< "float32", "bfloat16", "int8".
};

/// What a conversation may choose. Validated by make_session, which throws ConfigError.
struct SessionOptions {
  std::uint64_t seed = 0;
  /// 0 is greedy (the default); otherwise the temperature of text and codes, in (0, 2].
  double temperature = 0.0;
  /// The agent speaks first.
  bool greet = false;
  /// Bias on the model's own end and silence logits; larger stops sooner. Unset: the model's
  /// default.
  std::optional<double> interruptibility = std::nullopt;
};

/// Everything one step produced. The caller owns it and passes the same one again: no allocation
/// once warm.
struct StepOutput {
  std::vector<float> pcm;  ///< output_block_samples of the agent's voice, in [-1, 1].
  std::string agent_text;  ///< UTF-8 that the text channel completed in this step, with its spaces;
                           ///< mostly empty.
  bool agent_turn_started =
      false;  ///< First piece of a reply came in this step (precedes agent_text).
  bool agent_turn_ended =
      false;              ///< The model ended or cut its reply in this step (follows agent_text).
  std::string user_text;  ///< Words newly recognised in the user's speech, with leading space;
                          ///< mostly empty.
  float user_speaking = 0.0F;  ///< Probability in [0, 1] that the user is speaking; events only.
  std::vector<int> codes;      ///< num_codebooks codes decided in this step.
  int text_token = -1;         ///< Text token decided in this step.

  /// Empties everything, keeps the capacity.
  void clear();
};

/// A step that failed: the session is poisoned. what() is one line.
class StepError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One conversation. Not thread-safe; different sessions of one engine may run on different
/// threads.
class Session {
 public:
  virtual ~Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// One step. `block`: block_samples at input_rate_hz, in [-1, 1]. Clears `out`, then fills it.
  /// Whatever goes wrong (wrong block size, a non-finite input or output sample, an exception of
  /// the engine) is thrown as StepError and poisons the session: from then on step throws, until
  /// reset.
  void step(std::span<const float> block, StepOutput& out);

  /// Back to the start of a conversation, with the same options and seed; also heals a poisoned
  /// session.
  void reset();

  /// The agent begins to speak at the next step, as with SessionOptions::greet; without effect
  /// while it speaks, and on engines that cannot. Between steps, on the thread that steps.
  virtual void begin_turn() {}
  /// The agent's turn ends at the next step, as if the model had ended it; without effect while it
  /// is silent, and on engines that cannot. Between steps, on the thread that steps.
  virtual void end_turn() {}
  /// The agent's next words are these, from the next step, in place of what it was saying; it still
  /// yields to the user as it does in words of its own. Without effect on engines that cannot
  /// (EngineInfo::can_say). Between steps, on the thread that steps.
  virtual void say(std::string_view) {}

  bool poisoned() const noexcept { return poisoned_; }
  /// Steps done since the start or the last reset.
  std::int64_t num_steps() const noexcept { return num_steps_; }
  const EngineInfo& info() const noexcept { return *info_; }

 protected:
  /// `info` must outlive the session (the engine's own).
  explicit Session(const EngineInfo& info) : info_(&info) {}

 private:
  friend class Engine;
  /// What precedes and follows every step; both throw StepError.
  void begin_step(std::span<const float> block, StepOutput& out);
  void end_step(const StepOutput& out);
  std::string place() const;

  /// `out` is cleared and `block` has the right size; `out.pcm` must have output_block_samples
  /// afterwards.
  virtual void do_step(std::span<const float> block, StepOutput& out) = 0;
  virtual void do_reset() = 0;

  const EngineInfo* info_;
  std::int64_t num_steps_ = 0;
  bool poisoned_ = false;
};

/// One session's part in Engine::step_together.
struct StepJob {
  Session* session = nullptr;    ///< Of this engine.
  std::span<const float> block;  ///< As Session::step takes it.
  StepOutput* out = nullptr;     ///< As Session::step fills it.
  std::string error;  ///< Result: empty, or what Session::step would have thrown; then that session
                      ///< is poisoned and `out` undefined.
};

/// A loaded model: immutable, shared by its sessions, which it must outlive. Thread-safe.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual const EngineInfo& info() const noexcept = 0;
  /// Throws core::ConfigError for options outside their ranges or not supported by the model.
  virtual std::unique_ptr<Session> make_session(const SessionOptions& options) const = 0;
  /// Steps different sessions of this engine together: each result is Session::step's for it, at
  /// less cost where the engine can share work between them. Failures stay with their session. On
  /// one thread, which is then the thread of all these sessions.
  void step_together(std::span<StepJob> jobs) const;

 private:
  /// Jobs whose blocks are sound, outputs cleared. Sets `error` of those that fail. Default: one
  /// after another.
  virtual void do_step_together(std::span<StepJob* const> jobs) const;
};

/// Checks the ranges of SessionOptions; throws core::ConfigError. Engines call it first.
void validate(const SessionOptions& options);

}  // namespace duet::runtime
