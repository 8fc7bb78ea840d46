internal import Base
public import Replication
internal import Synchronization

/// One command's surroundings: the context with flags and environment over it, the key once it is
/// unlocked, and where notes go.
public final class AdminSession: Sendable {
  public struct Options: Hashable, Sendable {
    public var config: String?
    public var peer: String?
    public var key: String?
    public var ca: String?
    public var genesis: String?
    public var passphraseFile: String?
    public var timeout: Duration
    public var isColourWanted: Bool

    public init(
      config: String? = nil, peer: String? = nil, key: String? = nil, ca: String? = nil,
      genesis: String? = nil, passphraseFile: String? = nil, timeout: Duration = .seconds(10),
      isColourWanted: Bool = true
    ) {
      self.config = config
      self.peer = peer
      self.key = key
      self.ca = ca
      self.genesis = genesis
      self.passphraseFile = passphraseFile
      self.timeout = timeout
      self.isColourWanted = isColourWanted
    }
  }

  public let context: AdminContext
  public let options: Options
  public let environment: [String: String]
  public let passphrase: PassphraseSource
  public let output: TextStyle
  public let errors: TextStyle
  private let key = Mutex<SigningKey?>(nil)

  public init(_ options: Options, environment: [String: String]) throws(AdminError) {
    self.options = options
    self.environment = environment
    context = try AdminContext(
      reading: AdminContext.path(flag: options.config, environment: environment))
    passphrase = PassphraseSource(file: options.passphraseFile, environment: environment)
    output = TextStyle(for: .output, environment: environment, wanted: options.isColourWanted)
    errors = TextStyle(for: .error, environment: environment, wanted: options.isColourWanted)
  }

  public var now: APITime { APITime.now }

  /// A remark for the person at the terminal; never on standard output.
  public func note(_ text: String) {
    Terminal.write(text + "\n", to: .error)
  }

  // MARK: - Key and genesis

  public func keyPath() throws(AdminError) -> String {
    if let path = options.key ?? setting("STARLING_KEY") ?? context.key { return path }
    throw .usage(
      "no key is named",
      fix: "Give --key FILE, set STARLING_KEY, or write `key:` into \(context.path).")
  }

  /// The admin key; asks for its passphrase once.
  public func signingKey() throws(AdminError) -> SigningKey {
    if let known = key.withLock({ $0 }) { return known }
    let path = try keyPath()
    let unlocked: SigningKey
    do {
      let file = try KeyFile(reading: path)
      unlocked = try file.unlock(
        passphrase: file.isEncrypted ? try passphrase.existing(for: path) : nil)
    } catch {
      throw AdminError.from(error)
    }
    key.withLock { $0 = unlocked }
    return unlocked
  }

  private func setting(_ name: String) -> String? {
    environment[name].flatMap { $0.isEmpty ? nil : $0 }
  }

  /// From the file of the context, `nil` where none is named.
  public func genesis() throws(AdminError) -> Genesis? {
    guard let path = options.genesis ?? setting("STARLING_GENESIS") ?? context.genesis else {
      return nil
    }
    return try ClusterSetMaker.read(path)
  }

  // MARK: - The peer

  /// The peer that is named somewhere, else the local daemon's socket.
  public func peerAddress() throws(AdminError) -> PeerAddress {
    try namedPeer() ?? .local
  }

  /// `nil` where no peer is named and the local daemon's socket is not there.
  public func reachablePeer() throws(AdminError) -> PeerAddress? {
    if let named = try namedPeer() { return named }
    guard case .unix(let path) = PeerAddress.local, TextFile.exists(path) else { return nil }
    return .local
  }

  private func namedPeer() throws(AdminError) -> PeerAddress? {
    guard let text = options.peer ?? setting("STARLING_PEER") ?? context.peer else { return nil }
    return try PeerAddress(text)
  }

  /// Opens a client to the peer for the time of `body`. Requests over the network are signed, so the key
  /// is unlocked first; the Unix socket needs none.
  ///
  /// - Parameter judgesAll: `body` takes nothing on the peer's word but judges it from the genesis down.
  ///   With a genesis at hand that needs no CA yet.
  public func withPeer<T: Sendable>(
    judgesAll: Bool = false, _ body: (PeerClient) async throws -> T
  ) async throws -> T {
    let address = try peerAddress()
    var signer: Signer?
    var authorities: String?
    var isVerified = true
    if case .network = address {
      signer = try signingKey().signer
      if let path = options.ca ?? setting("STARLING_CA") ?? context.ca {
        authorities = try TextFile.read(path)
      } else if judgesAll, try genesis() != nil {
        isVerified = false
      }
    }
    return try await PeerClient.with(
      address, authorities: authorities, isVerified: isVerified, signer: signer,
      timeout: options.timeout, body)
  }
}
