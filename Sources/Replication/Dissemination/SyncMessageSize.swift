internal import Base

/// Bytes that a message takes alone in an envelope, as `Wire/Schema/peer.proto` lays it out: budgets,
/// and the choice between datagram and stream, go by it. A test in WireTests holds it to the codec.
extension SyncMessage {
  public var encodedSize: Int { size(withChangesets: true) }

  /// The same without the changesets that it carries.
  public var controlSize: Int { size(withChangesets: false) }

  private func size(withChangesets: Bool) -> Int {
    // Field numbers of the messages begin at 12; from 16 on a tag takes two bytes.
    let content = contentSize(withChangesets: withChangesets)
    return block(block(content) + (isLowField ? 0 : 1))
  }

  private var isLowField: Bool {
    switch self {
    case .push, .announce, .graft, .prune: true
    default: false
    }
  }

  private func contentSize(withChangesets: Bool) -> Int {
    switch self {
    case .push(let changesets): withChangesets ? size(of: changesets) : 0
    case .announce(let ids), .graft(let ids), .track(let ids), .applied(let ids): 32 * ids.count
    case .prune(let scope): scope.nameSize
    case .digests(let digests, let answer):
      digests.reduce(answer ? 2 : 0) { $0 + block($1.scope.encodedSize + digestSize) }
    case .symbolsRequest(let request):
      request.scope.encodedSize + number(request.offset) + number(request.count) + digestSize
    case .symbols(let window):
      window.scope.encodedSize + number(window.offset) + digestSize + number(window.setCount)
        + bytes(window.packed.count)
    case .rangesRequest(let request):
      request.scope.encodedSize + request.ranges.reduce(0) { $0 + block($1.encodedSize) }
    case .ranges(let reply):
      reply.scope.encodedSize + reply.ranges.reduce(0) { $0 + block($1.encodedSize) }
    case .have(let scope, let names): scope.encodedSize + block(names.encodedSize)
    case .want(let want): want.encodedSize
    case .delivery(let delivery):
      delivery.controlSize + (withChangesets ? size(of: delivery.changesets) : 0)
    case .redirect(let redirect):
      redirect.scope.encodedSize + bytes(32 * redirect.peers.count)
        + number(Int(redirect.retryMilliseconds))
    }
  }

  private func size(of changesets: [Changeset]) -> Int {
    changesets.reduce(0) { $0 + block($1.encodedSize) }
  }
}

/// A length-delimited field that is always there: tag, length, content.
private func block(_ content: Int) -> Int { 1 + varint(content) + content }

/// A bytes field; an empty one is left out.
private func bytes(_ count: Int) -> Int { count == 0 ? 0 : block(count) }

/// A varint field; a zero is left out.
private func number(_ value: Int) -> Int { value == 0 ? 0 : 1 + varint(value) }

private func varint(_ value: Int) -> Int {
  (max(1, UInt64.bitWidth - UInt64(max(0, value)).leadingZeroBitCount) + 6) / 7
}

private let digestSize = block(16)

extension Scope {
  /// The ClusterSet's own scope has an empty name.
  fileprivate var nameSize: Int {
    switch self {
    case .clusterset: 0
    case .slice(let name): 6 + name.utf8.count
    }
  }

  fileprivate var encodedSize: Int { bytes(nameSize) }
}

extension Changeset {
  /// Body and endorsements; that of the author leaves the key out.
  public var encodedSize: Int {
    endorsements.reduce(bytes(body.count)) { size, endorsement in
      size + block(block(64) + (endorsement.key == author ? 0 : block(32)))
    }
  }
}

extension RangePrefix {
  fileprivate var encodedSize: Int { (word == 0 ? 0 : 9) + number(nibbles) }
}

extension Names {
  fileprivate var encodedSize: Int {
    switch self {
    case .words(let words): bytes(8 * words.count)
    case .ids(let ids): bytes(32 * ids.count)
    }
  }
}

extension Want {
  fileprivate var encodedSize: Int {
    let named =
      switch part {
      case .names(let names): block(names.encodedSize)
      case .range(let range, let after):
        block(block(range.encodedSize) + (after == nil ? 0 : block(32)))
      case .trust(let from): 1 + varint(from)
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
      case .ids(let ids): bytes(32 * ids.count) + 2
      case .parts(let parts):
        parts.reduce(0) { $0 + block(number($1.digit) + number($1.count) + digestSize) }
      }
    return block(range.encodedSize) + listed
  }
}
