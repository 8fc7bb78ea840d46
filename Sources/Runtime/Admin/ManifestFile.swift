public import Base
internal import Foundation
public import Slices

/// A manifest that a person wrote, with every error at its line.
public struct ManifestFile: Sendable {
  public var document: YAMLDocument
  public var manifest: SliceManifest

  /// `-` reads standard input.
  public static func read(_ path: String) throws(AdminError) -> [ManifestFile] {
    let data =
      path == "-"
      ? try? FileHandle.standardInput.readToEnd() ?? Data()
      : FileManager.default.contents(atPath: path)
    guard let data else {
      throw AdminError(.invalid, "cannot read \(path)", fix: "Name a file with -f, or - for input.")
    }
    return try parse(String(decoding: data, as: UTF8.self), file: path)
  }

  public static func parse(_ text: String, file: String) throws(AdminError) -> [ManifestFile] {
    let documents: [YAMLDocument]
    do throws(LocatedError) {
      documents = try YAMLDocument.parseAll(text, file: file)
    } catch {
      throw AdminError(.invalid, error.description, fix: "Nothing was sent.")
    }
    guard !documents.isEmpty else { throw AdminError(.invalid, "\(file): is empty") }
    var out: [ManifestFile] = []
    for document in documents {
      do throws(ManifestError) {
        guard case .slice(let manifest) = try Manifest(document.value) else { continue }
        out.append(ManifestFile(document: document, manifest: manifest))
      } catch {
        throw located(error, in: document)
      }
    }
    return out
  }

  public func plan(over state: RemoteState) throws(AdminError) -> SlicePlan {
    do throws(ManifestError) {
      return try SlicePlan(applying: manifest, to: state)
    } catch {
      throw Self.located(error, in: document)
    }
  }

  private static func located(_ error: ManifestError, in document: YAMLDocument) -> AdminError {
    let lines = error.errors.map {
      document.error($0.path, $0.reason, allowed: $0.allowed).description
    }
    return AdminError(.invalid, lines.joined(separator: "\n"), fix: "Nothing was sent.")
  }
}
