internal import Base
internal import FoundationEssentials
internal import Replication

extension EnvelopeCodec {
  /// `nil` for kinds that are not dissemination's or anti-entropy's.
  ///
  /// Counts are bounded here before anything is built from them; the cores check `limitBroken` too,
  /// since the simulator passes values.
  static func sync(
    _ kind: ProtoPeerMessage.OneOf_Kind, crypto: Crypto
  ) throws(WireError) -> SyncMessage? {
    let message: SyncMessage
    switch kind {
    case .push(let batch):
      message = .push(
        try changesets(batch.changesets, limit: SyncLimits.changesets, crypto: crypto))
    case .announce(let raw): message = .announce(try ids(raw, limit: SyncLimits.ids, "announce"))
    case .graft(let raw): message = .graft(try ids(raw, limit: SyncLimits.ids, "graft"))
    case .prune(let text): message = .prune(try scope(text))
    case .track(let raw): message = .track(try ids(raw, limit: SyncLimits.ids, "track"))
    case .applied(let raw): message = .applied(try ids(raw, limit: SyncLimits.ids, "applied"))
    case .digests(let proto): message = try digests(proto)
    case .symbolsRequest(let proto):
      message = .symbolsRequest(
        SymbolsRequest(
          scope: try scope(proto.scope), offset: Int(proto.offset), count: Int(proto.count),
          digest: try setDigest(proto.digest)))
    case .symbols(let proto):
      message = .symbols(
        SymbolsWindow(
          scope: try scope(proto.scope), offset: Int(proto.offset),
          digest: try setDigest(proto.digest), setCount: Int(proto.setCount),
          packed: [UInt8](proto.packed)))
    case .rangesRequest(let proto):
      guard proto.ranges.count <= SyncLimits.ranges else { throw .overLimit("ranges") }
      var ranges: [RangePrefix] = []
      for range in proto.ranges { ranges.append(try prefix(range)) }
      message = .rangesRequest(RangesRequest(scope: try scope(proto.scope), ranges: ranges))
    case .ranges(let proto): message = .ranges(try reply(proto))
    case .have(let proto): message = .have(try scope(proto.scope), try names(proto.names))
    case .want(let proto): message = .want(try want(proto))
    case .delivery(let proto):
      message = .delivery(
        Delivery(
          scope: try scope(proto.scope), request: proto.request,
          changesets: try changesets(
            proto.changesets, limit: SyncLimits.changesets, crypto: crypto),
          served: Int(proto.served), remaining: Int(proto.remaining)))
    case .redirect(let proto):
      message = .redirect(
        Redirect(
          scope: try scope(proto.scope),
          peers: try ids(proto.peers, limit: SyncLimits.redirectPeers, "redirect"),
          retryMilliseconds: proto.retryMilliseconds))
    default: return nil
    }
    if let limit = message.limitBroken { throw .overLimit(limit) }
    return message
  }

  private static func scope(_ text: String) throws(WireError) -> Scope {
    if text.isEmpty { return .clusterset }
    guard text.utf8.count <= 128, let scope = Scope(text) else { throw .malformed("scope") }
    return scope
  }

  private static func text(_ scope: Scope) -> String {
    scope == .clusterset ? "" : scope.description
  }

  private static func setDigest(_ data: Data) throws(WireError) -> SetDigest {
    guard let digest = SetDigest(bytes: [UInt8](data)) else { throw .malformed("set digest") }
    return digest
  }

  private static func digests(_ proto: ProtoScopeDigests) throws(WireError) -> SyncMessage {
    guard proto.digests.count <= SyncLimits.digests else { throw .overLimit("digests") }
    var out: [ScopeDigest] = []
    for item in proto.digests {
      out.append(ScopeDigest(scope: try scope(item.scope), digest: try setDigest(item.digest)))
    }
    return .digests(out, answer: proto.answer)
  }

  private static func prefix(_ proto: ProtoRangePrefix) throws(WireError) -> RangePrefix {
    guard let prefix = RangePrefix(word: proto.word, nibbles: Int(proto.nibbles)) else {
      throw .malformed("range")
    }
    return prefix
  }

  private static func reply(_ proto: ProtoRangesReply) throws(WireError) -> RangesReply {
    guard proto.ranges.count <= SyncLimits.ranges else { throw .overLimit("ranges") }
    var contents: [RangeContent] = []
    for item in proto.ranges {
      let range = try prefix(item.range)
      if item.listsIds {
        let listed = try ids(item.ids, limit: SyncLimits.ids, "range ids")
        contents.append(RangeContent(range: range, content: .ids(listed)))
        continue
      }
      guard item.parts.count <= 16 else { throw .overLimit("range parts") }
      var parts: [RangeContent.Part] = []
      for part in item.parts {
        parts.append(
          .init(
            digit: Int(part.digit), count: Int(part.count), digest: try setDigest(part.digest)))
      }
      contents.append(RangeContent(range: range, content: .parts(parts)))
    }
    return RangesReply(scope: try scope(proto.scope), ranges: contents)
  }

