import ArgumentParser
import Base
import Runtime

struct Key: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes and shows key files.", subcommands: [New.self, Show.self])

  struct New: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes a key, encrypted with a passphrase, and prints its public half.",
      discussion: "Example: starling key new --out alice.key")

    @Option(help: "The file to write; never overwritten.")
    var out: String

    func run() throws {
      let passphrase = try Passphrase.choose("Passphrase for the new key: ")
      let key = SigningKey()
      do throws(KeyFileError) {
        try KeyFile.write(key, to: out, passphrase: passphrase)
      } catch {
        throw AdminError(.failed, error.description)
      }
      print(key.publicKey.hex)
    }
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Prints the public half of a key file; needs no passphrase.",
      discussion: "Example: starling key show alice.key")

    @Argument(help: "The key file (default: as configured).")
    var file: String?

    func run() throws {
      guard let path = try file ?? AdminContext().keyFile else {
        throw AdminError(.invalid, "no key file is named or configured")
      }
      do throws(KeyFileError) {
        print(try KeyFile(reading: path).publicKey.hex)
      } catch {
        throw AdminError(.failed, error.description)
      }
    }
  }
}
