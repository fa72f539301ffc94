#include "runtime/echo_bench.h"

#include <ctime>

#include <algorithm>
#include <cmath>

#include "audio/capture_path.h"
#include "audio/playout_path.h"
#include "audio/resampler.h"
#include "runtime/activity.h"
#include "runtime/core/error.h"
#include "runtime/echo_bench_score.h"

namespace duet::runtime {

namespace {

constexpr std::size_t kRate = audio::kEchoRateHz;
constexpr std::size_t kBlock = audio::kEchoBlockSamples;
/// Level of the echo at the microphone, and 20 dB below it what the listener still takes for a
/// voice.
constexpr double kEchoDbfs = -26.0;
constexpr double kHearDbfs = -46.0;
constexpr double kSettleSeconds = 3.0;
constexpr double kGoodErleDb = 15.0;
/// The far end of SpeexDSP runs this much ahead of its echo, as the chain's does.
constexpr double kMarginMs = 6.0;

/// Pauses cut to 0.3 s: the seconds of the table are seconds of talking.
std::vector<float> without_pauses(std::span<const float> samples) {
  constexpr std::size_t kFrame = kRate / 100;
  constexpr std::size_t kMaxPause = 30;
  const auto levels = measure_levels_db(samples, static_cast<int>(kRate));
  const double floor_db = active_dbfs(samples) - 25.0;
  std::vector<float> result;
  std::size_t num_quiet = 0;
  for (std::size_t i = 0; (i + 1) * kFrame <= samples.size(); ++i) {
    num_quiet = static_cast<double>(levels[i]) < floor_db ? num_quiet + 1 : 0;
    if (num_quiet > kMaxPause) continue;
    const auto frame = samples.subspan(i * kFrame, kFrame);
    result.insert(result.end(), frame.begin(), frame.end());
  }
  return result;
}

struct Scene {
  std::vector<float> far, mic, echo, near;
  double delay_ms_after_2s = 0.0;  // True one.
};

/// `change_at` > 0: the loudspeaker moves then, and the delay jumps by 60 ms.
Scene make_scene(const audio::RoomConfig& config, std::vector<float> far,
                 const std::vector<float>& talk, std::size_t change_at) {
  Scene scene;
  scene.far = std::move(far);
  const std::size_t size = scene.far.size();
  for (auto* signal : {&scene.mic, &scene.echo, &scene.near}) signal->resize(size);
  audio::Room room(config);
  const auto part = [&](std::size_t begin, std::size_t end) {
    const std::size_t count = end - begin;
    room.process(std::span(scene.far).subspan(begin, count), std::span(talk).subspan(begin, count),
                 std::span(scene.mic).subspan(begin, count),
                 {.echo = std::span(scene.echo).subspan(begin, count),
                  .near = std::span(scene.near).subspan(begin, count)});
  };
  const std::size_t early = std::min(size, 2 * kRate);
  part(0, early);
  scene.delay_ms_after_2s = room.delay_samples() * 1e3 / static_cast<double>(kRate);
  if (change_at > early) {
    part(early, change_at);
    room.change_path(config.seed + 1000,
                     config.delay_ms < 340.0 ? config.delay_ms + 60.0 : config.delay_ms - 60.0);
    part(change_at, size);
  } else {
    part(early, size);
  }
  return scene;
}

struct Cleaned {
  std::vector<float> out;  // Latency taken off.
  double delay_error_ms = kInfinity;
};

Cleaned clean(const Scene& scene, const audio::EchoConfig& config) {
  const auto canceller = audio::make_echo_canceller(config);
  const std::size_t latency = canceller->latency_samples();
  const std::size_t size = scene.mic.size() / kBlock * kBlock;
  Cleaned result;
  result.out.resize(size + latency);
  for (std::size_t at = 0; at + kBlock <= size; at += kBlock) {
    canceller->process(std::span(scene.mic).subspan(at, kBlock),
                       std::span(scene.far).subspan(at, kBlock),
                       std::span(result.out).subspan(at, kBlock));
    if (at / kBlock == 2 * kRate / kBlock) {
      const auto report = canceller->report();
      if (report.is_delay_known)
        result.delay_error_ms = std::abs(report.delay_ms - scene.delay_ms_after_2s);
    }
  }
  result.out.erase(result.out.begin(), result.out.begin() + static_cast<std::ptrdiff_t>(latency));
  return result;
}

double erle_db(const Scene& scene, const std::vector<float>& out, std::size_t begin,
               std::size_t end) {
  return power_db(energy(std::span(scene.mic).subspan(begin, end - begin)) /
                  (energy(std::span(out).subspan(begin, end - begin)) + 1e-12));
}

/// From `change` to the first 0.25 s of active echo at 15 dB, the wait for active echo not counted.
double reconvergence_s(const Scene& scene, const std::vector<float>& out, std::size_t change) {
  constexpr std::size_t kHop = kRate / 100;
  constexpr std::size_t kWindow = kRate / 4;
  double active_s = 0.0;
  for (std::size_t at = change; at + kWindow <= out.size(); at += kHop) {
    const double level = power_db(energy(std::span(scene.echo).subspan(at, kHop)) / kHop);
    if (level > kEchoDbfs - 20.0) active_s += 0.01;
    const double window = power_db(energy(std::span(scene.echo).subspan(at, kWindow)) / kWindow);
    if (window > kEchoDbfs - 10.0 && erle_db(scene, out, at, at + kWindow) >= kGoodErleDb)
      return active_s;
  }
  return kInfinity;
}

class Bench {
 public:
  Bench(std::span<const float> agent, std::span<const float> user, const EchoBenchOptions& options,
        const std::function<void(double)>& on_progress, const std::function<bool()>& should_stop)
      : agent_(at_level(without_pauses(agent), -20.0)),
        user_(user.begin(), user.end()),
        options_(options),
        on_progress_(on_progress),
        should_stop_(should_stop) {
    table_.options = options;
  }

