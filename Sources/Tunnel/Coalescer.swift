internal import Base

/// Merges received TCP and UDP segments of one flow into super-packets, so that the kernel's stack
/// handles them at once. Nothing is copied: a run is a list of pieces of the receive buffers, the
/// first with all headers and a virtio header before them.
///
/// A merged packet says exactly what its segments said: the kernel could cut it into the same ones.
/// Packets of one flow keep their order. What does not fit any run goes alone.
///
/// One thread's own; storage is laid out once.
public struct Coalescer: ~Copyable {
  /// Layout of `struct iovec`.
  public struct Piece {
    public var base: UnsafeMutableRawPointer
    public var count: Int
  }

  /// Packets for one write to a device.
  public struct Run {
    public fileprivate(set) var device: Int
    /// Whose figures a failure counts in.
    public fileprivate(set) var link: Int
    public fileprivate(set) var packets: Int
    /// Bytes of the merged packet.
    fileprivate var total: Int
    /// `nil` for what is not well-formed TCP or UDP.
    fileprivate var layout: TransportLayout?
    /// Payload of every segment but the last.
    fileprivate var segmentSize: Int
    fileprivate var isOpen: Bool
    /// The checksum of every segment so far is left to us, or was found right.
    fileprivate var isTrusted: Bool
    fileprivate var isPartial: Bool
    /// IPv4 numbers stand still, as they may with DF (RFC 6864).
    fileprivate var holdsIdentification: Bool
  }

  private let runs: UnsafeMutablePointer<Run>
  private let pieces: UnsafeMutablePointer<Piece>
  /// The newest run of a flow, by its hash; `none` for none.
  private let buckets: UnsafeMutablePointer<UInt8>
  public private(set) var count = 0

  public static let capacity = 64
  static let piecesPerRun = 64
  private static let bucketCount = 256
  private static let none = UInt8.max
  private static let largestPacket = 65_535
  /// Room before each packet, for the virtio header.
  public static let headroom = VirtioHeader.size

  public init() {
    runs = .allocate(capacity: Self.capacity)
    pieces = .allocate(capacity: Self.capacity * Self.piecesPerRun)
    buckets = .allocate(capacity: Self.bucketCount)
    buckets.initialize(repeating: Self.none, count: Self.bucketCount)
  }

  deinit {
    runs.deallocate()
    pieces.deallocate()
    buckets.deallocate()
  }

  public var isFull: Bool { count == Self.capacity }

  /// Takes an inner packet, in place: `headroom` bytes before it are free, and it stays valid until
  /// `removeAll`. False, and nothing taken, where its checksum is left to us and it is not
  /// well-formed TCP or UDP. There is room: the caller looks at `isFull` first.
  public mutating func add(
    _ packet: UnsafeMutableRawBufferPointer, _ inner: InnerPacket, isPartial: Bool, device: Int,
    mergesUDP: Bool, link: Int
  ) -> Bool {
    precondition(!isFull, "the receiver empties it when it is full")
    let bytes = UnsafeRawBufferPointer(packet)
    guard let start = packet.baseAddress, let layout = TransportLayout(bytes, inner) else {
      guard !isPartial, let start = packet.baseAddress else { return false }
      open(start, bytes.count, nil, device: device, link: link, isPartial: false)
      return true
    }
    let isMergeable =
      Self.isMergeable(bytes, layout) && (mergesUDP || layout.transport != .udp)
    // Mostly it belongs to the run before it; then nothing has to be hashed.
    if isMergeable, count > 0,
      merge(start, bytes, layout, into: count - 1, device: device, isPartial: isPartial)
    {
      return true
    }
    let bucket = Int(inner.flowHash(bytes) % UInt64(Self.bucketCount))
    let known = buckets[bucket]
    if isMergeable, known != Self.none, Int(known) != count - 1,
      merge(start, bytes, layout, into: Int(known), device: device, isPartial: isPartial)
    {
      return true
    }
    // Whatever comes of this flow from here on comes behind this packet.
    buckets[bucket] = UInt8(truncatingIfNeeded: count)
    open(start, bytes.count, layout, device: device, link: link, isPartial: isPartial)
    runs[count - 1].isOpen = isMergeable && !Self.endsRun(bytes, layout)
    return true
  }

  private mutating func open(
    _ start: UnsafeMutableRawPointer, _ size: Int, _ layout: TransportLayout?, device: Int,
    link: Int, isPartial: Bool
  ) {
    (runs + count).initialize(
      to: Run(
        device: device, link: link, packets: 1, total: size, layout: layout,
        segmentSize: size - (layout?.payloadOffset ?? 0), isOpen: false, isTrusted: isPartial,
        isPartial: isPartial, holdsIdentification: false))
    (pieces + count * Self.piecesPerRun).initialize(
      to: Piece(base: start - Self.headroom, count: size + Self.headroom))
    count += 1
  }

  /// Forgets all runs.
  public mutating func removeAll() {
    count = 0
    buckets.update(repeating: Self.none, count: Self.bucketCount)
  }

  // MARK: What may be merged

