use crate::flows::core::Core;
use crate::model::ConnectionId;

impl Core {
    /// The address that a connection's provider sends browsers back to.
    pub fn callback_url(&self, connection: ConnectionId) -> String {
        self.url(&format!("/sso/callback/{connection}"))
    }
}
