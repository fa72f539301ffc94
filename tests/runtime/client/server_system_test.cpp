#include "runtime/client/server_system.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "audio/audio_file.h"
#include "codecs/wire/moshi_frame.h"
#include "runtime/bench/report.h"
#include "runtime/bench/suite_run.h"
#include "runtime/server/server.h"
#include "runtime/server/tls.h"
#include "tests/support/fake_server.h"
#include "tests/support/polite_engine.h"
#include "tests/support/polite_server.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using namespace duet::runtime;
using namespace duet::runtime::bench;
using Catch::Contains;
using client::Protocol;
using nlohmann::json;
using support::audio_delta;
using support::FakeServer;
using support::open_session;
using support::PoliteEngine;
using support::serve_moshi;
using support::serve_openai;
using Peer = FakeServer::Peer;

namespace {

constexpr double kPace = 8.0;
constexpr double kMargin = 0.25;
/// A loaded machine only ever adds to a latency by the clock, and at half the pace half as much:
/// such latencies are measured slower and slower until they are right, the last time as they are.
constexpr double kPaces[] = {8.0, 4.0, 2.0, 1.0};

std::vector<float> hum(double seconds) {
  std::vector<float> samples(static_cast<std::size_t>(seconds * 16000));
  for (std::size_t i = 0; i < samples.size(); ++i)
    samples[i] = 0.3F * static_cast<float>(std::sin(0.08 * static_cast<double>(i)));
  return samples;
}

/// A question of 0.96 s from 0.48 s on; half of 0.64 + 4 + 1 s after it an interruption.
Script talk(const support::TempDir& dir, int num_dialogs = 1) {
  audio::write_wav_file(dir.file("turn.wav"), hum(0.96), 16000);
  std::string text = "schema: duet.bench/1\nname: test\nlead_s: 0.48\ntail_s: 2\ndialogs:\n";
  for (int i = 1; i <= num_dialogs; ++i) {
    text += "  - id: d" + std::to_string(i) +
            "\n    events:\n"
            "      - {kind: question, audio: turn.wav, reply_s: 4, key: {number: 12}}\n"
            "      - {kind: interruption, audio: turn.wav, anchor: halved_silence, offset_s: 1}\n";
  }
  return load_script(dir.write("suite.yaml", text));
}

client::ServerOptions options(const std::string& url, Protocol protocol) {
  client::ServerOptions options;
  options.url = url;
  options.protocol = protocol;
  options.connect_timeout_s = options.stall_timeout_s = 10.0;
  options.connect_attempts = 1;
  options.max_lag_s = 60.0;
  options.pace = kPace;
  return options;
}
/// Who gives up soon: for servers that stay silent.
client::ServerOptions impatient(const std::string& url, Protocol protocol) {
  client::ServerOptions impatient = options(url, protocol);
  impatient.connect_timeout_s = 0.4;
  impatient.stall_timeout_s = 0.3;
  return impatient;
}

SuiteResult measure(const client::ServerOptions& server, int num_dialogs = 1) {
  const support::TempDir dir;
  const Script script = talk(dir, num_dialogs);
  return run_suite(*client::make_server_system(server), script,
                   {.mode = Mode::kFixed, .num_threads = 1, .max_attempts = 2});
}
std::string error_of(const client::ServerOptions& server) {
  const SuiteResult result = measure(server);
  REQUIRE(result.dialogs.size() == 1);
  CHECK_FALSE(to_text(result).empty());
  return result.dialogs[0].error;
}

DialogResult in_process() {
  const support::TempDir dir;
  return run_suite(PoliteEngine(), talk(dir), {.mode = Mode::kFixed, .num_threads = 1}).dialogs[0];
}

bool is_near(double latency_s, double expected_s) {
  return std::abs(latency_s - expected_s) <= kMargin;
}
bool is_like(const DialogResult& dialog, double reply_s, double stop_s) {
  return dialog.events.size() == 2 && dialog.events[0].reply && dialog.events[1].stop &&
         is_near(dialog.events[0].reply->latency_s, reply_s) &&
         is_near(dialog.events[1].stop->latency_s, stop_s);
}

/// What `measure_at` gives at the first pace of kPaces at which both latencies are right, or at the
/// last.
template <class Measure>
SuiteResult measure_until(double reply_s, double stop_s, const Measure& measure_at) {
  SuiteResult result;
  for (const double pace : kPaces) {
    result = measure_at(pace);
    if (is_like(result.dialogs[0], reply_s, stop_s)) break;
  }
  return result;
}

void check_like(const DialogResult& dialog, const DialogResult& direct) {
  INFO(dialog.error);
  REQUIRE(dialog.events.size() == 2);
  CHECK(dialog.events[0].is_right == true);
  CHECK(dialog.events[0].reply->latency_s ==
        Approx(direct.events[0].reply->latency_s).margin(kMargin));
  CHECK(dialog.events[1].stop->is_counted);
  CHECK(dialog.events[1].stop->latency_s ==
        Approx(direct.events[1].stop->latency_s).margin(kMargin));
}

}  // namespace

