internal import Base
public import Slices

/// Manifests from the files that `-f` names, every error with its file and line.
public struct ManifestFile: Sendable {
  public var file: String
  public var manifest: SliceManifest
  /// The state that it was read from, where `get` or `edit` wrote it: `# base: 3f2a91c04b7e`.
  public var base: String?

  public init(file: String, manifest: SliceManifest, base: String? = nil) {
    self.file = file
    self.manifest = manifest
    self.base = base
  }

  static let baseMark = "# base: "

  /// Reads all files before anything is done with one.
  public static func read(_ paths: [String]) throws(AdminError) -> [ManifestFile] {
    guard !paths.isEmpty else { throw .usage("no manifest is named", fix: "Give one with -f.") }
    var out: [ManifestFile] = []
    for path in paths {
      out += try parse(try TextFile.read(path), file: path == "-" ? "standard input" : path)
    }
    var files: [String: String] = [:]
    for entry in out {
      if let other = files.updateValue(entry.file, forKey: entry.manifest.name) {
        throw .usage("\(entry.file): slice \(entry.manifest.name) is in \(other) already")
      }
    }
    return out
  }

  public static func parse(_ text: String, file: String) throws(AdminError) -> [ManifestFile] {
    let documents: [YAMLDocument]
    do throws(LocatedError) {
      documents = try YAMLDocument.parseAll(text, file: file)
    } catch {
      throw .usage(error.description)
    }
    guard !documents.isEmpty else { throw .usage("\(file): there is no manifest in it") }
    let bases = text.split(separator: "\n").filter { $0.hasPrefix(baseMark) }.map {
      String($0.dropFirst(baseMark.utf8.count))
    }
    var out: [ManifestFile] = []
    var problems: [String] = []
    for document in documents {
      if document.value["kind"]?.string == SignedChangesetFile.kind {
        throw .usage(
          "\(file): this is a signed changeset, not a manifest",
          fix: "Send it: starling push \(file)")
      }
      do throws(ManifestError) {
        switch try Manifest(document.value) {
        case .slice(let slice):
          let base = documents.count == 1 ? bases.first : nil
          out.append(ManifestFile(file: file, manifest: slice, base: base))
        }
      } catch {
        problems += located(error, in: document)
      }
    }
    guard problems.isEmpty else {
      throw .usage(problems.joined(separator: "\n"), fix: "Nothing was sent.")
    }
    return out
  }

  static func located(_ error: ManifestError, in document: YAMLDocument) -> [String] {
    error.errors.map { document.error($0.path, $0.reason, allowed: $0.allowed).description }
  }

  /// Writes a manifest as `get -o yaml` and `edit` show it.
  public static func text(_ manifest: SliceManifest, base: String?) -> String {
    (base.map { "\(baseMark)\($0)\n" } ?? "")
      + OutputTree(manifest.document(withDefaults: false)).yaml
  }
}
