/// The rules of counting, dropping and merging, one switch each. All are on, always: tests turn single
/// ones off and require that the executable specification notices.
struct CountingRules: Hashable, Sendable {
  /// A floor spares what its keep list names.
  var keepListsSpare = true
  /// A floor voids what is older, not what is as old.
  var floorsAreStrict = true
  /// Floors signed by a grantor above bind everything under the grant.
  var floorsFromAboveBind = true
  /// A subject may put floors on its own grant.
  var ownFloorsBind = true
  /// Changesets with floors on their own grant are not voided by such floors.
  var ownFloorsSpareOneAnother = true
  /// Floors from above bind a subject's own floors.
  var floorsFromAboveBindOwnFloors = true
  /// What hangs under a void grant is void.
  var voidGrantsVoidTheirSubtree = true
  /// Of two enrolments under one token none counts.
  var rivalsDoNotCount = true
  /// Rivals are compared and spread like what counts.
  var rivalsAreEvidence = true
  /// Only a write whose HLC is at least as great makes another droppable.
  var coveringNeedsTime = true
  /// Only the same author under the same grant makes a changeset droppable.
  var coveringNeedsAuthor = true
  /// Grants are never dropped.
  var grantsStay = true
  /// A floor makes another droppable only if it keeps no more.
  var subsumingNeedsKeep = true
  /// What another write's context covers is no value of a register.
  var contextsCover = true

  init() {}
}
