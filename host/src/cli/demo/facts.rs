//! The credentials that the vendors and the admin of the demo share.

/// The credentials that the vendors and the admin share.
pub struct Facts {
    /// The token that the portal accepts.
    pub portal_token: String,
    /// The secret of the portal's own webhook.
    pub portal_secret: String,
}
