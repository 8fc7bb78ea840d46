internal import Base

/// Bytes that a message takes in Protobuf, as Wire's schema lays it out: budgets and the choice
/// between datagram and stream go by it. A few bytes off does no harm.
extension SyncMessage {
  public var encodedSize: Int {
    switch self {
    case .push(let changesets): block(changesets.reduce(0) { $0 + block($1.encodedSize) })
    case .announce(let ids), .graft(let ids), .track(let ids), .applied(let ids):
      block(block(32 * ids.count))
    case .prune(let scope): block(scope.encodedSize)
    case .digests(let digests, let answer):
      block(digests.reduce(answer ? 2 : 0) { $0 + block($1.scope.encodedSize + block(16)) })
    case .symbolsRequest(let request):
      block(
        request.scope.encodedSize + number(request.offset) + number(request.count) + block(16))
    case .symbols(let window):
      block(
        window.scope.encodedSize + number(window.offset) + block(16) + number(window.setCount)
          + block(window.packed.count))
    case .rangesRequest(let request):
      block(
        request.scope.encodedSize + block(8 * request.ranges.count) + block(request.ranges.count))
    case .ranges(let reply):
      block(reply.ranges.reduce(reply.scope.encodedSize) { $0 + block($1.encodedSize) })
    case .have(let scope, let names): block(scope.encodedSize + names.encodedSize)
    case .want(let want): block(want.encodedSize)
    case .delivery(let delivery):
      block(delivery.controlSize + delivery.changesets.reduce(0) { $0 + block($1.encodedSize) })
    case .redirect(let redirect):
      block(
        redirect.scope.encodedSize + block(32 * redirect.peers.count)
          + number(Int(redirect.retryMilliseconds)))
    }
  }

  /// The same without the changesets that it carries.
  public var controlSize: Int {
    switch self {
    case .push: block(0)
    case .delivery(let delivery): block(delivery.controlSize)
    default: encodedSize
    }
  }
}

/// A length-delimited field: tag, length, content.
private func block(_ bytes: Int) -> Int { 1 + varint(bytes) + bytes }

/// A varint field; a zero is left out.
private func number(_ value: Int) -> Int { value == 0 ? 0 : 1 + varint(value) }

private func varint(_ value: Int) -> Int {
  (max(1, UInt64.bitWidth - UInt64(max(0, value)).leadingZeroBitCount) + 6) / 7
}

extension Scope {
  fileprivate var encodedSize: Int {
    switch self {
    case .clusterset: block(10)
    case .slice(let name): block(6 + name.utf8.count)
    }
  }
}

extension Changeset {
  /// Body, and key and signature of each endorsement.
  public var encodedSize: Int {
    block(body.count) + endorsements.count * block(block(32) + block(64))
  }
}

extension Names {
  fileprivate var encodedSize: Int {
    switch self {
    case .words(let words): block(8 * words.count)
    case .ids(let ids): block(32 * ids.count)
    }
  }
}

extension Want {
  fileprivate var encodedSize: Int {
    let named =
      switch part {
      case .names(let names): names.encodedSize
      case .range(let range, let after):
        block(9 + number(range.nibbles) + (after == nil ? 0 : block(32)))
      case .trust(let from): block(number(from))
      }
    return scope.encodedSize + number(Int(request)) + named
  }
}

extension Delivery {
  fileprivate var controlSize: Int {
    scope.encodedSize + number(Int(request)) + number(served) + number(remaining)
  }
}

extension RangeContent {
  fileprivate var encodedSize: Int {
    let listed =
      switch content {
      case .ids(let ids): block(32 * ids.count)
      case .parts(let parts):
        parts.reduce(0) { $0 + block(number($1.digit) + number($1.count) + block(16)) }
      }
    return 9 + number(range.nibbles) + listed
  }
}
