/// The release, as `version`, the API and the cluster's record say it.
public enum StarlingVersion {
  public static let current = "0.1.0"
}
