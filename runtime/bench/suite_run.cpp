#include "runtime/bench/suite_run.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <thread>

#include "runtime/bench/dialog_files.h"
#include "runtime/core/error.h"
#include "runtime/machine.h"

namespace duet::runtime::bench {

namespace {

namespace fs = std::filesystem;

/// So many dialogues in a row without a connection: the server is not there.
constexpr int kMaxUnreachable = 3;

class SuiteRun {
 public:
  SuiteRun(const System& system, const Script& script, const SuiteOptions& options,
           const SuiteHooks& hooks)
      : system_(system), script_(script), options_(options), hooks_(hooks) {
    validate(options.session);
    const EngineInfo& info = system.info();
    result_.system = info.model_name;
    if (!info.model_version.empty()) result_.system += " " + info.model_version;
    result_.suite = script.name;
    result_.mode = options.mode.value_or(script.mode);
    result_.seed = options.session.seed;
    result_.suite_seed = script.seed;
    result_.temperature = options.session.temperature;
    result_.dtype = info.dtype;
    result_.fingerprint = script.fingerprint;
    result_.num_dialogs =
        options.limit == 0 ? script.dialogs.size() : std::min(options.limit, script.dialogs.size());
    // What a kept file has to agree with to be taken instead of a run.
    owner_ = script.fingerprint + " " + name_of(result_.mode) + " " + result_.system + " " +
             info.dtype + " " + std::to_string(result_.seed) + " " +
             std::to_string(result_.temperature) + " " +
             (options.session.interruptibility ? std::to_string(*options.session.interruptibility)
                                               : std::string("default"));
  }

  SuiteResult run() {
    if (!options_.folder.empty()) fs::create_directories(options_.folder);
    done_.resize(result_.num_dialogs);
    const int wanted =
        options_.num_threads > 0 ? options_.num_threads : std::max(1, cpu_info().num_cores);
    const auto num_threads = std::min<std::size_t>(static_cast<std::size_t>(wanted), done_.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 1; i < num_threads; ++i) threads.emplace_back([this] { work(); });
    work();
    for (std::thread& thread : threads) thread.join();
    if (failure_) std::rethrow_exception(failure_);
    for (auto& dialog : done_) {
      if (!dialog) continue;
      if (!system_.is_realtime())
        result_.audio_s += static_cast<double>(dialog->num_steps) * system_.info().step_seconds;
      result_.compute_s += dialog->compute_s / std::max(1, options_.num_sharing);
      result_.dialogs.push_back(std::move(*dialog));
    }
    return std::move(result_);
  }

 private:
  bool should_stop() {
    if (is_stopped_) return true;
    if (hooks_.should_stop && hooks_.should_stop()) is_stopped_ = true;
    return is_stopped_;
  }

  void work() {
    try {
      for (std::size_t i = next_++; i < done_.size() && !should_stop(); i = next_++) {
        std::optional<DialogResult> dialog = resume(script_.dialogs[i]);
        const bool is_resumed = dialog.has_value();
        if (!dialog) dialog = run_dialog(script_.dialogs[i]);
        if (!dialog) return;
        const std::lock_guard lock(mutex_);
        result_.num_resumed += is_resumed;
        done_[i] = std::move(dialog);
        if (hooks_.on_progress) hooks_.on_progress(++num_done_, done_.size());
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      is_stopped_ = true;
    }
  }

  std::optional<DialogResult> resume(const ScriptDialog& dialog) const {
    if (options_.folder.empty()) return std::nullopt;
    auto kept = read_dialog_file(options_.folder, dialog.id, owner_);
    // What a server failed at once it may do now.
    if (kept && system_.is_realtime() && !kept->error.empty()) return std::nullopt;
    return kept;
  }

  /// Nothing when it was told to stop.
  std::optional<DialogResult> run_dialog(const ScriptDialog& dialog) {
    const std::vector<Clip> clips = load_clips(dialog, system_.info().input_rate_hz);
    DialogResult failed;
    failed.id = dialog.id;
    failed.error = unreachable();
    bool may_go_on = failed.error.empty();
    for (int attempt = 1; may_go_on; ++attempt) {
      try {
        const auto result = attempt_dialog(dialog, clips);
        if (!result) return std::nullopt;
        num_unreachable_ = 0;
        return keep_dialog(options_.folder, *result, owner_);
      } catch (const ConnectError& error) {  // connect() has tried again by itself.
        failed.error = error.what();
        note_unreachable(failed.error);
        may_go_on = false;
      } catch (const LostError& error) {
        failed.error = error.what();
        may_go_on = error.may_retry() && attempt < options_.max_attempts && !should_stop();
      } catch (const StepError& error) {
        failed.error = error.what();
        may_go_on = false;
      }
    }
    return keep_dialog(options_.folder, failed, owner_);
  }

  /// Nothing when it was told to stop.
  std::optional<DialogResult> attempt_dialog(const ScriptDialog& dialog,
                                             const std::vector<Clip>& clips) {
    ConversationPlan plan{.mode = result_.mode, .session = options_.session, .should_stop = [this] {
                            return should_stop();
                          }};
    const Recording main = converse(system_, script_, dialog, clips, plan);
    if (main.is_stopped) return std::nullopt;
    std::int64_t num_steps = main.num_steps;
    double compute_s = main.compute_s;
    std::optional<double> lag_s = main.lag_s;
    std::map<std::size_t, Activity> controls;
    plan.places = main.places;
    for (std::size_t i = 0; i < dialog.events.size(); ++i) {
      const Segment& user = main.places[i].user;
      if (!control_matters(dialog.events[i], user, main.activity)) continue;
      plan.removed = i;
      plan.until_s = user.start_s + control_seconds(dialog.events[i]);
      Recording control = converse(system_, script_, dialog, clips, plan);
      if (control.is_stopped) return std::nullopt;
      num_steps += control.num_steps;
      compute_s += control.compute_s;
      lag_s = std::max(lag_s, control.lag_s);
      controls[i] = std::move(control.activity);
    }
    DialogResult result = score_dialog(dialog, main, controls);
    result.num_steps = num_steps;
    result.compute_s = compute_s;
    result.lag_s = lag_s;
    if (!options_.folder.empty()) write_dialog_audio(options_.folder, dialog.id, main);
    return result;
  }

  std::string unreachable() {
    const std::lock_guard lock(mutex_);
    return num_unreachable_ < kMaxUnreachable ? "" : "not tried: " + why_unreachable_;
  }
  void note_unreachable(const std::string& why) {
    const std::lock_guard lock(mutex_);
    if (++num_unreachable_ == kMaxUnreachable) why_unreachable_ = why;
  }

  const System& system_;
  const Script& script_;
  const SuiteOptions& options_;
  const SuiteHooks& hooks_;
  std::string owner_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> is_stopped_ = false;
  std::atomic<int> num_unreachable_ = 0;  // Dialogues in a row.
  std::mutex mutex_;                      // Guards the members below while threads run.
  std::vector<std::optional<DialogResult>> done_;
  std::size_t num_done_ = 0;
  std::string why_unreachable_;
  std::exception_ptr failure_;
  SuiteResult result_;
};

}  // namespace

SuiteResult run_suite(const System& system, const Script& script, const SuiteOptions& options,
                      const SuiteHooks& hooks) {
  return SuiteRun(system, script, options, hooks).run();
}

SuiteResult run_suite(const Engine& engine, const Script& script, const SuiteOptions& options,
                      const SuiteHooks& hooks) {
  return run_suite(EngineSystem(engine), script, options, hooks);
}

}  // namespace duet::runtime::bench
