#include "runtime/bench/fdb_metrics.h"

#include <catch2/catch.hpp>

using namespace duet::runtime;
using namespace duet::runtime::bench::fdb;

namespace {

std::vector<Word> words(const std::vector<Segment>& times) {
  std::vector<Word> list;
  for (const Segment& s : times) list.push_back({"w", s.start_s, s.end_s});
  return list;
}

}  // namespace

TEST_CASE("take-over: more than three words, or a second", "[unit]") {
  CHECK_FALSE(takes_turn({}));
  // Three words from 1.0 to 1.99 s: 0.99 s, no more than three.
  CHECK_FALSE(takes_turn(words({{1.0, 1.2}, {1.3, 1.5}, {1.7, 1.99}})));
  CHECK(takes_turn(words({{1.0, 1.2}, {1.3, 1.5}, {1.7, 2.0}})));              // A second exactly.
  CHECK(takes_turn(words({{1.0, 1.1}, {1.1, 1.2}, {1.2, 1.3}, {1.3, 1.4}})));  // Four words.
  CHECK(takes_turn(words({{1.0, 2.5}})));
}

TEST_CASE("turn latency: from the user's end, earlier counts as 0", "[unit]") {
  const auto said = words({{4.5, 5.0}, {5.0, 6.0}});
  CHECK(turn_latency_s(said, 4.0).value() == Approx(0.5));
  CHECK(turn_latency_s(said, 5.0).value() == 0.0);
  CHECK_FALSE(turn_latency_s(words({{4.5, 4.6}}), 4.0));
}

TEST_CASE("words after a cut: the one it runs through begins there", "[unit]") {
  const auto left = crop(words({{1.0, 1.5}, {1.8, 2.4}, {2.5, 3.0}}), 2.0);
  REQUIRE(left.size() == 2);
  CHECK(left[0].start_s == 2.0);
  CHECK(left[0].end_s == 2.4);
  CHECK(left[1].start_s == 2.5);
}

TEST_CASE("backchannels by length and words", "[unit]") {
  const std::vector<Segment> one = {{1.0, 1.5}};
  // One word inside, none: a backchannel either way.
  CHECK(find_backchannels(one, words({{1.1, 1.4}}), true).predicted.size() == 1);
  CHECK(find_backchannels(one, {}, true).predicted.size() == 1);
  // Three words in half a second are a turn; the third only overlaps the end.
  const auto three = words({{1.0, 1.2}, {1.2, 1.4}, {1.4, 1.7}});
  CHECK(find_backchannels(one, three, true).takes_turn);
  // 1.0 s exactly is no backchannel, 3.0 s exactly does not end the walk.
  CHECK(find_backchannels(std::vector<Segment>{{0.0, 1.0}}, {}, true).takes_turn);
  const std::vector<Segment> long_then_short = {{0.0, 3.0}, {4.0, 4.5}};
  CHECK_FALSE(find_backchannels(long_then_short, {}, true).takes_turn);
  const std::vector<Segment> longer = {{0.0, 3.01}, {4.0, 4.5}};
  CHECK(find_backchannels(longer, {}, true).takes_turn);
}

TEST_CASE("backchannels: the published walk forgets, the corrected one does not", "[unit]") {
  // Short, 1.5 s (a turn), short. Published: the verdict of the last is the sample's (0), and the
  // turn in the middle empties the list: one prediction. Corrected: a turn is a turn (1), and both
  // short ones stay.
  const std::vector<Segment> segments = {{0.5, 1.0}, {2.0, 3.5}, {5.0, 5.4}};
  const Backchannels published = find_backchannels(segments, {}, true);
  CHECK_FALSE(published.takes_turn);
  REQUIRE(published.predicted.size() == 1);
  CHECK(published.predicted[0].start_s == 5.0);
  const Backchannels corrected = find_backchannels(segments, {}, false);
  CHECK(corrected.takes_turn);
  CHECK(corrected.predicted.size() == 2);
  // More than 3 s ends the walk in both and empties nothing.
  const std::vector<Segment> ends = {{0.5, 1.0}, {2.0, 5.5}, {6.0, 6.4}};
  CHECK(find_backchannels(ends, {}, true).takes_turn);
  CHECK(find_backchannels(ends, {}, true).predicted.size() == 1);
}

