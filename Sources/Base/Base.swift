/// Shared.
