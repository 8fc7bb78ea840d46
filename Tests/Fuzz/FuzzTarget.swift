/// One decoder of input from outside, with valid inputs to start from.
///
/// A target traps (and so fails the run) where the decoder does; it may also check what must hold of
/// whatever was accepted.
struct FuzzTarget {
  var name: String
  var corpus: [[UInt8]]
  var run: ([UInt8]) -> Void
}
