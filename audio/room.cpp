#include "audio/room.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>
#include <random>
#include <string>

#include "audio/check_range.h"
#include "runtime/core/error.h"

namespace duet::audio {

namespace {

constexpr double kSoundSpeed = 343.0;
/// Images up to here one by one; a room of 30 m3 has some 600 of them.
constexpr double kEarlySeconds = 0.05;
/// Half width of the interpolating sinc [samples]; also the least delay the device can have.
constexpr int kHalfTaps = 8;
constexpr double kHighPassHz = 100.0;
constexpr std::size_t kRoomPiece = 256;

/// std::normal_distribution differs between libraries; this does not.
class Gaussian {
 public:
  explicit Gaussian(std::uint64_t seed) : random_(seed) {}
  double uniform() { return (static_cast<double>(random_() >> 11) + 0.5) * 0x1.0p-53; }
  double next() {
    const double radius = std::sqrt(-2.0 * std::log(uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }

 private:
  std::mt19937_64 random_;
};

/// Hann-windowed sinc at `x` samples from its middle.
double windowed_sinc(double x) {
  if (std::abs(x) >= kHalfTaps) return 0.0;
  const double y = std::numbers::pi * x;
  const double window = 0.5 + 0.5 * std::cos(y / kHalfTaps);
  return window * (std::abs(y) < 1e-9 ? 1.0 : std::sin(y) / y);
}

using Point = std::array<double, 3>;

struct Places {
  Point size;
  Point mic;
  Point source;
};

/// A room of 3-6 x 3-5 x 2.4-3 m; the microphone on a table, the source in a random direction.
Places make_places(std::uint64_t room_seed, std::uint64_t place_seed, double distance_m) {
  Gaussian room(room_seed);
  Places places{};
  places.size = {3.0 + 3.0 * room.uniform(), 3.0 + 2.0 * room.uniform(),
                 2.4 + 0.6 * room.uniform()};
  Gaussian place(place_seed);
  // 1.6 m would not fit on both sides of the smallest room: the walls are at least 0.05 m away.
  for (;;) {
    places.mic = {places.size[0] * (0.3 + 0.4 * place.uniform()),
                  places.size[1] * (0.3 + 0.4 * place.uniform()), 0.75};
    const double angle = 2.0 * std::numbers::pi * place.uniform();
    const double rise = 0.2 * place.uniform();
    const double flat = std::sqrt(1.0 - rise * rise);
    places.source = {places.mic[0] + distance_m * flat * std::cos(angle),
                     places.mic[1] + distance_m * flat * std::sin(angle),
                     places.mic[2] + distance_m * rise};
    bool is_inside = true;
    for (std::size_t i = 0; i < 3; ++i)
      is_inside &= places.source[i] > 0.05 && places.source[i] < places.size[i] - 0.05;
    if (is_inside) return places;
  }
}

void add_image(std::vector<double>& response, double delay, double gain) {
  const auto middle = static_cast<int>(std::floor(delay));
  for (int k = -kHalfTaps + 1; k <= kHalfTaps; ++k) {
    const int at = middle + k;
    if (at >= 0 && at < static_cast<int>(response.size()))
      response[static_cast<std::size_t>(at)] += gain * windowed_sinc(at - delay);
  }
}

/// Reflection coefficient of all walls for the reverberation time, by Eyring's formula.
double reflection(const Point& size, double rt60_s) {
  const double volume = size[0] * size[1] * size[2];
  const double surface = 2.0 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2]);
  return std::sqrt(std::exp(-0.161 * volume / (surface * rt60_s)));
}

void add_early(std::vector<double>& response, const Places& places, double wall, int rate_hz) {
  const double reach = kEarlySeconds * kSoundSpeed;
  std::array<int, 3> order{};
  for (std::size_t i = 0; i < 3; ++i)
    order[i] = static_cast<int>(std::ceil(reach / (2.0 * places.size[i]))) + 1;
  for (int nx = -order[0]; nx <= order[0]; ++nx)
    for (int ny = -order[1]; ny <= order[1]; ++ny)
      for (int nz = -order[2]; nz <= order[2]; ++nz)
        for (int mirror = 0; mirror < 8; ++mirror) {
          const std::array<int, 3> n{nx, ny, nz};
          double square = 0.0;
          int bounces = 0;
          for (std::size_t i = 0; i < 3; ++i) {
            const int p = (mirror >> i) & 1;
            const double image =
                (p != 0 ? -places.source[i] : places.source[i]) + 2.0 * n[i] * places.size[i];
            square += (image - places.mic[i]) * (image - places.mic[i]);
            bounces += std::abs(n[i] - p) + std::abs(n[i]);
          }
          const double distance = std::sqrt(square);
          if (distance < reach)
            add_image(response, distance / kSoundSpeed * rate_hz,
                      std::pow(wall, bounces) / distance);
        }
}

std::vector<float> make_response(const RoomConfig& config, std::uint64_t place_seed,
                                 double distance_m) {
  const Places places = make_places(config.seed, place_seed, distance_m);
  const double rate = config.rate_hz;
  const auto early = static_cast<std::size_t>(kEarlySeconds * rate);
  std::vector<double> response(std::max(early, static_cast<std::size_t>(config.rt60_s * rate)));
  add_early(response, places, reflection(places.size, config.rt60_s), config.rate_hz);
  // The tail goes on at the level of the last 20 ms of the images: fade from one to the other.
  const double decay = 3.0 * std::numbers::ln10 / (config.rt60_s * rate);  // -60 dB in rt60_s.
  const std::size_t join = early - early * 2 / 5;
  double level = 0.0;
  for (std::size_t i = join; i < early; ++i)
    level += response[i] * response[i] * std::exp(2.0 * decay * static_cast<double>(i));
  level = std::sqrt(level / static_cast<double>(early - join));
  Gaussian noise(place_seed * 977 + 5);
  for (std::size_t i = join; i < response.size(); ++i) {
    const double tail = level * std::exp(-decay * static_cast<double>(i)) * noise.next();
    const double part =
        std::min(1.0, static_cast<double>(i - join) / static_cast<double>(early - join));
    response[i] = std::sqrt(1.0 - part) * response[i] + std::sqrt(part) * tail;
  }
  const double energy = std::inner_product(response.begin(), response.end(), response.begin(), 0.0);
  std::vector<float> result(response.size());
  for (std::size_t i = 0; i < result.size(); ++i)
    result[i] = static_cast<float>(response[i] / std::sqrt(energy));
  return result;
}

std::uint64_t speaker_place(std::uint64_t seed) { return seed * 7919 + 11; }

/// Convolution, sample by sample in the order of the input: the same sums whatever the pieces.
class Convolver {
 public:
  explicit Convolver(std::vector<float> response)
      : response_(std::move(response)), sum_(response_.size() + kRoomPiece, 0.0F) {}

