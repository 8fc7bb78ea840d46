public import Base
internal import FoundationEssentials
public import Replication

extension Write {
  init(_ proto: ProtoWrite) throws(WireError) {
    guard proto.context.authors.count == proto.context.counters.count else {
      throw .malformed("context")
    }
    var entries: [VersionVector.Entry] = []
    entries.reserveCapacity(proto.context.authors.count)
    for (author, counter) in zip(proto.context.authors, proto.context.counters) {
      entries.append(.init(author: try bytes32(author, "context author"), counter: counter))
    }
    guard let context = VersionVector(sorted: entries) else { throw .malformed("context order") }
    self.init(
      path: proto.path, value: proto.hasValue ? try ValueReader.read([UInt8](proto.value)) : nil,
      counter: proto.counter, context: context)
  }

  var proto: ProtoWrite {
    var proto = ProtoWrite()
    proto.path = path
    if let value { proto.value = Data(serialized(value.proto)) }
    proto.counter = counter
    if !context.entries.isEmpty {
      proto.context.authors = context.entries.map { Data($0.author.bytes) }
      proto.context.counters = context.entries.map(\.counter)
    }
    return proto
  }
}

extension Grant {
  static let maximumCapabilities = 32

  init(_ proto: ProtoGrant) throws(WireError) {
    guard proto.capabilities.count <= Self.maximumCapabilities else {
      throw .overLimit("capabilities")
    }
    var capabilities: [Capability] = []
    for text in proto.capabilities {
      guard let capability = Capability(text) else { throw .malformed("capability") }
      capabilities.append(capability)
    }
    guard proto.delegationDepth <= 3 else { throw .malformed("delegation depth") }
    self.init(
      subject: try bytes32(proto.subject, "subject"), capabilities: capabilities,
      notAfterMilliseconds: proto.hasNotAfterMilliseconds ? proto.notAfterMilliseconds : nil,
      delegationDepth: Int(proto.delegationDepth),
      quota: !proto.hasQuota
        ? nil
        : Quota(
          registers: Int(proto.quota.registers), bytes: Int(proto.quota.bytes),
          changesetsPerMinute: Int(proto.quota.changesetsPerMinute)))
  }

  var proto: ProtoGrant {
    var proto = ProtoGrant()
    proto.subject = Data(subject.bytes)
    proto.capabilities = capabilities.map(\.description)
    if let notAfterMilliseconds { proto.notAfterMilliseconds = notAfterMilliseconds }
    proto.delegationDepth = UInt32(delegationDepth)
    if let quota {
      proto.quota.registers = UInt32(clamping: quota.registers)
      proto.quota.bytes = UInt32(clamping: quota.bytes)
      proto.quota.changesetsPerMinute = UInt32(clamping: quota.changesetsPerMinute)
    }
    return proto
  }
}

extension Changeset {
  /// The same changeset with this key's signature added.
  public func signed(by signer: Signer) -> Changeset {
    var out = self
    out.endorsements.append(
      Endorsement(key: signer.publicKey, signature: signer.sign(signedBytes)))
    return out
  }
}