  EchoReportTable run() {
    const double total = static_cast<double>(options_.num_rooms) *
                         (static_cast<double>(options_.thd.size()) +
                          0.3 * static_cast<double>(3 * options_.talks_per_room));
    double done = 0.0;
    for (const double thd : options_.thd) {
      for (auto& score : table_.scores)
        score.classes.push_back({.thd = thd, .worst_erle_db = kInfinity});
      for (std::size_t room = 0; room < options_.num_rooms; ++room) {
        if (is_stopped()) return table_;
        playback(bench_room(room, options_.num_rooms, thd), room);
        progress(done += 1.0, total);
      }
      for (auto& score : table_.scores)
        score.classes.back().erle_db /= static_cast<double>(options_.num_rooms);
    }
    for (const double below_db : {0.0, 6.0, 12.0}) {
      for (auto& score : table_.scores) score.talks.push_back({.below_echo_db = below_db});
      for (std::size_t i = 0; i < options_.num_rooms * options_.talks_per_room; ++i) {
        if (is_stopped()) return table_;
        interruption(i, below_db);
        progress(done += 0.3, total);
      }
      for (auto& score : table_.scores)
        score.talks.back().kept_db /= std::max(score.talks.back().num, 1);
    }
    for (std::size_t c = 0; c < 3; ++c) cost(c);
    return table_;
  }

 private:
  bool is_stopped() const { return should_stop_ && should_stop_(); }
  void progress(double done, double total) const {
    if (on_progress_) on_progress_(done / total);
  }

  /// The agent's voice from somewhere in it, looped, at the level that echoes at kEchoDbfs.
  std::vector<float> voice(std::size_t begin, std::size_t size) const {
    std::vector<float> far(size);
    for (std::size_t i = 0; i < size; ++i) far[i] = agent_[(begin + i) % agent_.size()];
    return far;
  }
  static audio::RoomConfig loud(audio::RoomConfig room) {
    room.echo_gain_db = kEchoDbfs + 20.0;
    return room;
  }

