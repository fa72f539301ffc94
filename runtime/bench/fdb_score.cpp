#include "runtime/bench/fdb_score.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "runtime/core/error.h"

namespace duet::runtime::bench::fdb {

namespace {

namespace fs = std::filesystem;

double mean(std::span<const double> x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}
double median(std::span<const double> x) { return percentile(x, 0.5); }
double p90(std::span<const double> x) { return percentile(x, 0.9); }

class Scorer {
 public:
  Scorer(const std::string& root, const ScoreOptions& options)
      : options_(options), subsets_(find_subsets(root)) {
    report_.is_compatible = options.is_compatible;
    if (options.people.empty()) return;
    for (auto& [id, values] : read_people(options.people)) people_[id] = std::move(values);
  }

  Report score() {
    for (const Subset& subset : subsets_) {
      values_.clear();
      last_takes_turn_.reset();
      for (const std::string& id : sample_ids(subset)) {
        try {
          score_sample(subset, id);
        } catch (const core::LoadError& error) {
          report_.problems.push_back(subset.name + "/" + id + ": " + error.what());
        }
      }
      add_figures(subset);
    }
    return std::move(report_);
  }

 private:
  void score_sample(const Subset& subset, const std::string& id) {
    const fs::path folder = fs::path(subset.path) / id;
    switch (subset.task) {
      case Task::kPause:
      case Task::kTurnTaking: return score_turns(subset, id, folder);
      case Task::kInterruption: {
        const double end_s = annotation(subset, id)->end_s;
        return add_turn(crop(words(folder, "output"), end_s), end_s);
      }
      case Task::kBackchannel: return score_backchannels(subset, id, folder);
      case Task::kOverlap: return score_overlap(subset, id, folder);
    }
  }

  void score_turns(const Subset& subset, const std::string& id, const fs::path& folder) {
    std::optional<double> end_s;
    if (const auto when = annotation(subset, id)) end_s = when->start_s;
    for (const std::string& name : answers(folder)) add_turn(words(folder, name), end_s);
  }

  /// Quirk 1: every file that ends in "output.json" is a sample of its own.
  std::vector<std::string> answers(const fs::path& folder) const {
    if (!options_.is_compatible || !fs::exists(folder / "clean_output.json")) return {"output"};
    return {"clean_output", "output"};
  }

  void add_turn(const std::vector<Word>& words, std::optional<double> end_s) {
    values_["TOR"].push_back(takes_turn(words));
    if (!end_s) return;
    if (const auto latency = turn_latency_s(words, *end_s)) values_["latency"].push_back(*latency);
  }

  std::vector<Word> words(const fs::path& folder, const std::string& name) {
    if (options_.uses_transcripts) {
      if (auto read = read_words((folder / (name + ".json")).string())) {
        ++report_.num_transcribed;
        return std::move(*read);
      }
    }
    ++report_.num_by_sound;
    return words_of(find_speech((folder / (name + ".wav")).string()).segments);
  }

  void score_backchannels(const Subset& subset, const std::string& id, const fs::path& folder) {
    const Speech speech = find_speech((folder / "output.wav").string());
    Backchannels found;
    if (is_quirk_4(subset, folder)) {
      if (!last_takes_turn_) {
        report_.problems.push_back(subset.name + "/" + id +
                                   ": no output.json, and no sample before it");
        return;
      }
      found.takes_turn = *last_takes_turn_;
    } else {
      found = find_backchannels(speech.segments, words(folder, "output"), options_.is_compatible);
    }
    last_takes_turn_ = found.takes_turn;
    values_["TOR"].push_back(found.takes_turn);
    values_["frequency"].push_back(static_cast<double>(found.predicted.size()) / speech.duration_s);
    if (people_.empty()) return;
    if (const auto people = people_.find(id); people != people_.end()) {
      values_["JSD"].push_back(backchannel_jsd(found.predicted, speech.duration_s, people->second));
    } else {
      report_.problems.push_back(subset.name + "/" + id + ": no people's distribution");
    }
  }

  /// Quirk 4: a sample without a transcript takes the verdict of the sample before.
  bool is_quirk_4(const Subset& subset, const fs::path& folder) const {
    if (!options_.is_compatible || !options_.uses_transcripts) return false;
    if (fs::exists(folder / "output.json")) return false;
    const auto ids = sample_ids(subset);
    return std::any_of(ids.begin(), ids.end(), [&](const std::string& id) {
      return fs::exists(fs::path(subset.path) / id / "output.json");
    });
  }

  void score_overlap(const Subset& subset, const std::string& id, const fs::path& folder) {
    const auto speech = [&](const char* name) {
      return find_speech((folder / name).string()).segments;
    };
    const auto user = merge(speech("input.wav"), kUserMergeSeconds);
    const auto model = merge(speech("output.wav"), kModelMergeSeconds);
    const auto stops = overlaps(user, model);
    const auto responses = response_gaps(user, model);
    if (options_.writes_intervals)
      write_intervals((folder / "latency_intervals.json").string(), stops, responses);
    Segment event{0.0, std::numeric_limits<double>::infinity()};
    if (!options_.is_compatible) event = *annotation(subset, id);
    const auto meets = [&](const Segment& s) {
      return s.start_s < event.end_s && s.end_s > event.start_s;
    };
    for (const Segment& stop : stops)
      if (meets(stop)) values_["stop"].push_back(stop.seconds());
    for (const Segment& gap : responses) {
      // Of the speech that ends where the gap begins.
      const auto turn = std::find_if(user.begin(), user.end(), [&](const Segment& s) {
        return std::abs(s.end_s - gap.start_s) < 1e-3;
      });
      if (turn != user.end() && meets(*turn)) values_["response"].push_back(gap.seconds());
    }
  }

