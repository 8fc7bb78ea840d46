internal import Kubernetes
public import Nodes

/// The records of attachments: a file each, under the attachment's name.
public struct AttachmentFolder: Sendable {
  public var path: String

  public init(_ stateFolder: String) { path = stateFolder + "/attachments" }

  private func file(_ id: AttachmentID) -> String { "\(path)/\(id)" }

  public func read(_ id: AttachmentID) -> Attachment? {
    guard let bytes = try? Files.read(file(id), limit: 64 << 10),
      let json = try? JSON(parsing: bytes),
      let attachment = Attachment(json), attachment.id == id
    else { return nil }
    return attachment
  }

  /// Files that are no records are passed over.
  public func all() throws(SystemError) -> [Attachment] {
    try Files.names(in: path).compactMap { AttachmentID($0) }.compactMap { read($0) }
  }

  public func write(_ attachment: Attachment) throws(SystemError) {
    try Files.makeFolder(path)
    try Files.replace(file(attachment.id), with: attachment.json.bytes)
  }

  public func remove(_ id: AttachmentID) throws(SystemError) {
    try Files.remove(file(id))
    try Files.remove(file(id) + ".new")
  }

  public func age(_ id: AttachmentID) -> Int? { Files.age(file(id)) }
}
