//! What the vendors and the administrator know of each other.

/// What the vendors and the administrator agreed on.
pub struct Facts {
    /// The token the portal takes.
    pub portal_token: String,
    /// The shared value of the portal's own webhook.
    pub portal_secret: String,
}
