#include "runtime/bench/fdb_metrics.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace duet::runtime::bench::fdb {

namespace {

constexpr double kTurnSeconds = 1.0, kLongSeconds = 3.0;
constexpr std::size_t kTurnWords = 3, kBackchannelWords = 2;
constexpr double kWindowSeconds = 0.2;
constexpr double kEpsilon = 1e-10;

/// The three conditions of eval_backchannel.py.
bool overlaps_segment(const Word& word, const Segment& segment) {
  if (word.start_s >= segment.start_s && word.end_s <= segment.end_s) return true;
  if (word.start_s <= segment.end_s && word.end_s > segment.end_s) return true;
  return word.start_s <= segment.start_s && word.end_s > segment.start_s;
}

bool is_turn(const Segment& segment, std::span<const Word> words) {
  const auto num_words = static_cast<std::size_t>(std::count_if(
      words.begin(), words.end(), [&](const Word& w) { return overlaps_segment(w, segment); }));
  return segment.seconds() >= kTurnSeconds || num_words > kBackchannelWords;
}

std::vector<double> normalised(std::vector<double> values) {
  double sum = 0.0;
  for (const double x : values) sum += x;
  for (double& x : values) x /= sum;
  return values;
}

/// numpy.linspace on both sides and a line between neighbours.
std::vector<double> stretched(std::span<const double> values, std::size_t size) {
  std::vector<double> out(size, values.front());
  if (values.size() < 2) return out;
  const double last = static_cast<double>(values.size() - 1);
  for (std::size_t i = 0; i < size; ++i) {
    const double x = size > 1 ? last * static_cast<double>(i) / static_cast<double>(size - 1) : 0.0;
    const std::size_t k = std::min(values.size() - 2, static_cast<std::size_t>(x));
    const double part = x - static_cast<double>(k);
    out[i] = (1.0 - part) * values[k] + part * values[k + 1];
  }
  return out;
}

double relative_entropy(double p, double m) { return p > 0.0 ? p * std::log(p / m) : 0.0; }

double to_milliseconds(double seconds) { return std::round(seconds * 1000.0) / 1000.0; }

}  // namespace

bool takes_turn(std::span<const Word> words) {
  if (words.empty()) return false;
  return words.back().end_s - words.front().start_s >= kTurnSeconds || words.size() > kTurnWords;
}

std::optional<double> turn_latency_s(std::span<const Word> words, double user_end_s) {
  if (!takes_turn(words)) return std::nullopt;
  return std::max(0.0, words.front().start_s - user_end_s);
}

std::vector<Word> crop(std::span<const Word> words, double from_s) {
  std::vector<Word> left;
  for (const Word& word : words)
    if (word.end_s > from_s)
      left.push_back({word.text, std::max(word.start_s, from_s), word.end_s});
  return left;
}

Backchannels find_backchannels(std::span<const Segment> segments, std::span<const Word> words,
                               bool is_compatible) {
  Backchannels found;
  for (const Segment& segment : segments) {
    if (segment.seconds() > kLongSeconds) {
      found.takes_turn = true;
      break;
    }
    const bool is_taken = is_turn(segment, words);
    found.takes_turn = is_taken || (found.takes_turn && !is_compatible);
    if (!is_taken) found.predicted.push_back(segment);
    if (is_taken && is_compatible) found.predicted.clear();
  }
  return found;
}

double backchannel_jsd(std::span<const Segment> predicted, double duration_s,
                       std::span<const double> people) {
  if (predicted.empty() || people.empty()) return 1.0;
  std::vector<double> counts(static_cast<std::size_t>(duration_s / kWindowSeconds) + 1);
  for (const Segment& segment : predicted) {
    const auto last = static_cast<std::size_t>(segment.end_s / kWindowSeconds);
    for (auto i = static_cast<std::size_t>(segment.start_s / kWindowSeconds); i <= last; ++i)
      if (i < counts.size()) ++counts[i];
  }
  for (double& x : counts) x += kEpsilon;
  const auto p = normalised(counts);
  const auto q = normalised(stretched(people, counts.size()));
  double sum = 0.0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double m = 0.5 * (p[i] + q[i]);
    sum += relative_entropy(p[i], m) + relative_entropy(q[i], m);
  }
  return std::sqrt(std::max(0.0, 0.5 * sum));
}

std::vector<Segment> merge(std::vector<Segment> segments, double gap_s) {
  std::sort(segments.begin(), segments.end(),
            [](const Segment& a, const Segment& b) { return a.start_s < b.start_s; });
  std::vector<Segment> merged;
  for (const Segment& segment : segments) {
    if (!merged.empty() && segment.start_s - merged.back().end_s <= gap_s)
      merged.back().end_s = std::max(merged.back().end_s, segment.end_s);
    else
      merged.push_back(segment);
  }
  return merged;
}

std::vector<Segment> overlaps(std::span<const Segment> user, std::span<const Segment> model) {
  std::map<long, Segment> shortest;  // By rounded end.
  std::size_t i = 0, j = 0;
  while (i < user.size() && j < model.size()) {
    const Segment both{std::max(user[i].start_s, model[j].start_s),
                       std::min(user[i].end_s, model[j].end_s)};
    if (both.end_s > both.start_s) {
      const auto [kept, is_new] = shortest.try_emplace(std::lround(both.end_s * 1000.0), both);
      if (!is_new && both.seconds() < kept->second.seconds()) kept->second = both;
    }
    user[i].end_s < model[j].end_s ? ++i : ++j;
  }
  std::vector<Segment> list;
  for (const auto& [end_ms, both] : shortest)
    list.push_back({to_milliseconds(both.start_s), to_milliseconds(both.end_s)});
  return list;
}

std::vector<Segment> response_gaps(std::span<const Segment> user, std::span<const Segment> model) {
  std::map<long, Segment> by_start;
  for (const Segment& turn : user) {
    const auto next = std::find_if(model.begin(), model.end(),
                                   [&](const Segment& m) { return m.start_s > turn.end_s; });
    if (next == model.end()) continue;
    const Segment gap{to_milliseconds(turn.end_s), to_milliseconds(next->start_s)};
    const auto [kept, is_new] = by_start.try_emplace(std::lround(next->start_s * 1000.0), gap);
    if (!is_new && gap.start_s > kept->second.start_s) kept->second = gap;
  }
  std::vector<Segment> list;
  for (const auto& [start_ms, gap] : by_start) list.push_back(gap);
  return list;
}

}  // namespace duet::runtime::bench::fdb
