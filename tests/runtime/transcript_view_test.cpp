#include "runtime/transcript_view.h"

#include <catch2/catch.hpp>
#include <sstream>

using duet::runtime::TranscriptView;

TEST_CASE("two columns against time, a line per side and pause", "[unit]") {
  std::ostringstream stream;
  TranscriptView view(stream, 61);  // (61 - 9) / 2 = 26 columns a side.
  view.header();
  view.user_words(0.48, " what is");
  view.user_words(0.96, " seven plus five");
  view.agent_turn();
  view.agent_words(2.16, "Seven");
  view.agent_words(2.24, " plus");
  view.user_words(3.0, " stop");
  view.user_words(5.0, " now");
  view.finish();
  CHECK(stream.str() ==
        "   time  user                      agent\n"
        "   0.48  what is seven plus five\n"
        "   2.16                            Seven plus\n"
        "   3.00  stop\n"
        "   5.00  now\n");
}

TEST_CASE("full lines wrap at words, and control characters do not reach the terminal", "[unit]") {
  std::ostringstream stream;
  TranscriptView view(stream, 53);  // 22 columns a side, 19 used.
  view.user_words(1.0, "one two three four five\x1b[31m six");
  view.finish();
  CHECK(stream.str() ==
        "   1.00  one two three four\n"
        "   1.00  five[31m six\n");
}

TEST_CASE("a new agent turn begins a new line", "[unit]") {
  std::ostringstream stream;
  TranscriptView view(stream, 50);
  view.agent_words(1.0, "Hi.");
  view.agent_turn();
  view.agent_words(1.5, "Yes?");
  view.finish();
  CHECK(stream.str() == "   1.00                      Hi.\n   1.50                      Yes?\n");
}

TEST_CASE("a piece without a space goes on with its word, on the same line", "[unit]") {
  std::ostringstream stream;
  TranscriptView view(stream, 58);  // 24 columns a side, 21 used.
  view.user_words(1.0, "their feather");
  view.user_words(1.1, "s are");
  view.user_words(2.9, "n't");
  view.user_words(3.0, " soft");
  view.finish();
  CHECK(stream.str() == "   1.00  their feathers aren't\n   3.00  soft\n");
}
