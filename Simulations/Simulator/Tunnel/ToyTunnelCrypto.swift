import Base
import Synchronization
import Tunnel

/// Cheap stand-ins with the algebra of the real thing (two sides agree, a wrong key or a changed
/// byte does not open), so that thousands of simulated handshakes take seconds. Not secure.
enum ToyCrypto {
  static func hash(_ parts: [[UInt8]]) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for part in parts {
      hash = (hash ^ UInt64(part.count)) &* 0x0000_0100_0000_01b3
      for byte in part { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    }
    return hash
  }

  static func expand(_ parts: [[UInt8]], _ count: Int) -> [UInt8] {
    var generator = SeededGenerator(seed: hash(parts))
    return random(count, &generator)
  }

  static func random(_ count: Int, _ generator: inout SeededGenerator) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count {
      let word = generator.next()
      for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> (8 * UInt64(shift)))) }
    }
    return Array(bytes.prefix(count))
  }

  static func word(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
  }

  static func bytes(_ word: UInt64, _ count: Int) -> [UInt8] {
    var writer = ByteWriter()
    writer.u64(word)
    return writer.bytes + [UInt8](repeating: 0, count: count - 8)
  }

  private static let base: UInt64 = 0x9e37_79b9_7f4a_7c15

  static func publicKey(_ privateKey: [UInt8]) -> [UInt8] {
    bytes(word(privateKey) &* base, 32)
  }

  static func seal(_ key: [UInt8], _ nonce: [UInt8], _ header: [UInt8], _ text: [UInt8]) -> [UInt8]
  {
    let stream = expand([key, nonce], text.count)
    let sealed = zip(text, stream).map { $0 ^ $1 }
    return sealed + expand([key, nonce, header, sealed], 16)
  }

  static func open(_ key: [UInt8], _ nonce: [UInt8], _ header: [UInt8], _ sealed: [UInt8])
    -> [UInt8]?
  {
    guard sealed.count >= 16 else { return nil }
    let text = Array(sealed.dropLast(16))
    guard expand([key, nonce, header, text], 16) == Array(sealed.suffix(16)) else { return nil }
    return zip(text, expand([key, nonce], text.count)).map { $0 ^ $1 }
  }

  /// Seals are reported to the ledger, which finds repeated nonces.
  static func make(seed: UInt64, ledger: NonceLedger) -> TunnelCrypto {
    let generator = Mutex(SeededGenerator(seed: seed))
    let draw: @Sendable (Int) -> [UInt8] = { count in
      generator.withLock { random(count, &$0) }
    }
    return TunnelCrypto(
      random: draw,
      makeKeyPair: {
        let privateKey = draw(32)
        return TunnelCrypto.KeyPair(privateKey: privateKey, publicKey: publicKey(privateKey))
      },
      agree: { privateKey, publicKey in
        let shared = word(privateKey) &* word(publicKey)
        return shared == 0 ? nil : bytes(shared, 32)
      },
      derive: { secret, salt, info, count in expand([secret, salt, info], count) },
      authenticate: { key, message in expand([key, message], 32) },
      seal: { key, nonce, header, text in
        ledger.use(key, nonce)
        return seal(key, nonce, header, text)
      },
      open: { key, nonce, header, sealed in open(key, nonce, header, sealed) })
  }
}

/// Every key and nonce that something was sealed with, once.
final class NonceLedger: Sendable {
  private let used = Mutex<(seen: Set<[UInt8]>, repeats: Int)>(([], 0))

  func use(_ key: [UInt8], _ nonce: [UInt8]) {
    used.withLock {
      if !$0.seen.insert(key + nonce).inserted { $0.repeats += 1 }
    }
  }

  var repeats: Int { used.withLock { $0.repeats } }
  var count: Int { used.withLock { $0.seen.count } }
}

/// A handshake with the shape of TLS 1.3: client hello; server hello with its certificate; client
/// certificate. A changed byte is fatal, as it is there.
final class ToyTLS: Sendable {
  private struct State {
    var role: TLSRole
    var own: String
    var expected: String
    var generator: SeededGenerator
    var clientRandom: [UInt8] = []
    var serverRandom: [UInt8] = []
    var buffer: [UInt8] = []
    var step = 0
    var finished = false
  }

  private let state: Mutex<State>

  init(role: TLSRole, own: String, expected: String, seed: UInt64) {
    state = Mutex(
      State(role: role, own: own, expected: expected, generator: SeededGenerator(seed: seed)))
  }

  var engine: TLSEngine {
    TLSEngine(
      advance: { bytes in self.state.withLock { Self.advance(&$0, bytes) } },
      export: { label, context, count in
        self.state.withLock {
          $0.finished
            ? ToyCrypto.expand(
              [Array(label.utf8), context, $0.clientRandom, $0.serverRandom], count) : nil
        }
      })
  }

  private static let peer = TLSPeer(cipher: "TOY", localExpiry: 1, remoteExpiry: 2)

  private static func advance(_ state: inout State, _ bytes: [UInt8]) -> TLSProgress {
    state.buffer += bytes
    switch (state.role, state.step) {
    case (.client, 0):
      state.step = 1
      state.clientRandom = ToyCrypto.random(32, &state.generator)
      return progress(message(state.clientRandom, name: "", size: 300))
    case (.server, 0):
      guard let (random, _) = parse(&state.buffer, 300) else { return progress([]) }
      state.step = 1
      state.clientRandom = random
      state.serverRandom = ToyCrypto.random(32, &state.generator)
      return progress(message(state.serverRandom, name: state.own, size: 1_700))
    case (.client, 1):
      guard let (random, name) = parse(&state.buffer, 1_700) else { return progress([]) }
      guard name == state.expected else { return failed("the certificate names \(name)") }
      state.step = 2
      state.serverRandom = random
      state.finished = true
      return TLSProgress(
        output: message(state.clientRandom, name: state.own, size: 1_500), state: .finished(peer))
    case (.server, 1):
      guard let (_, name) = parse(&state.buffer, 1_500) else { return progress([]) }
      guard name == state.expected else { return failed("the certificate names \(name)") }
      state.step = 2
      state.finished = true
      return TLSProgress(output: [], state: .finished(peer))
    default:
      return progress([])
    }
  }

  private static func progress(_ output: [UInt8]) -> TLSProgress {
    TLSProgress(output: output, state: .handshaking)
  }

  private static func failed(_ reason: String) -> TLSProgress {
    TLSProgress(output: [0xff], state: .failed(reason))
  }

  private static func message(_ random: [UInt8], name: String, size: Int) -> [UInt8] {
    var writer = ByteWriter()
    writer.raw(random)
    writer.text(name)
    return writer.bytes + [UInt8](repeating: 7, count: size - writer.bytes.count)
  }

  private static func parse(_ buffer: inout [UInt8], _ size: Int) -> ([UInt8], String)? {
    guard buffer.count >= size else { return nil }
    var reader = ByteReader(buffer[..<size])
    guard let random = try? reader.bytes(32), let name = try? reader.text(limit: 200, "name") else {
      return nil
    }
    buffer.removeFirst(size)
    return (random, name)
  }
}
