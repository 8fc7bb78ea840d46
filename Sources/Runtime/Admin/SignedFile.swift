public import Base
internal import Foundation
public import Replication
internal import Wire

/// A signed changeset as a file that people, `kubectl` and GitOps carry: `kind: SignedChangeset`.
public struct SignedFile: Sendable {
  public var changeset: Changeset

  public init(_ changeset: Changeset) {
    self.changeset = changeset
  }

  public init(reading path: String) throws(AdminError) {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw AdminError(.invalid, "cannot read \(path)")
    }
    let encoded: String?
    do throws(LocatedError) {
      let document = try YAMLDocument.parse(String(decoding: data, as: UTF8.self), file: path)
      encoded = document.value["spec"]?["changeset"]?.string
    } catch {
      throw AdminError(.invalid, error.description)
    }
    guard let encoded, let raw = Data(base64Encoded: encoded) else {
      throw AdminError(
        .invalid, "\(path): spec.changeset is missing or is not base64",
        fix: "Files of this kind are written by `starling sign`.")
    }
    do throws(WireError) {
      changeset = try ChangesetCodec.decode([UInt8](raw), crypto: .sodium)
    } catch {
      throw AdminError(.invalid, "\(path): spec.changeset is not a signed changeset: \(error)")
    }
  }

  public var bytes: [UInt8] { ChangesetCodec.encode(changeset) }

  public var text: String {
    """
    apiVersion: starling.dev/v1alpha1
    kind: SignedChangeset
    metadata:
      name: changeset-\(changeset.id.short)
    spec:
      changeset: "\(Data(bytes).base64EncodedString())"

    """
  }

  public func write(to path: String) throws(AdminError) {
    if path == "-" { return print(text, terminator: "") }
    do {
      try Data(text.utf8).write(to: URL(filePath: path), options: .atomic)
    } catch {
      throw AdminError(.failed, "cannot write \(path): \(error)")
    }
  }
}