  void playback(const audio::RoomConfig& config, std::size_t room) {
    const auto size = static_cast<std::size_t>(options_.seconds_per_class * kRate /
                                               static_cast<double>(options_.num_rooms)) /
                      kBlock * kBlock;
    const std::size_t change = size * 2 / 3;
    const Scene scene =
        make_scene(loud(config), voice(room * 7919, size), std::vector<float>(size, 0.0F), change);
    for (std::size_t c = 0; c < 3; ++c) {
      EchoScore& score = table_.scores[c];
      const Cleaned cleaned = clean(scene, contender(c, config));
      const auto settle = static_cast<std::size_t>(kSettleSeconds * kRate);
      const auto settled = std::span(cleaned.out).subspan(settle, change - settle);
      EchoScore::Class& now = score.classes.back();
      now.hours += static_cast<double>(change - settle) / kRate / 3600.0;
      now.num_false += static_cast<int>(hear_voices(settled, kHearDbfs).size());
      const double erle = erle_db(scene, cleaned.out, settle, change);
      now.erle_db += erle;
      now.worst_erle_db = std::min(now.worst_erle_db, erle);
      score.reconverge_s.push_back(reconvergence_s(scene, cleaned.out, change));
      if (c == 2) score.delay_error_ms.push_back(cleaned.delay_error_ms);
    }
  }

  void interruption(std::size_t index, double below_db) {
    constexpr std::size_t kBegin = 6 * kRate;
    constexpr std::size_t kSize = 8 * kRate;
    const audio::RoomConfig config =
        loud(bench_room(index % options_.num_rooms, options_.num_rooms, 0.03));
    // The user's words begin with the first sound in a piece of their recording.
    const std::size_t from = index * 30011 % std::max<std::size_t>(user_.size() / 2, 1);
    const auto rest = std::span<const float>(user_).subspan(from);
    const auto onset = hear_voices(rest, active_dbfs(user_) - 15.0);
    std::vector<float> said(kSize, 0.0F);
    const auto words = rest.subspan(onset.empty() ? 0 : onset.front());
    const auto levelled =
        at_level(words.first(std::min(words.size(), 2 * kRate)), kEchoDbfs - below_db);
    std::copy(levelled.begin(), levelled.end(), said.begin() + kBegin);
    const Scene scene = make_scene(config, voice(index * 7919, kSize), said, 0);
    for (std::size_t c = 0; c < 3; ++c) {
      const Cleaned cleaned = clean(scene, contender(c, config));
      EchoScore::Talk& talk = table_.scores[c].talks.back();
      ++talk.num;
      const auto after = std::span(cleaned.out).subspan(kBegin, kRate + kRate / 5);
      talk.num_heard += !hear_voices(after, kHearDbfs).empty();
      const auto near = std::span<const float>(scene.near).subspan(kBegin, 2 * kRate - kBlock);
      const double kept = kept_db(near, std::span(cleaned.out).subspan(kBegin, near.size()));
      talk.kept_db += kept;
      if (std::abs(kept) > std::abs(talk.worst_kept_db)) talk.worst_kept_db = kept;
    }
  }

