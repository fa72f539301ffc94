#include "tools/train/evaluate_score.h"

#include <catch2/catch.hpp>

using namespace duet::train;

namespace {
bool right(const char* topic, const char* key, const char* answer) {
  return duet::runtime::is_right(answer, read_answer_key(topic, key));
}
}  // namespace

TEST_CASE("a sum's key is its result alone", "[unit]") {
  CHECK(right("sum", R"(["fifteen"])", "Three plus twelve is 15."));
  CHECK_FALSE(right("sum", R"(["fifteen"])", "Fifteen plus one is sixteen."));
}

TEST_CASE("an order's key is its slots, nothing extra", "[unit]") {
  const char* key =
      R"({"slots": {"size": "large", "drink": "latte", "milk": "soy milk", "milk_amount": "a bit of", "sugar": "brown sugar"}})";
  CHECK(right("order", key, "A large latte with a bit of soy milk and brown sugar, coming up."));
  CHECK_FALSE(right("order", key, "A large latte with a bit of milk and brown sugar, coming up."));
  CHECK_FALSE(right("order", key, "A large latte with soy milk and brown sugar, coming up."));
  CHECK_FALSE(right("order", key,
                    "A large dark roast latte with a bit of soy milk and brown sugar, coming up."));
}

TEST_CASE("other keys are phrases: all of a list, or of one of several lists", "[unit]") {
  CHECK(right("capital", R"(["New Delhi"])", "The capital of India is New Delhi."));
  CHECK_FALSE(right("capital", R"(["Rome"])", "Romeo."));
  CHECK(right("list", R"(["monday, tuesday", "sunday"])", "Monday, Tuesday, and so on to Sunday."));
  CHECK(right("joke", R"({"any": [["why did the"], ["what do you call"]]})",
              "What do you call a fish?"));
  CHECK_FALSE(right("joke", R"({"any": [["why did the"]]})", "Hello."));
  CHECK(right("talk", "hello", "Hello! How can I help you?"));
}

TEST_CASE("a key of another shape is an error", "[unit]") {
  CHECK_THROWS_WITH(read_answer_key("talk", R"({"x": 1})"), Catch::Contains("answer key"));
  CHECK_THROWS_WITH(read_answer_key("talk", R"([1, 2])"), Catch::Contains("answer key"));
}
