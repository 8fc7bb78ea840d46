internal import Base

extension Plan.Action {
  /// Whether members may well be held dead because of it.
  var isTrouble: Bool {
    switch self {
    case .crash, .restart, .restore, .pause, .leave, .partition, .cutOneWay, .cutBothWays, .heal,
      .loss, .expel:
      true
    default: false
    }
  }

  /// How long it lasts, with what members make of it.
  var lasting: Duration {
    switch self {
    case .partition, .cutOneWay, .cutBothWays, .loss: .seconds(100_000)
    case .pause(_, let duration): duration + .seconds(30)
    default: .seconds(30)
    }
  }
}