TEST_CASE("a Moshi server gives what its engine gives in the process, to the sample count",
          "[unit]") {
  FakeServer server([](Peer& peer) { serve_moshi(peer); });
  const SuiteResult result = measure(options(server.url(), Protocol::kMoshi));
  const DialogResult& dialog = result.dialogs[0];
  check_like(dialog, in_process());
  // Aligned by count: the clock of this machine plays no part. Opus blurs the edges.
  CHECK(dialog.events[0].reply->latency_s ==
        Approx(in_process().events[0].reply->latency_s).margin(0.0201));
  CHECK(dialog.lag_s.has_value());
  CHECK(result.audio_s == 0.0);
  CHECK_THAT(to_text(result), Contains("lag of the server") && !Contains("RTF"));
  CHECK(result.system == "moshi " + server.url());
  CHECK(server.num_connections() == 2);  // With its control run.
}

TEST_CASE("an OpenAI server that sends ahead: played from its arrival, dropped at speech",
          "[unit]") {
  // 20 silent blocks of 20 ms, heard a block later; the third block that sounds is announced.
  constexpr double kReply = 0.42, kStop = 0.08;
  std::string truncated, target, key;
  const SuiteResult result = measure_until(kReply, kStop, [&](double pace) {
    // What the server's thread noted may be read once it has ended.
    FakeServer server([&](Peer& peer) {
      target = peer.target();
      key = peer.authorization();
      serve_openai(peer, truncated);
    });
    auto config = options(server.url(), Protocol::kOpenAi);
    config.model = "m";
    config.api_key = "secret";
    config.pace = pace;
    return measure(config);
  });
  const DialogResult& dialog = result.dialogs[0];
  INFO(dialog.error);
  CHECK(target == "/v1/realtime?model=m");
  CHECK(key == "Bearer secret");
  REQUIRE(dialog.events.size() == 2);
  CHECK(dialog.events[0].reply->latency_s == Approx(kReply).margin(kMargin));
  CHECK(dialog.events[0].is_right == true);
  // The answer's 6 s were all there.
  REQUIRE(dialog.events[1].stop->is_counted);
  CHECK(dialog.events[1].stop->latency_s == Approx(kStop).margin(kMargin));
  // 4.26 - 1.84 s had been heard of it.
  REQUIRE_FALSE(truncated.empty());
  CHECK(json::parse(truncated)["audio_end_ms"].get<double>() == Approx(2460).margin(300));
  CHECK(json::parse(truncated)["item_id"] == "item_1");
  CHECK_FALSE(dialog.lag_s);
}

TEST_CASE("duet's own server, by both of its protocols", "[unit]") {
  const PoliteEngine engine;
  server::ServerConfig config;
  config.port = 0;
  config.max_sessions = 2;
  server::Server server(engine, config);
  const std::string url = "ws://127.0.0.1:" + std::to_string(server.port());
  const DialogResult direct = in_process();
  for (const Protocol protocol : {Protocol::kMoshi, Protocol::kOpenAi}) {
    auto client = options(url, protocol);
    const SuiteResult result = measure_until(direct.events[0].reply->latency_s,
                                             direct.events[1].stop->latency_s, [&](double pace) {
                                               client.pace = pace;
                                               return measure(client);
                                             });
    INFO(to_text(result));
    check_like(result.dialogs[0], direct);
  }
}

