import Base
import Foundation
import Replication
import Runtime
import Wire

/// Changesets, and what the state makes of those that can be read.
func changesetTarget() -> FuzzTarget {
  let corpus = Samples.changesets.map(ChangesetCodec.encode)
  let batch = ChangesetCodec.encodeBatch(Array(Samples.changesets.prefix(3)))
  let judge = Judge()
  return FuzzTarget(name: "changeset", corpus: corpus + [batch]) { judge.take($0) }
}

/// A state that believes every signature, so that mutated changesets get past it to the rules.
private final class Judge {
  private static let gullible = Crypto(
    sha256: Samples.crypto.sha256, verify: { _, _, _ in true })
  private static let inputs = 1_024
  private let start: ReplicatedState
  private var state: ReplicatedState
  private var count = 0

  init() {
    var changes = StateChanges()
    var state = ReplicatedState(genesis: Samples.genesis, crypto: Self.gullible, cluster: "eu-1")
    for changeset in Samples.changesets.prefix(4) {
      let outcome = state.ingest(changeset, now: Self.now(0), changes: &changes)
      precondition(outcome == .accepted, "the samples are valid: \(outcome)")
    }
    start = state
    self.state = state
  }

  private static func now(_ milliseconds: Int) -> Now {
    Now(
      instant: .zero + .milliseconds(milliseconds),
      wallMilliseconds: 1_000_000 + UInt64(milliseconds))
  }

  func take(_ input: [UInt8]) {
    count += 1
    if count % Self.inputs == 0 { state = start }
    _ = try? ChangesetCodec.decodeBatch(input, maximumCount: 64, crypto: Samples.crypto)
    guard let changeset = try? ChangesetCodec.decode(input, crypto: Samples.crypto) else { return }
    guard
      let again = try? ChangesetCodec.decode(
        body: changeset.body, endorsements: ChangesetCodec.encodeEndorsements(changeset),
        id: changeset.id)
    else { preconditionFailure("a stored changeset cannot be read back") }
    precondition(again.body == changeset.body && again.endorsements == changeset.endorsements)
    var changes = StateChanges()
    let outcome = state.ingest(changeset, now: Self.now(count), changes: &changes)
    if outcome == .accepted { precondition(state.changeset(changeset.id) != nil) }
    if count % 64 == 0 { state.release(now: Self.now(count), changes: &changes) }
  }
}

/// Join tokens, as text and as the message within.
func tokenTarget() -> FuzzTarget {
  let token = JoinToken(
    genesis: Samples.genesis, cluster: "eu-1", seeds: ["10.0.0.1:7946", "[fd00::1]:7946"],
    privateKey: Samples.token.seed, grant: Samples.tokenGrant.id,
    chain: [Samples.adminGrant, Samples.tokenGrant])
  let line = Array(token.text.utf8)
  let content = line.dropFirst(JoinToken.prefix.utf8.count)
    .map { $0 == UInt8(ascii: "-") ? UInt8(ascii: "+") : $0 == UInt8(ascii: "_") ? 0x2f : $0 }
  let padding = String(repeating: "=", count: (4 - content.count % 4) % 4)
  let raw = Data(base64Encoded: String(decoding: content, as: UTF8.self) + padding)
  return FuzzTarget(name: "token", corpus: [line] + [raw].compactMap { $0.map(Array.init) }) {
    let text =
      $0.starts(with: JoinToken.prefix.utf8)
      ? String(decoding: $0, as: UTF8.self) : JoinToken.prefix + Data($0).base64EncodedString()
    _ = try? JoinToken(text, crypto: Samples.crypto)
  }
}

/// Sketches: windows of coded symbols against those of an own set.
func sketchTarget() -> FuzzTarget {
  var rng = SeededGenerator(seed: 3)
  let shared = (0..<200).map { _ in rng.next() }
  var own = SketchPrefix()
  own.grow(to: 512, over: shared + (0..<4).map { _ in rng.next() })
  let local = own.symbols
  let corpus: [[UInt8]] = [1, 3, 10].map { difference in
    var theirs = SketchPrefix()
    theirs.grow(to: 64, over: shared + (0..<difference).map { _ in rng.next() })
    var writer = ByteWriter()
    writer.u8(16)
    writer.u32(UInt32(shared.count + difference))
    writer.raw(
      SymbolCoding.pack(
        theirs.symbols.prefix(48), offset: 0, setCount: shared.count + difference))
    return writer.bytes
  }
  return FuzzTarget(name: "sketch", corpus: corpus) { input in
    var reader = ByteReader(input)
    guard let window = try? reader.u8(), let setCount = try? reader.u32(),
      let packed = try? reader.bytes(reader.remaining),
      let symbols = SymbolCoding.unpack(
        packed, offset: 0, setCount: Int(setCount), limit: local.count)
    else { return }
    precondition(
      SymbolCoding.pack(symbols, offset: 0, setCount: Int(setCount)).count <= packed.count)
    var decoder = SketchDecoder()
    while decoder.count < symbols.count, decoder.status == .undecided {
      let end = min(symbols.count, decoder.count + max(1, Int(window)))
      let range = decoder.count..<end
      decoder.append(remote: Array(symbols[range]), local: local[range])
    }
    precondition(decoder.remoteOnly.count + decoder.localOnly.count <= symbols.count)
    precondition(decoder.estimatedDifference >= 1)
  }
}