  private static func names(_ proto: ProtoNames) throws(WireError) -> Names {
    guard proto.words.count <= SyncLimits.names else { throw .overLimit("names") }
    if !proto.words.isEmpty { return .words(proto.words) }
    return .ids(try ids(proto.ids, limit: SyncLimits.names, "names"))
  }

  private static func want(_ proto: ProtoWant) throws(WireError) -> Want {
    let part: Want.Part
    switch proto.part {
    case .names(let names): part = .names(try self.names(names))
    case .range(let range):
      part = .range(
        try prefix(range.range),
        after: range.after.isEmpty ? nil : try bytes32(range.after, "range position"))
    case .trustFrom(let index): part = .trust(from: Int(index))
    case nil: throw .malformed("want")
    }
    return Want(scope: try scope(proto.scope), request: proto.request, part: part)
  }

  // MARK: Encoding

  static func kind(_ message: SyncMessage) -> ProtoPeerMessage.OneOf_Kind {
    switch message {
    case .push(let changesets):
      var out = ProtoChangesetBatch()
      out.changesets = changesets.map(ChangesetCodec.proto)
      return .push(out)
    case .announce(let ids): return .announce(data(ids))
    case .graft(let ids): return .graft(data(ids))
    case .prune(let scope): return .prune(text(scope))
    case .track(let ids): return .track(data(ids))
    case .applied(let ids): return .applied(data(ids))
    case .digests(let digests, let answer):
      var out = ProtoScopeDigests()
      out.answer = answer
      out.digests = digests.map { item in
        var proto = ProtoScopeDigest()
        proto.scope = text(item.scope)
        proto.digest = Data(item.digest.bytes)
        return proto
      }
      return .digests(out)
    case .symbolsRequest(let request):
      var out = ProtoSymbolsRequest()
      out.scope = text(request.scope)
      out.offset = UInt32(clamping: request.offset)
      out.count = UInt32(clamping: request.count)
      out.digest = Data(request.digest.bytes)
      return .symbolsRequest(out)
    case .symbols(let window):
      var out = ProtoSymbolsWindow()
      out.scope = text(window.scope)
      out.offset = UInt32(clamping: window.offset)
      out.digest = Data(window.digest.bytes)
      out.setCount = UInt32(clamping: window.setCount)
      out.packed = Data(window.packed)
      return .symbols(out)
    case .rangesRequest(let request):
      var out = ProtoRangesRequest()
      out.scope = text(request.scope)
      out.ranges = request.ranges.map(proto)
      return .rangesRequest(out)
    case .ranges(let reply): return .ranges(proto(reply))
    case .have(let scope, let names):
      var out = ProtoHave()
      out.scope = text(scope)
      out.names = proto(names)
      return .have(out)
    case .want(let want): return .want(proto(want))
    case .delivery(let delivery):
      var out = ProtoDelivery()
      out.scope = text(delivery.scope)
      out.request = delivery.request
      out.changesets = delivery.changesets.map(ChangesetCodec.proto)
      out.served = UInt32(clamping: delivery.served)
      out.remaining = UInt32(clamping: delivery.remaining)
      return .delivery(out)
    case .redirect(let redirect):
      var out = ProtoRedirect()
      out.scope = text(redirect.scope)
      out.peers = data(redirect.peers)
      out.retryMilliseconds = redirect.retryMilliseconds
      return .redirect(out)
    }
  }

  private static func proto(_ prefix: RangePrefix) -> ProtoRangePrefix {
    var out = ProtoRangePrefix()
    out.word = prefix.word
    out.nibbles = UInt32(prefix.nibbles)
    return out
  }

  private static func proto(_ names: Names) -> ProtoNames {
    var out = ProtoNames()
    switch names {
    case .words(let words): out.words = words
    case .ids(let ids): out.ids = data(ids)
    }
    return out
  }

  private static func proto(_ reply: RangesReply) -> ProtoRangesReply {
    var out = ProtoRangesReply()
    out.scope = text(reply.scope)
    out.ranges = reply.ranges.map { item in
      var content = ProtoRangeContent()
      content.range = proto(item.range)
      switch item.content {
      case .ids(let ids):
        content.listsIds = true
        content.ids = data(ids)
      case .parts(let parts):
        content.parts = parts.map { part in
          var out = ProtoRangePart()
          out.digit = UInt32(part.digit)
          out.count = UInt32(clamping: part.count)
          out.digest = Data(part.digest.bytes)
          return out
        }
      }
      return content
    }
    return out
  }

  private static func proto(_ want: Want) -> ProtoWant {
    var out = ProtoWant()
    out.scope = text(want.scope)
    out.request = want.request
    switch want.part {
    case .names(let names): out.names = proto(names)
    case .range(let range, let after):
      out.range.range = proto(range)
      if let after { out.range.after = Data(after.bytes) }
    case .trust(let index): out.trustFrom = UInt32(clamping: index)
    }
    return out
  }
}
