#include "runtime/server/serve_job.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "runtime/core/error.h"
#include "runtime/server/page_files.h"
#include "tests/support/fake_engine.h"
#include "tests/support/temp_dir.h"

using namespace duet;
using Catch::Contains;

TEST_CASE("serving says where, and ends when asked to", "[unit]") {
  const support::TempDir folder;
  server::ServeJob job;
  job.config.port = 0;
  job.config.max_sessions = 3;
  job.self_signed_folder = folder.path();
  std::ostringstream out;
  int asked = 0;
  server::serve(
      job, [] { return std::make_unique<support::FakeEngine>(support::FakeScript{}); }, out,
      [&] { return ++asked > 1; });
  CHECK_THAT(out.str(), Contains("fingerprint  SHA-256 ") && Contains("https://127.0.0.1:") &&
                            Contains("wss://127.0.0.1:") && Contains("3 at a time"));
  namespace fs = std::filesystem;
  const auto mode = fs::status(fs::path(folder.path()) / "duet-key.pem").permissions();
  CHECK((mode & fs::perms::group_read) == fs::perms::none);
  CHECK((mode & fs::perms::others_read) == fs::perms::none);
}

TEST_CASE("a bad configuration is refused before the model is loaded", "[unit]") {
  server::ServeJob job;
  job.config.address = "0.0.0.0";
  std::ostringstream out;
  CHECK_THROWS_WITH(server::serve(
                        job,
                        []() -> std::unique_ptr<runtime::Engine> {
                          FAIL("loaded");
                          return nullptr;
                        },
                        out, [] { return true; }),
                    Contains("tokens"));
}

TEST_CASE("the page is whole and asks nobody else for anything", "[unit]") {
  std::size_t found = 0;
  for (const auto& file : server::page_files()) {
    INFO(file.name);
    found += file.name == "index.html" || file.name == "app.js" || file.name == "worklet.js" ||
                     file.name == "style.css"
                 ? 1
                 : 0;
    CHECK(file.content.find("https://") == std::string_view::npos);
    CHECK(file.content.size() > 500);
  }
  CHECK(found == 4);
}

// For clients that are run by hand (tests/clients, a browser) where there is no model:
//   DUET_TEST_SECONDS=120 duet_tests_light "[.serve]"
TEST_CASE("the fake engine on port 8998", "[.serve][device]") {
  support::FakeScript script;
  script.info.has_user_text = true;
  for (std::int64_t at = 40; at < 5000; at += 80)
    script.replies.push_back({at, 20, "this is the fake engine which says the same thing again"});
  script.user_words = [](std::int64_t step) { return step % 80 == 20 ? " hello" : ""; };
  script.compute = std::chrono::milliseconds(15);
  server::ServeJob job;
  job.config.drain_s = 0.5;
  const char* seconds = std::getenv("DUET_TEST_SECONDS");
  const auto end = server::Clock::now() + std::chrono::seconds(seconds ? std::atoi(seconds) : 60);
  server::serve(
      job, [&] { return std::make_unique<support::FakeEngine>(script); }, std::cout,
      [&] { return server::Clock::now() > end; });
}
