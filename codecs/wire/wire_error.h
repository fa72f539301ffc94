#pragma once
// What every parser of network bytes throws.

#include "runtime/core/error.h"

namespace duet::wire {

/// Bytes of a peer that are not what the protocol allows. detail(): subject is the field, expected
/// and found its values, file the place ("Ogg stream, byte 58, page 1"). It concerns one connection
/// only; whoever catches it decides whether to answer, to skip or to close.
class WireError : public core::Error {
 public:
  using Error::Error;
};

}  // namespace duet::wire