TEST_CASE("TLS: a certificate that nobody vouches for is refused, a trusted one is not", "[unit]") {
  const support::TempDir dir;
  const auto made = server::make_self_signed(dir.path(), {"localhost", "127.0.0.1"});
  const PoliteEngine engine;
  server::ServerConfig config;
  config.port = 0;
  config.max_sessions = 1;
  config.tls_cert = made.cert_file;
  config.tls_key = made.key_file;
  server::Server server(engine, config);
  auto client = options("wss://127.0.0.1:" + std::to_string(server.port()), Protocol::kMoshi);
  CHECK_THAT(error_of(client), Contains("TLS") && Contains("certificate verify failed"));
  const char* before = std::getenv("SSL_CERT_FILE");
  const std::string kept = before != nullptr ? before : "";
  ::setenv("SSL_CERT_FILE", made.cert_file.c_str(), 1);  // OpenSSL's own way to trust another.
  client.connect_attempts = 3;
  CHECK(error_of(client).empty());
  if (before != nullptr)
    ::setenv("SSL_CERT_FILE", kept.c_str(), 1);
  else
    ::unsetenv("SSL_CERT_FILE");
}

TEST_CASE("no server, or one that is none: a row with the reason", "[unit]") {
  CHECK_THAT(error_of(options("ws://127.0.0.1:1", Protocol::kMoshi)), Contains("connecting"));
  FakeServer garbage(std::string("220 mail.example ESMTP\r\n\r\n"));
  CHECK_THAT(error_of(options(garbage.url(), Protocol::kMoshi)), Contains("WebSocket"));
  FakeServer missing(std::string("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
  auto config = options(missing.url(), Protocol::kOpenAi);
  config.connect_attempts = 3;
  CHECK_THAT(error_of(config), Contains("HTTP 404"));
  CHECK(missing.num_connections() == 1);
  FakeServer busy(std::string("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"));
  config.url = busy.url();
  CHECK_THAT(error_of(config), Contains("HTTP 503"));
  CHECK(busy.num_connections() == 3);
}

TEST_CASE("silent servers: before the first word, and after it", "[unit]") {
  FakeServer mute([](Peer& peer) {
    while (peer.read()) continue;
  });
  CHECK_THAT(error_of(impatient(mute.url(), Protocol::kMoshi)),
             Contains("no handshake within 0.4 s"));
  CHECK_THAT(error_of(impatient(mute.url(), Protocol::kOpenAi)), Contains("no session.created"));
  FakeServer greets([](Peer& peer) {
    if (peer.target() == "/api/chat") {
      peer.send_binary(wire::write_moshi_handshake());
    } else {
      open_session(peer);
    }
    while (peer.read()) continue;
  });
  CHECK_THAT(error_of(impatient(greets.url(), Protocol::kMoshi)), Contains("no audio for 0.3 s"));
  CHECK(greets.num_connections() == 2);  // It was tried again.
  CHECK_THAT(error_of(impatient(greets.url(), Protocol::kOpenAi)), Contains("silent"));
}

TEST_CASE("a server that is too slow", "[unit]") {
  FakeServer slow([](Peer& peer) {
    serve_moshi(peer, [](std::int64_t) {
      std::this_thread::sleep_for(std::chrono::duration<double>(4 * 0.08 / kPace));
      return true;
    });
  });  // 4 times too slow.
  auto config = options(slow.url(), Protocol::kMoshi);
  config.max_lag_s = 1.5;
  CHECK_THAT(error_of(config), Contains("behind real time"));
  CHECK(slow.num_connections() == 1);
}

TEST_CASE("servers that close in the middle: tried again or not, and why", "[unit]") {
  for (const int code : {1013, 1008, 0}) {
    FakeServer server([code](Peer& peer) {
      serve_moshi(peer, [](std::int64_t step) { return step < 20; });
      if (code == 0) return;
      peer.send_binary(wire::write_moshi_error("out of coffee"));
      peer.close(code, "enough");
    });
    const std::string why = error_of(options(server.url(), Protocol::kMoshi));
    INFO(code);
    if (code == 0) {
      CHECK_THAT(why, Contains("connection lost"));
    } else {
      CHECK_THAT(why, Contains(std::to_string(code) + ": enough") && Contains("out of coffee"));
    }
    CHECK(server.num_connections() == (code == 1008 ? 1 : 2));
  }
}

TEST_CASE("a connection that is lost once costs nothing but time", "[unit]") {
  std::atomic<int> num_opened = 0;
  FakeServer server([&](Peer& peer) {
    const bool is_first = num_opened++ == 0;
    serve_moshi(peer, [is_first](std::int64_t step) { return !is_first || step < 20; });
  });
  check_like(measure(options(server.url(), Protocol::kMoshi)).dialogs[0], in_process());
  CHECK(server.num_connections() == 3);
}

TEST_CASE("garbage inside a conversation ends it without another try", "[unit]") {
  const std::vector<std::vector<std::uint8_t>> messages = {
      {},
      {1, 'O', 'g', 'g', 'X', 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2},
      {2, 0xff, 0xfe},
      {0, 1, 2}};
  for (const auto& message : messages) {
    FakeServer server([&](Peer& peer) {
      peer.send_binary(wire::write_moshi_handshake());
      peer.read();
      peer.send_binary(message);
      while (peer.read()) continue;
    });
    CHECK_THAT(error_of(options(server.url(), Protocol::kMoshi)), Contains("does not have"));
    CHECK(server.num_connections() == 1);
  }
  for (const char* text : {"{", "[]", "{\"type\":1}", R"({"type":"response.output_audio.delta"})",
                           R"({"type":"response.output_audio.delta","delta":"%%%"})",
                           R"({"type":"response.done","response":7})", R"({"type":"error"})"}) {
    FakeServer server([&](Peer& peer) {
      if (!open_session(peer)) return;
      peer.read();
      peer.send_text(text);
      while (peer.read()) continue;
    });
    INFO(text);
    CHECK_THAT(error_of(options(server.url(), Protocol::kOpenAi)), Contains("does not have"));
  }
}

TEST_CASE("OpenAI: a refused session, a response that stops in its middle", "[unit]") {
  FakeServer refuses([](Peer& peer) {
    peer.send_text(R"({"type":"session.created"})");
    peer.read();
    peer.send_text(R"({"type":"error","error":{"message":"no such voice"}})");
    while (peer.read()) continue;
  });
  CHECK_THAT(error_of(options(refuses.url(), Protocol::kOpenAi)), Contains("no such voice"));
  FakeServer stops([](Peer& peer) {
    if (!open_session(peer)) return;
    peer.send_text(R"({"type":"response.created","response":{}})");
    peer.send_text(audio_delta(0.5));
    while (peer.read()) continue;
  });
  CHECK_THAT(error_of(impatient(stops.url(), Protocol::kOpenAi)), Contains("in its middle"));
}

TEST_CASE("OpenAI: a server whose seats are taken is asked again", "[unit]") {
  std::atomic<int> num_asked = 0;
  std::string truncated;
  FakeServer server([&](Peer& peer) {
    if (num_asked++ % 2 == 1) return serve_openai(peer, truncated);
    peer.send_text(
        R"({"type":"error","error":{"type":"rate_limit_error","message":"all seats are taken"}})");
    peer.close(1013, "later");
  });
  auto config = options(server.url(), Protocol::kOpenAi);
  CHECK_THAT(error_of(config), Contains("all seats are taken"));
  num_asked = 0;
  config.connect_attempts = 2;
  CHECK(error_of(config).empty());
}

TEST_CASE("a server that is not there is not asked a hundred times", "[unit]") {
  FakeServer busy(std::string("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"));
  const SuiteResult result = measure(options(busy.url(), Protocol::kMoshi), 6);
  CHECK(busy.num_connections() == 3);
  CHECK(result.is_complete());
  CHECK_THAT(result.dialogs[2].error, Contains("HTTP 503") && !Contains("not tried"));
  CHECK_THAT(result.dialogs[5].error, Contains("not tried") && Contains("HTTP 503"));
  CHECK_THAT(to_text(result), Contains("failed dialogues: 6"));
}

TEST_CASE("what failed with a server is tried by the next run", "[unit]") {
  const support::TempDir dir;
  const Script script = talk(dir);
  const SuiteOptions suite{.mode = Mode::kFixed, .folder = dir.file("work"), .num_threads = 1};
  std::atomic<bool> is_up = false;
  FakeServer server([&](Peer& peer) {
    if (is_up) serve_moshi(peer);
  });
  const auto system = client::make_server_system(options(server.url(), Protocol::kMoshi));
  CHECK_FALSE(run_suite(*system, script, suite).dialogs[0].error.empty());
  is_up = true;
  const SuiteResult second = run_suite(*system, script, suite);
  CHECK(second.dialogs[0].error.empty());
  CHECK(second.num_resumed == 0);
  CHECK(run_suite(*system, script, suite).num_resumed == 1);
}

TEST_CASE("options of a server out of range are refused", "[unit]") {
  auto config = options("ws://h", Protocol::kMoshi);
  config.stall_timeout_s = 0.0;
  CHECK_THROWS_AS(client::make_server_system(config), core::ConfigError);
  config = options("http://h", Protocol::kMoshi);
  CHECK_THROWS_AS(client::make_server_system(config), core::ConfigError);
}
