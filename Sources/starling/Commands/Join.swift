import ArgumentParser
import Base
import Foundation
import Runtime

struct Join: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Gives a join token to the peer of this cluster.",
    discussion: "Example: starling join @eu-1.token --peer unix:///var/lib/starling/api.sock")

  @Argument(help: "The token, or @FILE.")
  var token: String

  @OptionGroup var peer: PeerOptions

  func run() async throws {
    var text = token
    if let path = token.first == "@" ? String(token.dropFirst()) : nil {
      guard let data = FileManager.default.contents(atPath: path) else {
        throw AdminError(.invalid, "cannot read \(path)")
      }
      text = String(decoding: data, as: UTF8.self)
    }
    let body = try JSONEncoder().encode(APIJoinRequest(token: text))
    try await peer.withClient { client in
      let answer: APIJoinAnswer = try await client.post(
        "/v1/join", [UInt8](body), contentType: "application/json")
      print("\(answer.cluster) joins \(answer.clusterSet.name); its key is \(answer.key.hex)")
    }
  }
}
