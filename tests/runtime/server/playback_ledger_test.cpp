#include "runtime/server/playback_ledger.h"

#include <catch2/catch.hpp>

using namespace duet;

TEST_CASE("the ledger keeps a client's word within what was sent", "[unit]") {
  server::PlaybackLedger ledger;
  CHECK(ledger.current().sent_ms == 0.0);
  ledger.begin("r1", "i1");
  ledger.add(240.0, 160.0);
  auto answer = ledger.acknowledge({.item_id = "i1", .played_ms = 900, .committed_ms = 900});
  CHECK(answer.error_code == nullptr);
  CHECK(answer.playback.played_ms == 160.0);
  CHECK(answer.is_all_committed);
  answer = ledger.acknowledge({.response_id = "r1", .played_ms = 80, .committed_ms = 80});
  CHECK(answer.item_id == "i1");
  CHECK(answer.playback.played_ms == 160.0);  // Overtaken by a later one.
  ledger.add(480.0, 480.0);
  answer = ledger.acknowledge({.item_id = "i1", .played_ms = 320, .committed_ms = 400});
  CHECK(answer.playback.committed_ms == 320.0);  // Nothing is committed that was not played.
  CHECK_FALSE(answer.is_all_committed);
}

TEST_CASE("the ledger knows former responses, and refuses what never was", "[unit]") {
  server::PlaybackLedger ledger;
  ledger.begin("r1", "i1");
  ledger.add(80.0, 80.0);
  ledger.begin("r2", "i2");
  CHECK(ledger.acknowledge({.item_id = "i1", .played_ms = 80}).error_code == nullptr);
  CHECK(std::string(ledger.acknowledge({.item_id = "i3"}).error_code) == "playback_item_not_found");
  CHECK(std::string(ledger.acknowledge({.response_id = "r2", .item_id = "i1"}).error_code) ==
        "playback_item_mismatch");
  for (std::size_t i = 0; i < server::PlaybackLedger::kMaxResponses; ++i)
    ledger.begin("r", "i" + std::to_string(i + 10));
  CHECK(ledger.acknowledge({.item_id = "i1"}).error_code != nullptr);
}

TEST_CASE("where everything sent counts as heard, a finished response is committed", "[unit]") {
  server::PlaybackLedger ledger;
  ledger.finish(true);
  ledger.begin("r1", "i1");
  ledger.add(80.0, 80.0);
  ledger.finish(false);
  CHECK(ledger.current().committed_ms == 0.0);
  ledger.finish(true);
  CHECK(ledger.current().committed_ms == 80.0);
}
