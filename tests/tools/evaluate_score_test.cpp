#include "tools/train/evaluate_score.h"

#include <catch2/catch.hpp>

using namespace duet::train;

TEST_CASE("digits and words are the same answer", "[unit]") {
  CHECK(answer_words("It's 15, ok?") == std::vector<std::string>{"it's", "fifteen", "okay"});
  CHECK(answer_words("144") == std::vector<std::string>{"one", "hundred", "and", "forty", "four"});
  CHECK(answer_words("12oz of -3") == std::vector<std::string>{"twelve", "oz", "of", "minus", "three"});
}

TEST_CASE("the last number of an answer, in any spelling", "[unit]") {
  const auto number = [](const char* text) {
    int value = -999;
    return last_number(answer_words(text), value) ? value : -999;
  };
  CHECK(number("Three plus twelve is fifteen.") == 15);
  CHECK(number("11 times 12 is 132") == 132);
  CHECK(number("is one hundred and forty four.") == 144);
  CHECK(number("is one hundred forty-four.") == 144);
  CHECK(number("Seven minus four is three") == 3);
  CHECK(number("is minus three") == -3);
  CHECK(number("nothing") == -999);
}

TEST_CASE("sums go by the result alone", "[unit]") {
  CHECK(is_right_answer("sum", R"(["fifteen"])", "Three plus twelve is 15."));
  CHECK_FALSE(is_right_answer("sum", R"(["fifteen"])", "Fifteen plus one is sixteen."));
  CHECK_FALSE(is_right_answer("sum", R"(["five"])", "Thirty plus five is thirty five."));
}

TEST_CASE("orders need every slot and nothing extra", "[unit]") {
  const char* key = R"({"slots": {"size": "large", "drink": "latte", "milk": "soy milk", "milk_amount": "a bit of", "sugar": "brown sugar"}})";
  CHECK(is_right_answer("order", key, "A large latte with a bit of soy milk and brown sugar, coming up."));
  CHECK_FALSE(is_right_answer("order", key, "A large latte with a bit of milk and brown sugar, coming up."));
  CHECK_FALSE(is_right_answer("order", key, "A large latte with soy milk and brown sugar, coming up."));
  CHECK_FALSE(is_right_answer("order", key, "A large dark roast latte with a bit of soy milk and brown sugar, coming up."));
  CHECK_FALSE(is_right_answer("order", R"({"slots": {"drink": "coffee"}})", "An iced coffee, coming up."));
  CHECK_FALSE(is_right_answer("order", R"({"slots": {"drink": "latte", "milk": "milk", "sugar": "sugar", "sugar_amount": "some"}})",
                              "A latte with some milk and sugar, coming up."));
  CHECK(is_right_answer("order", R"({"slots": {"drink": "coffee", "size": "twelve ounce"}})", "A 12 ounce coffee, coming up."));
}

TEST_CASE("other keys are whole words", "[unit]") {
  CHECK(is_right_answer("capital", R"(["New Delhi"])", "The capital of India is New Delhi."));
  CHECK_FALSE(is_right_answer("capital", R"(["Rome"])", "Romeo."));
  CHECK(is_right_answer("joke", R"({"any": [["why did the"], ["what do you call"]]})", "What do you call a fish?"));
  CHECK_FALSE(is_right_answer("joke", R"({"any": [["why did the"]]})", "Hello."));
  CHECK(is_right_answer("talk", "hello", "Hello! How can I help you?"));
  CHECK_FALSE(is_right_answer("talk", "[]", ""));
  CHECK_THROWS_WITH(is_right_answer("talk", R"({"x": 1})", "a"), Catch::Contains("answer key"));
}
