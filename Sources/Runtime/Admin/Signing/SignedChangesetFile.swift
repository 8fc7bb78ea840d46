internal import Base
internal import FoundationEssentials
public import Replication
internal import Slices
internal import Wire

/// `kind: SignedChangeset`: a signed changeset as a document, for files, Git and kubectl.
///
///     apiVersion: starling.dev/v1alpha1
///     kind: SignedChangeset
///     metadata: {name: blue-3f2a91c04b7e}
///     spec:
///       changeset: <base64 of the signed Protobuf message>
///
/// The signature carries the authority: whoever may write the file may delay it, nothing else.
public enum SignedChangesetFile {
  public static let kind = "SignedChangeset"

  /// - Parameter comments: what it does, for who reviews it. Not trusted by anyone.
  public static func text(_ changeset: Changeset, name: String, comments: [String]) -> String {
    let encoded = Data(ChangesetCodec.encode(changeset)).base64EncodedString()
    var lines = comments.map { "# \($0)" }
    lines += [
      "apiVersion: \(Manifest.apiVersion)", "kind: \(kind)", "metadata:",
      "  name: \(OutputTree.quoted("\(name)-\(changeset.id.short)"))", "spec:",
      "  changeset: \(encoded)",
    ]
    return lines.joined(separator: "\n") + "\n"
  }

  /// All changesets of a file; several documents are separated by `---`.
  public static func read(_ text: String, file: String) throws(AdminError) -> [Changeset] {
    let documents: [YAMLDocument]
    do throws(LocatedError) {
      documents = try YAMLDocument.parseAll(text, file: file)
    } catch {
      throw .usage(error.description)
    }
    guard !documents.isEmpty else { throw .usage("\(file): there is nothing in it") }
    var out: [Changeset] = []
    for document in documents { out.append(try changeset(document)) }
    return out
  }

  private static func changeset(_ document: YAMLDocument) throws(AdminError) -> Changeset {
    guard document.value["kind"]?.string == kind else {
      let fix =
        document.value["kind"]?.string == SliceManifest.kind
        ? "A manifest is applied: starling apply -f \(document.file)" : ""
      throw .usage(
        document.error("kind", "is not \(kind)", allowed: kind).description, fix: fix)
    }
    guard document.value["apiVersion"]?.string == Manifest.apiVersion else {
      throw .usage(
        document.error("apiVersion", "is not known", allowed: Manifest.apiVersion).description)
    }
    let field = "spec.changeset"
    guard let encoded = document.value["spec"]?["changeset"]?.string else {
      throw .usage(document.error(field, "is missing", allowed: "base64").description)
    }
    let digits = encoded.filter { !$0.isWhitespace }
    guard let bytes = Data(base64Encoded: digits) else {
      throw .usage(document.error(field, "is not base64", allowed: "base64").description)
    }
    do throws(WireError) {
      return try ChangesetCodec.decode([UInt8](bytes), crypto: .sodium)
    } catch {
      throw .usage(document.error(field, "is no signed changeset: \(error)").description)
    }
  }

  /// Whether every signature in it is right. Says nothing about whether the keys may do what it does.
  public static func isSigned(_ changeset: Changeset) -> Bool {
    !changeset.endorsements.isEmpty
      && changeset.endorsements.allSatisfy {
        Sodium.verify($0.signature, changeset.signedBytes, by: $0.key)
      }
  }
}
