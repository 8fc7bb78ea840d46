internal import Glibc
internal import NIOCore
internal import NIOPosix

/// Why a socket is not there, as one line.
public enum NetworkError: Error, Hashable, Sendable, CustomStringConvertible {
  case portInUse(String)
  case addressNotAvailable(String)
  case notPermitted(String)
  case unresolvable(String, String)
  case badAddress(String)
  case failed(String, String)

  public var description: String {
    switch self {
    case .portInUse(let address):
      "\(address): the port is in use by another process"
    case .addressNotAvailable(let address):
      "\(address): this machine has no such address"
    case .notPermitted(let address):
      "\(address): not permitted (ports below 1024 need CAP_NET_BIND_SERVICE)"
    case .unresolvable(let host, let reason):
      "\(host): cannot resolve it: \(reason)"
    case .badAddress(let text):
      "\"\(text)\" is not of the form host:port or [address]:port"
    case .failed(let address, let reason):
      "\(address): \(reason)"
    }
  }

  init(_ error: any Error, at address: String) {
    if let error = error as? NetworkError {
      self = error
    } else if let error = error as? IOError {
      self.init(code: error.errnoCode, at: address)
    } else if let error = error as? NIOConnectionError,
      let first = error.connectionErrors.first
    {
      self.init(first.error, at: address)
    } else {
      self = .failed(address, "\(error)")
    }
  }

  init(code: Int32, at address: String) {
    switch code {
    case EADDRINUSE: self = .portInUse(address)
    case EADDRNOTAVAIL: self = .addressNotAvailable(address)
    case EACCES, EPERM: self = .notPermitted(address)
    default: self = .failed(address, String(cString: strerror(code)))
    }
  }
}