  /// The whole audio half at 48 kHz, with a model that takes no time.
  void cost(std::size_t c) {
    constexpr int kDeviceRate = 48000;
    constexpr std::size_t kBuffer = 480;
    const auto config = loud(bench_room(1, options_.num_rooms, 0.03));
    const auto far16 = voice(0, 10 * kRate);
    const Scene scene = make_scene(config, far16, std::vector<float>(far16.size(), 0.0F), 0);
    const auto mic = audio::resample(scene.mic, kRate, kDeviceRate);
    const auto far = audio::resample(scene.far, kRate, kDeviceRate);
    audio::CapturePath capture({.device_rate_hz = kDeviceRate, .echo = contender(c, config)});
    audio::DuplexStream stream({.rate_hz = kDeviceRate});
    audio::PlayoutPath playout({}, stream);
    std::vector<audio::SamplePair> pairs(kBuffer);
    std::vector<float> block(1280), out(kBuffer);
    const std::vector<float> pcm(1920, 0.05F);
    const std::clock_t begin = std::clock();
    for (std::size_t at = 0; at + kBuffer <= mic.size(); at += kBuffer) {
      stream.process(mic.data() + at, 1, out.data(), 1, kBuffer);
      stream.read(pairs);
      for (std::size_t i = 0; i < kBuffer; ++i) pairs[i] = {mic[at + i], far[at + i]};
      capture.process(pairs);
      while (capture.pop(block)) playout.push(pcm);
    }
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    EchoScore& score = table_.scores[c];
    score.cpu = seconds / (static_cast<double>(mic.size()) / kDeviceRate);
    score.added_latency_ms = capture.latency_ms() + playout.latency_ms() + playout.waiting_ms();
  }

  std::vector<float> agent_, user_;
  EchoBenchOptions options_;
  const std::function<void(double)>& on_progress_;
  const std::function<bool()>& should_stop_;
  EchoReportTable table_;
};

}  // namespace

void EchoBenchOptions::validate() const {
  const bool is_long_enough =
      num_rooms > 0 && seconds_per_class / static_cast<double>(num_rooms) >= 12.0;
  if (is_long_enough && !thd.empty()) return;
  throw core::ConfigError({.subject = "bench echo",
                           .expected = "1 room or more and at least 12 s of playback in each",
                           .found = std::to_string(num_rooms) + " rooms and " +
                                    std::to_string(seconds_per_class) + " s over them"});
}

audio::RoomConfig bench_room(std::size_t index, std::size_t num_rooms, double thd) {
  // Each quantity in an order of its own, so that they do not go together.
  const auto spread = [&](std::size_t stride) {
    return num_rooms < 2 ? 0.5
                         : static_cast<double>(index * stride % num_rooms) /
                               static_cast<double>(num_rooms - 1);
  };
  audio::RoomConfig room;
  room.seed = index + 1;
  room.rt60_s = 0.2 + 0.4 * spread(5);
  room.delay_ms = 10.0 + 390.0 * spread(7);
  room.drift_ppm = 100.0 * spread(1);
  room.thd = thd;
  room.noise_dbfs = -70.0;
  return room;
}

audio::EchoConfig contender(std::size_t index, const audio::RoomConfig& room) {
  audio::EchoConfig config;
  if (index == 0) config.backend = audio::EchoConfig::Backend::kNone;
  if (index == 1) {
    config.backend = audio::EchoConfig::Backend::kSpeex;
    config.is_aligned = false;
    config.delay_ms = std::max(room.delay_ms - kMarginMs, 1.0);
  }
  return config;
}

std::vector<std::size_t> hear_voices(std::span<const float> samples, double threshold_dbfs) {
  const auto levels = measure_levels_db(samples, static_cast<int>(kRate));
  std::vector<std::size_t> starts;
  std::size_t begin = 0, last = 0;
  bool is_open = false, is_counted = false;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    if (static_cast<double>(levels[i]) > threshold_dbfs) {
      if (!is_open || (!is_counted && i - last > 5)) {
        begin = i;
        is_open = true;
      }
      last = i;
      if (!is_counted && i - begin + 1 >= 20) {
        is_counted = true;
        starts.push_back(begin * kRate / 100);
      }
    } else if (is_open && i - last >= 50) {
      is_open = is_counted = false;
    }
  }
  return starts;
}

EchoReportTable measure_echo(std::span<const float> agent, std::span<const float> user,
                             const EchoBenchOptions& options,
                             const std::function<void(double)>& on_progress,
                             const std::function<bool()>& should_stop) {
  options.validate();
  DUET_CHECK(agent.size() >= kRate && user.size() >= kRate);
  return Bench(agent, user, options, on_progress, should_stop).run();
}

}  // namespace duet::runtime
