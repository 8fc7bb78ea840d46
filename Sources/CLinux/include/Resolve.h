#pragma once

#include <stdint.h>

/// An address that a name came to, in network order: 4 bytes for family 4, 16 for family 6.
struct starling_address {
  uint8_t family;
  uint8_t bytes[16];
};

/// Asks the system's resolver, which may block. Returns how many addresses were written, at most
/// `capacity`, or a negative number that `starling_resolve_error` explains.
int starling_resolve(const char *host, struct starling_address *out, int capacity);

/// The sentence for a negative result of `starling_resolve`.
const char *starling_resolve_error(int result);
