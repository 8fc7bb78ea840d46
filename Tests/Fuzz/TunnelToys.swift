import Base
import Synchronization
import Tunnel

/// Cryptography that hides nothing and refuses nothing: with it every mutated byte reaches what lies
/// behind the real one.
enum GlassCrypto {
  static let tag = [UInt8](repeating: 0, count: 16)

  static let crypto = TunnelCrypto(
    random: { count in (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) } },
    makeKeyPair: {
      let key = [UInt8](repeating: 5, count: 32)
      return TunnelCrypto.KeyPair(privateKey: key, publicKey: key)
    },
    agree: { own, theirs in
      own.count == 32 && theirs.count == 32 ? zip(own, theirs).map { $0 ^ $1 } : nil
    },
    derive: { secret, salt, info, count in stretch([secret, salt, info], count) },
    authenticate: { key, message in stretch([key, message], 32) },
    seal: { _, _, _, text in text + tag },
    open: { _, _, _, sealed in sealed.count >= tag.count ? sealed.dropLast(tag.count) : nil })

  private static func stretch(_ parts: [[UInt8]], _ count: Int) -> [UInt8] {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for part in parts {
      for byte in part { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    }
    var rng = SeededGenerator(seed: hash)
    return (0..<count).map { _ in UInt8.random(in: 0...255, using: &rng) }
  }
}

/// A handshake with the shape of TLS 1.3 that believes everything: it only counts bytes.
enum CountingTLS {
  private static let flight = [UInt8](repeating: 22, count: 1_500)
  private static let peer = TLSPeer(
    cipher: "TLS_AES_256_GCM_SHA384", localExpiry: .max, remoteExpiry: .max)

  static let provider = TLSProvider { role, _ in .success(engine(role)) }

  private struct Stage {
    var received = 0
    var step = 0
  }

  private static func engine(_ role: TLSRole) -> TLSEngine {
    let stage = Mutex(Stage())
    return TLSEngine(
      advance: { bytes in stage.withLock { advance(&$0, role, bytes.count) } },
      export: { _, _, count in [UInt8](repeating: 9, count: count) })
  }

  private static func advance(_ stage: inout Stage, _ role: TLSRole, _ count: Int) -> TLSProgress {
    stage.received += count
    let needed = (role == .client ? stage.step : stage.step + 1) * flight.count
    guard stage.received >= needed, stage.step < 2 else {
      return TLSProgress(output: [], state: stage.step == 2 ? .finished(peer) : .handshaking)
    }
    stage.step += 1
    return TLSProgress(
      output: role == .server && stage.step == 2 ? [] : flight,
      state: stage.step == 2 ? .finished(peer) : .handshaking)
  }
}
