#include "runtime/server/realtime_items.h"

#include <catch2/catch.hpp>

using namespace duet::server;

namespace {

ConversationItem named(const std::string& id) {
  ConversationItem item;
  item.item.id = id;
  return item;
}

}  // namespace

TEST_CASE("items keep their order, know their predecessor and are bounded", "[unit]") {
  RealtimeItems items("x", 3);
  CHECK(items.add(named("a")) == "");
  CHECK(items.add(named("c")) == "a");
  CHECK(items.add(named("b"), "a") == "a");
  CHECK_FALSE(items.add(named("b")));
  CHECK_FALSE(items.add(named("d"), "nobody"));
  CHECK(items.add(named("d")) == "c");
  CHECK(items.size() == 3);  // The oldest is forgotten.
  CHECK(items.find("a") == nullptr);
  CHECK(items.add(named("r"), "root") == "");
  CHECK(items.remove("d"));
  CHECK_FALSE(items.remove("d"));
  CHECK(items.next_id("item") == "item_x_1");
  CHECK(items.next_id("resp") == "resp_x_2");
}

TEST_CASE("truncation keeps the words whose audio had begun", "[unit]") {
  ConversationItem item = named("a");
  item.audio_ms = 240.0;
  item.marks = {{"one", 0.0}, {" two", 80.0}, {" three", 160.0}};
  item.item.content = {{.type = "output_audio", .transcript = "one two three"}};
  truncate_item(item, 160);
  CHECK(item.item.content[0].transcript == "one two");
  CHECK(item.audio_ms == 160.0);
  truncate_item(item, 0);
  CHECK(item.item.content[0].transcript == "");
}
