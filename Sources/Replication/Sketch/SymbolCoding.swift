internal import Base

/// How coded symbols travel: word (8 bytes), checksum (4 bytes), and the count as a zigzag LEB128
/// difference from what the set's size lets expect, N / (1 + i / 2) (section 6 of Yang, Gilad and
/// Alizadeh, "Practical Rateless Set Reconciliation", SIGCOMM 2024). About 14 bytes a symbol.
public enum SymbolCoding {
  public static let maximumSymbolBytes = 8 + 4 + 10

  /// `offset` is the index of the first symbol, `setCount` how many members the set has.
  public static func pack(
    _ symbols: some Sequence<CodedSymbol>, offset: Int, setCount: Int
  ) -> [UInt8] {
    var writer = ByteWriter(reserving: 256)
    for (i, symbol) in symbols.enumerated() {
      writer.u64(symbol.word)
      writer.u32(symbol.checksum)
      let difference = symbol.count &- expected(setCount, index: offset + i)
      var rest = UInt64(bitPattern: difference << 1 ^ difference >> 63)
      while rest >= 0x80 {
        writer.u8(UInt8(truncatingIfNeeded: rest) | 0x80)
        rest >>= 7
      }
      writer.u8(UInt8(truncatingIfNeeded: rest))
    }
    return writer.bytes
  }

  /// `nil` where the bytes end within a symbol, a number is overlong, there are more than `limit`
  /// symbols, or a count is out of 0...setCount.
  public static func unpack(
    _ packed: [UInt8], offset: Int, setCount: Int, limit: Int
  ) -> [CodedSymbol]? {
    guard offset >= 0, (0...SyncLimits.setCount).contains(setCount) else { return nil }
    var reader = ByteReader(packed)
    var symbols: [CodedSymbol] = []
    symbols.reserveCapacity(min(limit, packed.count / 13))
    do throws(WireError) {
      while reader.remaining > 0 {
        guard symbols.count < limit else { return nil }
        let (word, checksum) = (try reader.u64(), try reader.u32())
        guard let zigzag = try varint(&reader) else { return nil }
        let difference = Int64(bitPattern: zigzag >> 1) ^ -Int64(bitPattern: zigzag & 1)
        let (count, overflow) = difference.addingReportingOverflow(
          expected(setCount, index: offset + symbols.count))
        guard !overflow, (0...Int64(setCount)).contains(count) else { return nil }
        symbols.append(CodedSymbol(word: word, checksum: checksum, count: count))
      }
    } catch {
      return nil
    }
    return symbols
  }

  private static func varint(_ reader: inout ByteReader) throws(WireError) -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: 0, through: 63, by: 7) {
      let byte = try reader.u8()
      if shift == 63, byte > 1 { return nil }
      value |= UInt64(byte & 0x7f) << UInt64(shift)
      if byte & 0x80 == 0 { return value }
    }
    return nil
  }

  private static func expected(_ setCount: Int, index: Int) -> Int64 {
    // N / (1 + i / 2) in whole numbers, so that both sides agree to the last bit.
    Int64(2 * setCount / (2 + index))
  }
}
