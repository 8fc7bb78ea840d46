import ArgumentParser
import Runtime

/// Exit codes, after sysexits(3): a supervisor can tell what a restart does not mend.
enum ExitReason: Int32, CaseIterable {
  /// 64: a flag that does not exist (from the argument parser).
  case usage = 64
  /// 69: an address is taken, a store is in use: another process is in the way.
  case unavailable = 69
  /// 70: a mistake of the daemon's own.
  case software = 70
  /// 73: the data directory cannot be made or written.
  case cannotCreate = 73
  /// 77: a right is missing.
  case permission = 77
  /// 78: the configuration is wrong.
  case configuration = 78

  var code: ExitCode { ExitCode(rawValue) }

  static let discussion = """
    Options come from flags, then the environment (STARLING_DATA_DIR for dataDir), then the file, \
    then the defaults; lists are separated by commas outside the file.

    Exit codes: 0 stopped on request, 64 unknown flag, 69 something else is in the way (an address \
    in use), 70 internal error, 73 the data directory cannot be used, 77 a right is missing, 78 the \
    configuration is wrong.
    """
}
