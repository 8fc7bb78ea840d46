import Testing

/// `#expect` for conditions that call mutating functions, which the macro cannot take apart.
func holds(
  _ condition: Bool, _ comment: Comment? = nil,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(condition, comment, sourceLocation: sourceLocation)
}
