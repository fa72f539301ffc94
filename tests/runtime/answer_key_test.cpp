#include "runtime/answer_key.h"

#include <catch2/catch.hpp>

using namespace duet::runtime;

namespace {

std::string joined(const std::string& text) {
  std::string result;
  for (const std::string& word : normalise_words(text))
    result += (result.empty() ? "" : " ") + word;
  return result;
}

}  // namespace

TEST_CASE("words are normalised: case, digits, punctuation, apostrophes, units", "[unit]") {
  CHECK(joined("Seven plus 5 is 12.") == "seven plus five is twelve");
  CHECK(joined("Twenty-seven!") == "twenty seven");
  CHECK(joined("I don't know, don\xe2\x80\x99t ask") == "i dont know dont ask");
  CHECK(joined("a 12oz latte, 16 ounces") == "a twelve ounce latte sixteen ounce");
  CHECK(joined("1,000 / 105 / one hundred and five") ==
        "one thousand one hundred five one hundred five");
  CHECK(joined("caf\xc3\xa9 3rd") == "caf\xc3\xa9 three rd");
  CHECK(joined("").empty());
}

TEST_CASE("number words, to and fro", "[property]") {
  for (const long value : {0L, 7L, 12L, 20L, 21L, 99L, 100L, 105L, 110L, 120L, 342L, 999L, 1000L,
                           1001L, 20016L, 100000L, 999999L}) {
    INFO(value);
    CHECK(last_number(std::to_string(value)) == value);
    std::string text = "it is";
    for (const std::string& word : number_words(value)) text += " " + word;
    CHECK(last_number(text) == value);
  }
}

TEST_CASE("the last number said counts", "[unit]") {
  CHECK(last_number("Seven plus five is twelve.") == 12);
  CHECK(last_number("seven, five") == 5);
  CHECK(last_number("twenty twelve") == 12);
  CHECK(last_number("One, two, three.") == 3);
  CHECK(last_number("forty two it is") == 42);
  CHECK(last_number("nine minus four") == 4);
  CHECK(last_number("four minus nine is minus five") == -5);
  CHECK(last_number("negative 3") == -3);
  CHECK(last_number("thirty zero") == 0);
  CHECK_FALSE(last_number("I don't know").has_value());
}

TEST_CASE("orders: slots, amounts, longest phrases, nothing extra", "[unit]") {
  CHECK(find_order("A large dark roast house coffee, coming up.") ==
        OrderSlots{{"drink", "house coffee"}, {"roast", "dark roast"}, {"size", "large"}});
  CHECK(find_order("a medium roast latte") ==
        OrderSlots{{"drink", "latte"}, {"roast", "medium roast"}});
  CHECK(find_order("a 20 ounce iced mocha with almond milk and some sugar") ==
        OrderSlots{{"drink", "iced mocha"},
                   {"milk", "almond milk"},
                   {"size", "twenty ounce"},
                   {"sugar", "sugar"},
                   {"sugar_amount", "some"}});
  CHECK(find_order("a latte with a little bit of cream") ==
        OrderSlots{{"drink", "latte"}, {"milk", "cream"}, {"milk_amount", "a little bit of"}});
  // An amount belongs to the word right behind it only.
  CHECK(find_order("some latte with cream") == OrderSlots{{"drink", "latte"}, {"milk", "cream"}});
  CHECK(find_order("a latte, yes, a latte") == OrderSlots{{"drink", "latte"}});

  const AnswerKey key{
      .any_of = {}, .number = {}, .order = OrderSlots{{"size", "small"}, {"drink", "latte"}}};
  CHECK(is_right("A small latte, coming up.", key));
  CHECK_FALSE(is_right("A large latte, coming up.", key));
  CHECK_FALSE(is_right("A latte, coming up.", key));
  CHECK_FALSE(is_right("A small latte with cream.", key));
  CHECK_FALSE(is_right("A small latte and a mocha.", key));
}

TEST_CASE("sums want the number, the rest whole words", "[unit]") {
  const AnswerKey sum{.any_of = {}, .number = 12, .order = {}};
  CHECK(is_right("Seven plus five is 12.", sum));
  CHECK_FALSE(is_right("Twelve? No, it is thirteen.", sum));
  const AnswerKey capital{.any_of = {{"Paris"}}, .number = {}, .order = {}};
  CHECK(is_right("The capital of France is Paris.", capital));
  CHECK_FALSE(is_right("Parisian", capital));
  const AnswerKey joke{
      .any_of = {{"why don't eggs tell"}, {"what has", "four wheels"}}, .number = {}, .order = {}};
  CHECK(is_right("Why don't eggs tell jokes?", joke));
  CHECK(is_right("What has 4 wheels and flies?", joke));
  CHECK_FALSE(is_right("What has flies?", joke));
  const AnswerKey nothing{};
  CHECK(is_right("", nothing));
  CHECK_FALSE(is_right("Okay.", nothing));
}

TEST_CASE("word errors are the fewest edits", "[unit]") {
  CHECK(count_word_errors({"a", "b", "c", "d"}, {"a", "x", "c"}) == 2);
  CHECK(count_word_errors({"a", "b"}, {"a", "b", "b"}) == 1);
  CHECK(count_word_errors({}, {"a"}) == 1);
  CHECK(count_word_errors({"a"}, {}) == 1);
  CHECK(count_word_errors({"a", "b"}, {"a", "b"}) == 0);
}
