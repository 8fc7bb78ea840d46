/// What is known of all members, to begin with: instead of being heard from each of them. The records
/// have been verified by whoever makes it.
public struct MembershipView: Sendable {
  let table: MemberTable

  public init(_ admission: Admission, records: [MemberRecord]) {
    table = MemberTable(admission, records: records)
  }
}
