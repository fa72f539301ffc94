#include "models/sentencepiece_library.h"

#include <catch2/catch.hpp>

#include "runtime/core/error.h"

// SentencePiece and LibTorch in one process is what this test shows: it once died before main.
TEST_CASE("a file that is no SentencePiece model gives an error with its name", "[unit]") {
  CHECK_THROWS_AS(duet::models::SentencePieceModel("/nonexistent/tokenizer.model"),
                  duet::core::LoadError);
  CHECK_THROWS_WITH(
      duet::models::SentencePieceModel(DUET_SOURCE_DIR "/CMakeLists.txt"),
      Catch::Contains("expected a serialised model") && Catch::Contains("CMakeLists.txt"));
}
