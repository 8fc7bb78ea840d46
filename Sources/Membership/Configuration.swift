extension Membership {
  /// Constants chosen by the simulator; see `docs/` for the runs.
  public struct Configuration: Sendable {
    /// Static addresses that are tried while no member is known to have them.
    public var seeds: [String] = []
    public var probePeriod: Duration = .seconds(1)
    public var probeTimeoutMinimum: Duration = .milliseconds(50)
    /// Also the timeout for a member whose round-trip time is unknown.
    public var probeTimeoutMaximum: Duration = .seconds(1)
    /// Direct pings of one probe; those after the first go with indirect ones.
    public var probeAttempts = 4
    public var indirectProbes = 3
    public var localHealthMaximum = 8
    public var suspicionMinimum: Duration = .seconds(2)
    public var suspicionMaximum: Duration = .seconds(10)
    /// Distinct accusers without which nobody is evicted before the maximum.
    public var accuserThreshold = 3
    /// Distinct accusers at which the suspicion is shortest.
    public var accusersForMinimum = 5
    /// Ring neighbours of a suspect, on either side, that probe it at once.
    public var confirmersPerSide = 4
    public var gossipInterval: Duration = .milliseconds(100)
    public var gossipFanout = 3
    /// Times log2(members): how often a piece of evidence is passed on.
    public var retransmitFactor = 1.25
    /// How often one dead member, and one seed that nobody has, is tried.
    public var healingPeriod: Duration = .seconds(5)
    public var syncPeriodMinimum: Duration = .seconds(2)
    public var syncPeriodMaximum: Duration = .seconds(64)
    /// Members served with differences within one second; others are sent elsewhere.
    public var syncsPerSecond = 16
    public var reentryBackoffMinimum: Duration = .seconds(10)
    public var reentryBackoffMaximum: Duration = .seconds(300)

    public init() {}
  }
}
