#include "tools/train/heard_bank.h"

#include <ATen/ATen.h>

#include "runtime/core/error.h"

namespace duet::train {

HeardBank::HeardBank(int64_t num_pieces, int64_t per_piece)
    : num_pieces_(num_pieces),
      per_piece_(per_piece),
      shelves_(static_cast<size_t>(num_pieces) + 2) {
  DUET_CHECK(num_pieces > 0 && per_piece > 0);
}

size_t HeardBank::shelf_of(int64_t heard) const {
  if (heard == kHeardSilence) return static_cast<size_t>(num_pieces_);
  if (heard == kHeardBlank) return static_cast<size_t>(num_pieces_) + 1;
  DUET_CHECK(heard >= 0 && heard < num_pieces_);
  return static_cast<size_t>(heard);
}

void HeardBank::add(const at::Tensor& user, const at::Tensor& posterior,
                    const std::vector<const std::vector<float>*>& speaking) {
  const auto [best, index] = posterior.to(at::kFloat).max(-1);
  const at::Tensor ids = index.contiguous(), shares = best.contiguous();
  const int64_t steps = user.size(1);
  DUET_CHECK(static_cast<int64_t>(speaking.size()) == user.size(0));
  for (int64_t b = 0; b < user.size(0); ++b) {
    const int64_t* id = ids[b].data_ptr<int64_t>();
    const float* share = shares[b].data_ptr<float>();
    const std::vector<float>& spoken = *speaking[static_cast<size_t>(b)];
    int64_t quiet = 100;  // steps since somebody spoke
    for (int64_t t = 0; t < steps; ++t) {
      quiet = spoken[static_cast<size_t>(t)] > 0.0f ? 0 : quiet + 1;
      if (share[t] <= 0.5f) continue;
      const bool is_blank = id[t] == num_pieces_;
      if (is_blank && quiet > 0 && quiet < 5) continue;
      const int64_t heard = !is_blank ? id[t] : quiet == 0 ? kHeardBlank : kHeardSilence;
      Shelf& shelf = shelves_[shelf_of(heard)];
      const size_t room = static_cast<size_t>(is_blank ? 40 * per_piece_ : per_piece_);
      const at::Tensor frame = user[b][t].clone();
      if (shelf.frames.size() < room)
        shelf.frames.push_back(frame);
      else
        shelf.frames[shelf.oldest++ % room] = frame;
    }
  }
}

bool HeardBank::covers(const std::vector<int64_t>& heard) const {
  for (int64_t one : heard)
    if (shelves_[shelf_of(one)].frames.empty()) return false;
  return true;
}

at::Tensor HeardBank::draw(const std::vector<int64_t>& heard, Random& random) const {
  std::vector<at::Tensor> frames;
  frames.reserve(heard.size());
  for (int64_t one : heard) {
    const std::vector<at::Tensor>& from = shelves_[shelf_of(one)].frames;
    DUET_CHECK(!from.empty());
    frames.push_back(
        from[static_cast<size_t>(uniform_index(random, static_cast<int64_t>(from.size())))]);
  }
  return at::stack(frames);
}

int64_t HeardBank::num_covered() const {
  int64_t count = 0;
  for (int64_t i = 0; i < num_pieces_; ++i)
    count += !shelves_[static_cast<size_t>(i)].frames.empty();
  return count;
}

}  // namespace duet::train
