//! What the tests of this room share.

use crate::model::id::ConnectionId;
use crate::model::{Connection, ConnectionSettings, OrganizationId, Timestamp, Vendor};

use super::discovery::Metadata;

/// When the tests play.
pub(super) fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000)
}

/// A connection to `issuer` with default settings.
pub(super) fn connection(issuer: &str) -> Connection {
    Connection {
        id: ConnectionId::from_bytes([7; 16]),
        organization: OrganizationId::from_bytes([8; 16]),
        handle: "acme-idp".parse().unwrap(),
        name: "Acme SSO".to_owned(),
        enabled: true,
        issuer: issuer.to_owned(),
        client_id: "countersign".to_owned(),
        settings: ConnectionSettings::for_vendor(Vendor::Generic),
        created_at: now(),
    }
}

/// Metadata of a provider with every endpoint.
pub(super) fn metadata(issuer: &str) -> Metadata {
    let document = serde_json::json!({
        "issuer": issuer,
        "authorization_endpoint": "https://idp.test/authorize",
        "token_endpoint": "https://idp.test/token",
        "jwks_uri": "https://idp.test/jwks",
        "userinfo_endpoint": "https://idp.test/userinfo",
        "end_session_endpoint": "https://idp.test/logout",
    });
    Metadata::parse(document.to_string().as_bytes(), issuer).unwrap()
}
