public import Base
internal import SwiftProtobuf
