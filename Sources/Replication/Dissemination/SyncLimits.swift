/// Bounds of the messages of this protocol: a decoder refuses above them, and so do the cores.
public enum SyncLimits {
  /// Changesets in a push or a delivery, and their bytes (one that is larger travels alone).
  public static let changesets = 64
  public static let changesetBytes = 262_144
  /// IDs in an announcement, graft, track or applied.
  public static let ids = 256
  /// Names in a `have` or a `want`.
  public static let names = 2_048
  public static let wantedNames = 64
  public static let digests = 64
  /// Symbols in one window, and in all of one sketch.
  public static let windowSymbols = 4_096
  public static let sketchSymbols = 32_768
  public static let packedSymbolBytes = windowSymbols * SymbolCoding.maximumSymbolBytes
  /// Ranges in a request; IDs of one range that are listed instead of divided.
  public static let ranges = 256
  public static let rangeIDs = 16
  public static let redirectPeers = 8
  /// Sent as a datagram up to here, by stream above (1,200 bytes sealed).
  public static let datagramBytes = 1_100
  /// Changesets in one set: far above what anyone has, low enough for no sum to overflow.
  public static let setCount = 1 << 31
}

extension SyncMessage {
  /// Which limit this message breaks, `nil` where none. The cores check it before anything else.
  public var limitBroken: String? {
    switch self {
    case .push(let changesets):
      changesets.count <= SyncLimits.changesets ? nil : "changesets"
    case .announce(let ids), .graft(let ids), .track(let ids), .applied(let ids):
      ids.count <= SyncLimits.ids ? nil : "ids"
    case .prune: nil
    case .digests(let digests, _): digests.count <= SyncLimits.digests ? nil : "digests"
    case .symbolsRequest(let request): request.limitBroken
    case .symbols(let window): window.limitBroken
    case .rangesRequest(let request):
      request.ranges.count <= SyncLimits.ranges ? nil : "ranges"
    case .ranges(let reply): reply.limitBroken
    case .have(_, let names): names.count <= SyncLimits.names ? nil : "names"
    case .want(let want): want.limitBroken
    case .delivery(let delivery): delivery.limitBroken
    case .redirect(let redirect):
      redirect.peers.count <= SyncLimits.redirectPeers ? nil : "redirect peers"
    }
  }
}

extension SymbolsRequest {
  var limitBroken: String? {
    guard (1...SyncLimits.windowSymbols).contains(count), offset >= 0,
      offset <= SyncLimits.sketchSymbols - count
    else { return "symbols" }
    return nil
  }
}

extension SymbolsWindow {
  var limitBroken: String? {
    guard (0...SyncLimits.sketchSymbols).contains(offset),
      (0...SyncLimits.setCount).contains(setCount),
      packed.count <= SyncLimits.packedSymbolBytes
    else { return "symbols" }
    return nil
  }
}

extension RangesReply {
  var limitBroken: String? {
    guard ranges.count <= SyncLimits.ranges else { return "ranges" }
    for range in ranges {
      switch range.content {
      case .ids(let ids):
        // A range that cannot be divided further lists what it has, within the limit of IDs.
        if ids.count > SyncLimits.ids { return "range ids" }
      case .parts(let parts):
        var previous = -1
        for part in parts {
          guard part.digit > previous, part.digit < 16,
            (1...SyncLimits.setCount).contains(part.count)
          else { return "range parts" }
          previous = part.digit
        }
      }
    }
    return nil
  }
}

extension Want {
  var limitBroken: String? {
    switch part {
    case .names(let names): names.count <= SyncLimits.wantedNames ? nil : "wanted names"
    case .range: nil
    case .trust(let from): (0...SyncLimits.setCount).contains(from) ? nil : "trust index"
    }
  }
}

extension Delivery {
  var limitBroken: String? {
    guard changesets.count <= SyncLimits.changesets,
      (0...SyncLimits.setCount).contains(served), (0...SyncLimits.setCount).contains(remaining)
    else { return "delivery" }
    return nil
  }
}