  /// Whether a packet may be part of a run at all.
  private static func isMergeable(
    _ packet: UnsafeRawBufferPointer, _ layout: TransportLayout
  ) -> Bool {
    let payload = packet.count - layout.payloadOffset
    guard payload >= TunnelLimits.leastSegment, !layout.isV4 || isPlainV4(packet, layout) else {
      return false
    }
    switch layout.transport {
    case .tcp:
      let special = TCPFlags.syn | TCPFlags.rst | TCPFlags.urg | TCPFlags.cwr
      return packet[layout.transportOffset + 13] & special == 0
    case .udp:
      // Without a checksum: the merged one would have one.
      return packet.loadUnaligned(fromByteOffset: layout.checksumField, as: UInt16.self) != 0
    }
  }

  /// No options, and a right header checksum: merging would write one.
  private static func isPlainV4(
    _ packet: UnsafeRawBufferPointer, _ layout: TransportLayout
  ) -> Bool {
    var sum = InternetChecksum()
    sum.add(UnsafeRawBufferPointer(rebasing: packet[..<20]))
    return layout.transportOffset == 20 && sum.isValid
  }

  /// Whether nothing may come behind a packet in its run.
  private static func endsRun(
    _ packet: UnsafeRawBufferPointer, _ layout: TransportLayout
  ) -> Bool {
    layout.transport == .tcp
      && packet[layout.transportOffset + 13] & (TCPFlags.psh | TCPFlags.fin) != 0
  }

  private mutating func merge(
    _ start: UnsafeMutableRawPointer, _ packet: UnsafeRawBufferPointer, _ layout: TransportLayout,
    into index: Int, device: Int, isPartial: Bool
  ) -> Bool {
    let run = runs + index
    let payload = packet.count - layout.payloadOffset
    guard run.pointee.isOpen, run.pointee.layout == layout, run.pointee.device == device,
      payload <= run.pointee.segmentSize, run.pointee.packets < Self.piecesPerRun,
      run.pointee.total + payload <= Self.largestPacket
    else { return false }
    let base = UnsafeRawPointer(pieces[index * Self.piecesPerRun].base + Self.headroom)
    let first = UnsafeRawBufferPointer(
      start: base, count: layout.payloadOffset + run.pointee.segmentSize)
    guard HeaderComparison.sameFlow(first, packet, layout),
      HeaderComparison.follows(
        first, packet, layout, payloadBefore: run.pointee.total - layout.payloadOffset),
      fitsIdentification(first, packet, layout, index),
      isPartial || layout.hasValidChecksum(packet)
    else { return false }
    if !run.pointee.isTrusted {
      guard layout.hasValidChecksum(first) else {
        run.pointee.isOpen = false
        return false
      }
      run.pointee.isTrusted = true
    }
    (pieces + index * Self.piecesPerRun + run.pointee.packets).initialize(
      to: Piece(base: start + layout.payloadOffset, count: payload))
    run.pointee.packets += 1
    run.pointee.total += payload
    if Self.endsRun(packet, layout) {
      let flags = layout.transportOffset + 13
      let end = packet[flags] & (TCPFlags.psh | TCPFlags.fin)
      UnsafeMutableRawPointer(mutating: base).storeBytes(
        of: first[flags] | end, toByteOffset: flags, as: UInt8.self)
      run.pointee.isOpen = false
    }
    if payload < run.pointee.segmentSize { run.pointee.isOpen = false }
    return true
  }

  /// IPv4 numbers count up by one, or stand still where DF allows it.
  private mutating func fitsIdentification(
    _ first: UnsafeRawBufferPointer, _ packet: UnsafeRawBufferPointer, _ layout: TransportLayout,
    _ index: Int
  ) -> Bool {
    guard layout.isV4 else { return true }
    let run = runs + index
    let (base, own) = (first.network16(4), packet.network16(4))
    if run.pointee.packets == 1, own == base, first[6] & 0x40 != 0 {
      run.pointee.holdsIdentification = true
      return true
    }
    if run.pointee.holdsIdentification { return own == base }
    return own == base &+ UInt16(truncatingIfNeeded: run.pointee.packets)
  }

  // MARK: What is written

  /// A run's device and its pieces, with all headers as they are to be written.
  public func finish(_ index: Int) -> (run: Run, pieces: UnsafeMutablePointer<Piece>) {
    precondition(index < count, "one of the runs")
    let run = runs[index]
    let pieces = pieces + index * Self.piecesPerRun
    var header = VirtioHeader()
    if let layout = run.layout, run.isPartial || run.packets > 1 {
      let first = UnsafeMutableRawBufferPointer(
        start: pieces[0].base + Self.headroom, count: pieces[0].count - Self.headroom)
      header.needsChecksum = true
      header.checksumStart = UInt16(truncatingIfNeeded: layout.transportOffset)
      header.checksumOffset = UInt16(truncatingIfNeeded: layout.transport.checksumOffset)
      if run.packets > 1 {
        layout.setLengths(first, count: run.total)
        header.segmentation = layout.segmentation
        header.segmentSize = UInt16(truncatingIfNeeded: run.segmentSize)
        header.headerLength = UInt16(truncatingIfNeeded: layout.payloadOffset)
      }
      let sum = layout.pseudoHeader(
        UnsafeRawBufferPointer(first), length: run.total - layout.transportOffset)
      first.storeBytes(of: sum.folded, toByteOffset: layout.checksumField, as: UInt16.self)
    }
    header.write(to: pieces[0].base)
    return (run, pieces)
  }
}
