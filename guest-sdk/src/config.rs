use serde::de::DeserializeOwned;

use crate::{Error, OrError, imports};

/// The plugin's configuration: its own object merged (RFC 7396) with the webhook's or receiver's.
///
/// Use `#[serde(default)]` for what an admin may leave out. A configuration that does not fit is [`Error::Rejected`].
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct Config {
///     #[serde(default)]
///     channel: Option<String>,
/// }
///
/// # hookwright_guest::testing::config(&serde_json::json!({ "channel": "#gis" }))?;
/// let config: Config = hookwright_guest::config()?;
/// assert_eq!(config.channel.as_deref(), Some("#gis"));
/// # Ok::<(), hookwright_guest::Error>(())
/// ```
pub fn config<T: DeserializeOwned>() -> Result<T, Error> {
    serde_json::from_str(&imports::config::get()).or_reject("the configuration")
}
