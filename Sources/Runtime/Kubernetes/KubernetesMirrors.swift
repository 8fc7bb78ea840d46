internal import Base
internal import Kubernetes
internal import Replication
internal import Wire

extension MirrorPlanner.PeerFacts {
  /// To 1, 2 or 5 times a power of ten: a figure that follows every probe would be written always.
  static func rounded(_ duration: Duration) -> String {
    let microseconds = max(1, duration.nanoseconds / 1000)
    var step: Int64 = 1
    while step * 10 <= microseconds { step *= 10 }
    let value =
      microseconds >= step * 7
      ? step * 10
      : microseconds >= step * 3
        ? step * 5 : microseconds * 2 >= step * 3 ? step * 2 : step
    return value >= 1000 ? "\(value / 1000)ms" : "\(value)us"
  }
}

extension ChangesetIntake.Verdict {
  /// Reads what was handed in; `nil` and a verdict where it is no changeset.
  static func read(_ bytes: [UInt8]) -> (changeset: Changeset?, verdict: Self) {
    do throws(WireError) {
      let changeset = try ChangesetCodec.decode(bytes, crypto: .sodium)
      return (
        changeset, Self(.pending, reason: "Taken", message: "", id: changeset.id.hex)
      )
    } catch {
      return (
        nil, Self(.rejected, reason: "Malformed", message: "this is no signed changeset: \(error)")
      )
    }
  }

  init(_ outcome: IngestOutcome, of changeset: Changeset) {
    let (phase, reason): (ChangesetIntake.Phase, String) =
      switch outcome {
      case .accepted, .duplicate: (.accepted, "Accepted")
      case .superseded: (.superseded, "Superseded")
      case .notCounting: (.rejected, "NotCounting")
      case .pending: (.pending, "GrantUnknown")
      case .held(_, .future): (.pending, "ClockAhead")
      case .held(_, .rate): (.pending, "RateLimited")
      case .refused(.unauthorised): (.rejected, "Unauthorised")
      case .refused(.badSignature), .refused(.tooFewSignatures): (.rejected, "BadSignature")
      case .refused(.otherClusterSet): (.rejected, "OtherClusterSet")
      case .refused(.overQuota): (.rejected, "OverQuota")
      case .refused: (.rejected, "Refused")
      }
    self.init(
      phase, reason: reason, message: outcome.sentence, id: changeset.id.hex,
      author: changeset.author.hex)
  }
}