  /// At most kRoomPiece samples; in and out may be the same.
  void process(std::span<const float> in, std::span<float> out) noexcept {
    for (std::size_t i = 0; i < in.size(); ++i) {
      const float x = in[i];
      if (x == 0.0F) continue;
      float* __restrict sum = sum_.data() + i;
      const float* __restrict h = response_.data();
      for (std::size_t k = 0; k < response_.size(); ++k) sum[k] += h[k] * x;
    }
    std::copy_n(sum_.begin(), in.size(), out.begin());
    std::copy(sum_.begin() + static_cast<std::ptrdiff_t>(in.size()), sum_.end(), sum_.begin());
    std::fill(sum_.end() - static_cast<std::ptrdiff_t>(in.size()), sum_.end(), 0.0F);
  }

 private:
  std::vector<float> response_;
  std::vector<float> sum_;
};

/// Asymmetric soft clipper with unit slope at 0; the bias makes even harmonics too.
double clip(double drive, double x) {
  constexpr double kBias = 0.25;
  if (drive == 0.0) return x;
  const double rest = std::tanh(kBias);
  return (std::tanh(drive * x + kBias) - rest) / (drive * (1.0 - rest * rest));
}

double distortion(double drive) {
  constexpr int kPoints = 256;
  std::array<double, 11> power{};
  for (std::size_t h = 1; h <= 10; ++h) {
    double re = 0.0;
    double im = 0.0;
    for (int i = 0; i < kPoints; ++i) {
      const double phase = 2.0 * std::numbers::pi * i / kPoints;
      const double y = clip(drive, 0.5 * std::sin(phase));
      re += y * std::cos(static_cast<double>(h) * phase);
      im += y * std::sin(static_cast<double>(h) * phase);
    }
    power[h] = re * re + im * im;
  }
  return std::sqrt(std::accumulate(power.begin() + 2, power.end(), 0.0) / power[1]);
}

}  // namespace

void RoomConfig::validate() const {
  check_range("room.rate_hz", rate_hz, 8000, 96000);
  check_range("room.rt60_s", rt60_s, 0.05, 1.0);
  check_range("room.echo_gain_db", echo_gain_db, -80.0, 20.0);
  check_range("room.thd", thd, 0.0, 0.3);
  check_range("room.delay_ms", delay_ms, 1.0, 500.0);
  check_range("room.drift_ppm", drift_ppm, -500.0, 500.0);
  check_range("room.slip_ms", slip_ms, 1.0, 400.0);
  check_range("room.noise_dbfs", noise_dbfs, -1000.0, 0.0);
  check_range("room.speaker_distance_m", speaker_distance_m, 0.2, 1.5);
  check_range("room.user_distance_m", user_distance_m, 0.2, 1.5);
}

Loudspeaker::Loudspeaker(double thd) {
  if (thd <= 0.0) return;
  double low = 0.0;
  double high = 20.0;
  for (int i = 0; i < 60; ++i) {
    drive_ = 0.5 * (low + high);
    (distortion(drive_) < thd ? low : high) = drive_;
  }
}

float Loudspeaker::shape(float x) const noexcept {
  return drive_ == 0.0 ? x : static_cast<float>(clip(drive_, static_cast<double>(x)));
}

double Loudspeaker::thd() const { return distortion(drive_); }

std::vector<float> make_echo_response(const RoomConfig& config) {
  config.validate();
  return make_response(config, speaker_place(config.seed), config.speaker_distance_m);
}

std::vector<float> make_near_response(const RoomConfig& config) {
  config.validate();
  return make_response(config, config.seed * 104729 + 3, config.user_distance_m);
}

struct Room::Impl {
  explicit Impl(const RoomConfig& room)
      : config(room),
        loudspeaker(room.thd),
        echo_path(make_echo_response(room)),
        near_path(make_near_response(room)),
        noise(room.seed * 31 + 7),
        history(static_cast<std::size_t>(0.6 * room.rate_hz + 2 * kHalfTaps) +
                static_cast<std::size_t>(room.slip_ms * 1e-3 * room.rate_hz)) {
    const double corner = 2.0 * std::numbers::pi * kHighPassHz / room.rate_hz;
    high_pass_pole = static_cast<float>(std::exp(-corner));
    echo_gain = static_cast<float>(std::pow(10.0, room.echo_gain_db / 20.0));
    noise_gain = room.noise_dbfs <= -150.0 ? 0.0 : std::pow(10.0, room.noise_dbfs / 20.0);
    set_delay(room.delay_ms);
  }

