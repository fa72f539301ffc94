#include "runtime/server/relay_link.h"

#include <catch2/catch.hpp>

using namespace duet;

namespace {

struct Heard : server::Link {
  std::vector<std::string> texts;
  int num_binary = 0, close_code = 0;
  void send_text(std::string message, server::Lane) override { texts.push_back(message); }
  void send_binary(std::vector<std::uint8_t>, server::Lane) override { ++num_binary; }
  void close(int code, const std::string&) override { close_code = code; }
};

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("a relay passes on to whoever is attached; without a journal nothing is kept", "[unit]") {
  Heard a, b;
  server::RelayLink link(1000);
  link.send_text("{}", server::Lane::kControl);
  link.attach(&a);
  link.send_text("{\"x\":1}", server::Lane::kAudio);
  link.send_binary({1}, server::Lane::kAudio);
  link.attach(&b);
  link.close(1000, "bye");
  link.send_text("{}", server::Lane::kControl);
  CHECK(a.texts == Texts{"{\"x\":1}"});
  CHECK(a.num_binary == 1);
  CHECK(b.texts.empty());
  CHECK(b.close_code == 1000);
  CHECK(link.is_closed());
}

TEST_CASE("a journal numbers, keeps what was not acknowledged, and says it again", "[unit]") {
  Heard a, b;
  server::RelayLink link(1000);
  link.attach(&a);
  link.start_journal();
  link.send_text("{}", server::Lane::kControl);
  link.send_text("{\"x\":1}", server::Lane::kAudio);
  CHECK(a.texts == Texts{"{\"server_event_seq\":1}", "{\"server_event_seq\":2,\"x\":1}"});
  link.detach();
  link.send_text("{\"x\":2}", server::Lane::kAudio);
  link.acknowledge(1);
  CHECK(link.oldest_seq() == 2);
  link.attach(&b);
  CHECK(link.can_replay_from(1));
  CHECK_FALSE(link.can_replay_from(0));
  link.send_aside("{\"y\":0}", 1);
  link.replay_from(1);
  CHECK(b.texts == Texts{"{\"server_event_seq\":1,\"y\":0}", "{\"server_event_seq\":2,\"x\":1}",
                         "{\"server_event_seq\":3,\"x\":2}"});
  link.acknowledge(99);  // More than there ever was.
  CHECK(link.oldest_seq() == 4);
  CHECK(link.num_bytes() == 0);
  CHECK(link.can_replay_from(3));
}

TEST_CASE("a journal is bounded: the oldest go first, and that is known", "[unit]") {
  server::RelayLink link(100);
  link.start_journal();
  for (int i = 0; i < 20; ++i) link.send_text("{\"x\":1}", server::Lane::kControl);
  CHECK(link.num_bytes() <= 100);
  CHECK(link.oldest_seq() > 15);
  CHECK_FALSE(link.can_replay_from(10));
  CHECK(link.can_replay_from(link.oldest_seq() - 1));
}
