/// Why a key file cannot be used: one line that says what to do.
public enum KeyFileError: Error, Hashable, Sendable, CustomStringConvertible {
  case notFound(String)
  case unreadable(String, String)
  case unwritable(String, String)
  case exists(String)
  /// Others than the owner may read or write it.
  case exposed(String, mode: UInt32)
  case notAKeyFile(String)
  case unknownVersion(String, String)
  case damaged(String, String)
  case passphraseNeeded(String)
  case wrongPassphrase(String)
  case outOfMemory(String)

  public var description: String {
    switch self {
    case .notFound(let path):
      "\(path): there is no such key file"
    case .unreadable(let path, let reason):
      "\(path): cannot read the key file: \(reason)"
    case .unwritable(let path, let reason):
      "\(path): cannot write the key file: \(reason)"
    case .exists(let path):
      "\(path): the file exists already; it is not overwritten"
    case .exposed(let path, let mode):
      "\(path): others may read this key (mode 0\(String(mode, radix: 8))); "
        + "run: chmod 600 \(path)"
    case .notAKeyFile(let path):
      "\(path): this is not a Starling key file"
    case .unknownVersion(let path, let version):
      "\(path): the key file has version \(version.prefix(16)); this release reads version 1"
    case .damaged(let path, let what):
      "\(path): the key file is damaged: \(what)"
    case .passphraseNeeded(let path):
      "\(path): the key is encrypted; a passphrase is needed"
    case .wrongPassphrase(let path):
      "\(path): wrong passphrase (or the file is damaged)"
    case .outOfMemory(let path):
      "\(path): not enough memory to check the passphrase"
    }
  }
}