  void set_delay(double delay_ms) {
    first_delay = std::max(delay_ms * 1e-3 * config.rate_hz, static_cast<double>(kHalfTaps));
    delay = first_delay;
  }

  /// What the loudspeaker gets now, `delay` samples after it was handed over.
  float delayed(float x) noexcept {
    history[position % history.size()] = x;
    const double whole = std::floor(delay);
    const double fraction = delay - whole;
    double sum = 0.0;
    for (int k = -kHalfTaps + 1; k <= kHalfTaps; ++k) {
      const auto back = static_cast<std::int64_t>(whole) + k;
      const auto at = static_cast<std::int64_t>(position) - back;
      if (back >= 0 && at >= 0)
        sum += static_cast<double>(history[static_cast<std::size_t>(at) % history.size()]) *
               windowed_sinc(k - fraction);
    }
    ++position;
    delay -= config.drift_ppm * 1e-6;
    if (std::abs(delay - first_delay) > config.slip_ms * 1e-3 * config.rate_hz ||
        delay < kHalfTaps) {
      delay = first_delay;
      ++num_slips;
    }
    return static_cast<float>(sum);
  }

  /// The loudspeaker's sound.
  float play(float x) noexcept {
    const float y = loudspeaker.shape(delayed(x));
    const float out = y - last_in + high_pass_pole * last_out;
    last_in = y;
    last_out = out;
    return out * echo_gain;
  }

