/// Lifeguard §IV.A: a peer that misses what it should see suspects itself first. Its probes take
/// longer, so that it accuses others later. 0 is healthy.
///
/// Deviations:
/// - The probe *interval* is not stretched, since probes overlap here: at 30 % loss that gave fewer
///   accusations, and the smaller side of a partition settled twice as fast.
/// - A failed probe whose relays all said `nack` says nothing about us and changes nothing
///   (memberlist does the same); without relays, as in a ClusterSet of two, neither does any.
extension Membership {
  mutating func worsenLocalHealth(_ effects: inout [Effect]) {
    guard localHealth < configuration.localHealthMaximum else { return }
    localHealth += 1
    effects.append(.event(.localHealth(localHealth)))
  }

  mutating func improveLocalHealth(_ effects: inout [Effect]) {
    guard localHealth > 0 else { return }
    localHealth -= 1
    effects.append(.event(.localHealth(localHealth)))
  }
}