  void add(const Subset& subset, const char* key, const std::string& name, const char* unit,
           bool is_lower_better, double (*statistic)(std::span<const double>)) {
    const auto& values = values_[key];
    if (!values.empty())
      report_.figures.push_back(
          {subset.name, name, unit, is_lower_better, bootstrap(values, statistic)});
  }

  void add_figures(const Subset& subset) {
    const bool should_take = subset.task == Task::kTurnTaking || subset.task == Task::kInterruption;
    add(subset, "TOR", "TOR", "share", !should_take, mean);
    // Quirk 5: a mean of nothing.
    if (options_.is_compatible && should_take && !values_["TOR"].empty() &&
        values_["latency"].empty()) {
      const double nan = std::numeric_limits<double>::quiet_NaN();
      report_.figures.push_back({subset.name, "latency, mean", "s", true, {0, nan, nan, nan}});
    }
    add(subset, "latency", "latency, mean", "s", true, mean);
    add(subset, "latency", "latency, median", "s", true, median);
    add(subset, "frequency", "backchannel frequency", "1/s", false, mean);
    add(subset, "JSD", "JSD", "", true, mean);
    for (const char* key : {"stop", "response"}) {
      const std::string name = std::string(key) + " latency, ";
      add(subset, key, name + "mean", "s", true, mean);
      add(subset, key, name + "median", "s", true, median);
      add(subset, key, name + "p90", "s", true, p90);
    }
  }

  const ScoreOptions& options_;
  std::vector<Subset> subsets_;
  std::map<std::string, std::vector<double>> people_;
  std::map<std::string, std::vector<double>> values_;  // Of the present subset, by kind.
  std::optional<bool> last_takes_turn_;
  Report report_;
};

std::string sources(const Report& report) {
  return "words: " + std::to_string(report.num_transcribed) + " samples from output.json, " +
         std::to_string(report.num_by_sound) + " from sound alone; speech: level of the sound";
}

std::string mode(const Report& report) {
  return report.is_compatible ? "as the published code counts, its quirks included"
                              : "corrected (--fdb-compatible: as the published code counts)";
}

std::string show(double value, const std::string& unit) {
  char text[40];
  if (!std::isfinite(value)) return "nan";
  if (unit == "share")
    std::snprintf(text, sizeof text, "%.1f %%", 100.0 * value);
  else
    std::snprintf(text, sizeof text, "%.3f%s%s", value, unit.empty() ? "" : " ", unit.c_str());
  return text;
}

}  // namespace

Report score(const std::string& root, const ScoreOptions& options) {
  return Scorer(root, options).score();
}

std::string Report::to_text() const {
  std::string text = "Full-Duplex-Bench, " + mode(*this) + "\n" + sources(*this) + "\n";
  for (const Figure& figure : figures) {
    char line[240];
    std::snprintf(line, sizeof line, "%-28s %-24s %s %10s  (95 %%: %s to %s, n %zu)\n",
                  figure.subset.c_str(), figure.name.c_str(),
                  figure.is_lower_better ? "down" : "up  ",
                  show(figure.estimate.value, figure.unit).c_str(),
                  show(figure.estimate.low, figure.unit).c_str(),
                  show(figure.estimate.high, figure.unit).c_str(), figure.estimate.n);
    text += line;
  }
  if (!problems.empty()) text += "not scored: " + std::to_string(problems.size()) + "\n";
  for (const std::string& problem : problems) text += "  " + problem + "\n";
  return text;
}

std::string Report::to_json() const {
  using nlohmann::ordered_json;
  const auto number = [](double value) -> ordered_json {
    if (!std::isfinite(value)) return nullptr;
    return std::round(value * 1e6) / 1e6;
  };
  ordered_json json;
  json["schema"] = "duet.bench.fdb/1";
  json["fdb_compatible"] = is_compatible;
  json["words"] = {{"transcribed", num_transcribed}, {"by_sound", num_by_sound}};
  json["speech"] = "level";
  json["figures"] = ordered_json::array();
  for (const Figure& figure : figures) {
    json["figures"].push_back({{"subset", figure.subset},
                               {"name", figure.name},
                               {"unit", figure.unit},
                               {"better", figure.is_lower_better ? "lower" : "higher"},
                               {"n", figure.estimate.n},
                               {"value", number(figure.estimate.value)},
                               {"low", number(figure.estimate.low)},
                               {"high", number(figure.estimate.high)}});
  }
  json["problems"] = problems;
  return json.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace duet::runtime::bench::fdb