  RoomConfig config;
  Loudspeaker loudspeaker;
  Convolver echo_path;
  Convolver near_path;
  Gaussian noise;
  std::vector<float> history;  // What was handed to the device; a ring.
  std::uint64_t position = 0;
  double first_delay = 0.0;
  double delay = 0.0;
  int num_slips = 0;
  float high_pass_pole = 0.0F;
  float last_in = 0.0F;
  float last_out = 0.0F;
  float echo_gain = 1.0F;
  double noise_gain = 0.0;
  std::array<float, kRoomPiece> echo{};
  std::array<float, kRoomPiece> talk{};
};

Room::Room(const RoomConfig& config) {
  config.validate();
  impl_ = std::make_unique<Impl>(config);
}
Room::~Room() = default;
Room::Room(Room&&) noexcept = default;
Room& Room::operator=(Room&&) noexcept = default;

void Room::process(std::span<const float> far, std::span<const float> near, std::span<float> mic,
                   RoomParts parts) {
  DUET_CHECK(far.size() == mic.size() && near.size() == mic.size());
  Impl& room = *impl_;
  for (std::size_t begin = 0; begin < mic.size(); begin += kRoomPiece) {
    const std::size_t size = std::min(kRoomPiece, mic.size() - begin);
    const std::span<float> echo(room.echo.data(), size);
    const std::span<float> talk(room.talk.data(), size);
    for (std::size_t i = 0; i < size; ++i) echo[i] = room.play(far[begin + i]);
    room.echo_path.process(echo, echo);
    room.near_path.process(near.subspan(begin, size), talk);
    for (std::size_t i = 0; i < size; ++i) {
      const double noise = room.noise_gain > 0.0 ? room.noise_gain * room.noise.next() : 0.0;
      mic[begin + i] = echo[i] + talk[i] + static_cast<float>(noise);
    }
    if (!parts.echo.empty())
      std::copy(echo.begin(), echo.end(), parts.echo.begin() + std::ptrdiff_t(begin));
    if (!parts.near.empty())
      std::copy(talk.begin(), talk.end(), parts.near.begin() + std::ptrdiff_t(begin));
  }
}

void Room::change_path(std::uint64_t seed, double delay_ms) {
  RoomConfig changed = impl_->config;
  changed.delay_ms = delay_ms;
  changed.validate();
  impl_->echo_path =
      Convolver(make_response(changed, speaker_place(seed), changed.speaker_distance_m));
  impl_->config.delay_ms = delay_ms;
  impl_->set_delay(delay_ms);
}

double Room::delay_samples() const noexcept {
  return impl_->delay + impl_->config.speaker_distance_m / kSoundSpeed * impl_->config.rate_hz;
}

int Room::num_slips() const noexcept { return impl_->num_slips; }

}  // namespace duet::audio