TEST_CASE("Jensen-Shannon distance by hand", "[unit]") {
  // 0.9 s: int(0.9 / 0.2) + 1 = 5 windows. 0.1 to 0.3 s lies in windows 0 and 1: p = (1/2, 1/2, 0,
  // 0, 0). People alike everywhere: q = 1/5 each, m = (.35, .35, .1, .1, .1).
  // KL(p|m) = ln(.5/.35) = 0.356675; KL(q|m) = .4 ln(.2/.35) + .6 ln 2 = 0.192042;
  // sqrt((0.356675 + 0.192042) / 2) = 0.523792.
  const std::vector<Segment> predicted = {{0.1, 0.3}};
  CHECK(backchannel_jsd(predicted, 0.9, std::vector<double>(5, 1.0)) ==
        Approx(0.523792).margin(1e-5));
  CHECK(backchannel_jsd(predicted, 0.9, std::vector<double>(1, 1.0)) ==
        Approx(0.523792).margin(1e-5));
  // People (0, 1) stretched to five: 0, 1/4, 1/2, 3/4, 1, so q = (0, .1, .2, .3, .4) and
  // m = (.25, .3, .1, .15, .2). KL(p|m) = .5 ln 2 + .5 ln(5/3) = 0.601986;
  // KL(q|m) = .1 ln(1/3) + .9 ln 2 = 0.513971; the distance is sqrt(0.557979) = 0.746980.
  CHECK(backchannel_jsd(predicted, 0.9, std::vector<double>{0.0, 1.0}) ==
        Approx(0.746980).margin(1e-5));
  CHECK(backchannel_jsd({}, 0.9, std::vector<double>{0.0, 1.0}) == 1.0);
  // The same as people do: nothing between them.
  CHECK(backchannel_jsd(predicted, 0.9, std::vector<double>{1, 1, 0, 0, 0}) ==
        Approx(0.0).margin(1e-4));
}

TEST_CASE("v1.5: merging, overlaps and response gaps by hand", "[unit]") {
  // Gaps of 0.5 s are merged, 0.51 s are not.
  const auto user = merge({{3.0, 4.0}, {1.0, 2.0}, {2.5, 2.6}, {4.51, 5.0}}, 0.5);
  REQUIRE(user.size() == 2);
  CHECK(user[0] == Segment{1.0, 4.0});
  // user 1-3, 5-6; model 2-5.5, 5.8-8. Pairs walked: (1,1) 2-3; user's end 3 < 5.5: next user;
  // (2,1) 5-5.5; 6 is not < 5.5: next model; (2,2) 5.8-6.
  const std::vector<Segment> users = {{1.0, 3.0}, {5.0, 6.0}}, models = {{2.0, 5.5}, {5.8, 8.0}};
  CHECK(overlaps(users, models) == std::vector<Segment>{{2.0, 3.0}, {5.0, 5.5}, {5.8, 6.0}});
  // Two that end at the same millisecond: the shorter one stays.
  CHECK(overlaps(std::vector<Segment>{{1.0, 4.0}, {3.5, 4.0}}, std::vector<Segment>{{3.0, 5.0}}) ==
        std::vector<Segment>{{3.5, 4.0}});
  // The user's end 3 -> the next start after it, 5.8 (5.5 is an end); after 6 there is none.
  CHECK(response_gaps(users, models) == std::vector<Segment>{{3.0, 5.8}});
  // Two users before one start: the later end. A start at the end itself is not after it.
  CHECK(response_gaps(std::vector<Segment>{{1.0, 3.0}, {3.5, 4.0}},
                      std::vector<Segment>{{4.0, 4.2}, {5.0, 6.0}}) ==
        std::vector<Segment>{{3.0, 4.0}, {4.0, 5.0}});
  CHECK(response_gaps(std::vector<Segment>{{1.0, 3.0}, {3.5, 4.0}},
                      std::vector<Segment>{{5.0, 6.0}}) == std::vector<Segment>{{4.0, 5.0}});
}
