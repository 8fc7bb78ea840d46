public import Base

/// Values of the TYPE field that this server knows (RFC 1035, 2782, 3596, 6891).
public enum RecordType {
  public static let a: UInt16 = 1
  public static let ns: UInt16 = 2
  public static let soa: UInt16 = 6
  public static let ptr: UInt16 = 12
  public static let txt: UInt16 = 16
  public static let aaaa: UInt16 = 28
  public static let srv: UInt16 = 33
  public static let opt: UInt16 = 41
  public static let ixfr: UInt16 = 251
  public static let axfr: UInt16 = 252
  public static let any: UInt16 = 255
}

/// RCODE, the extended ones of RFC 6891 included.
public enum ResponseCode: UInt16, Hashable, Sendable {
  case noError = 0
  case formatError = 1
  case serverFailure = 2
  case nameError = 3
  case notImplemented = 4
  case refused = 5
  case badVersion = 16
}

/// A whole message, for clients, tools and tests. The server's hot path does not build one.
public struct DNSMessage: Hashable, Sendable {
  public var id: UInt16
  public var isResponse: Bool
  public var opcode: UInt8
  public var isAuthoritative: Bool
  public var isTruncated: Bool
  public var recursionDesired: Bool
  public var recursionAvailable: Bool
  /// The low 4 bits; see `extendedCode`.
  public var code: UInt8
  public var questions: [Question]
  public var answers: [Record]
  public var authority: [Record]
  /// Without OPT.
  public var additional: [Record]
  public var edns: EDNS?

  public struct Question: Hashable, Sendable {
    public var name: DomainName
    public var type: UInt16
    public var recordClass: UInt16

    public init(name: DomainName, type: UInt16, recordClass: UInt16 = 1) {
      self.name = name
      self.type = type
      self.recordClass = recordClass
    }
  }

  public struct Record: Hashable, Sendable {
    public var name: DomainName
    public var type: UInt16
    public var recordClass: UInt16
    /// Seconds.
    public var ttl: UInt32
    public var data: RecordData

    public init(
      name: DomainName, type: UInt16, recordClass: UInt16 = 1, ttl: UInt32, data: RecordData
    ) {
      self.name = name
      self.type = type
      self.recordClass = recordClass
      self.ttl = ttl
      self.data = data
    }
  }

  /// The OPT pseudo-record (RFC 6891).
  public struct EDNS: Hashable, Sendable {
    public var payloadBytes: UInt16
    public var version: UInt8
    public var dnssecOK: Bool
    public var options: [Option]
    var upperCode: UInt8 = 0

    public struct Option: Hashable, Sendable {
      public var code: UInt16
      public var data: [UInt8]

      public init(code: UInt16, data: [UInt8]) {
        self.code = code
        self.data = data
      }
    }

    public init(
      payloadBytes: UInt16 = 1232, version: UInt8 = 0, dnssecOK: Bool = false,
      options: [Option] = []
    ) {
      self.payloadBytes = payloadBytes
      self.version = version
      self.dnssecOK = dnssecOK
      self.options = options
    }
  }

  public static let headerBytes = 12
  /// In one section; a message of 64 KiB holds no more.
  public static let recordLimit = 8192

  public init(
    id: UInt16, questions: [Question], isResponse: Bool = false, recursionDesired: Bool = true,
    edns: EDNS? = nil
  ) {
    self.id = id
    self.questions = questions
    self.isResponse = isResponse
    self.recursionDesired = recursionDesired
    self.edns = edns
    opcode = 0
    isAuthoritative = false
    isTruncated = false
    recursionAvailable = false
    code = 0
    answers = []
    authority = []
    additional = []
  }
}

/// RDATA, decoded where the type is known.
public enum RecordData: Hashable, Sendable {
  case address(IPAddress)
  /// NS and PTR.
  case name(DomainName)
  case service(priority: UInt16, weight: UInt16, port: UInt16, target: DomainName)
  case text([[UInt8]])
  case authority(
    primary: DomainName, mailbox: DomainName, serial: UInt32, refresh: UInt32, retry: UInt32,
    expire: UInt32, minimum: UInt32)
  case other([UInt8])
}
