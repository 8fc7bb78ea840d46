import Foundation

let benchmarksAreOn = ProcessInfo.processInfo.environment["STARLING_BENCH"] != nil
