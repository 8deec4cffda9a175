//! TLS as the broker uses it: 1.3 and 1.2, hybrid post-quantum key exchange first, on AWS-LC.

pub(super) mod certificates;
mod validity;

use std::sync::Arc;

use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, ServerConfig};

use super::Certificates;

/// HTTP/2's name in ALPN (RFC 7301; RFC 9113, section 3.2).
pub(super) const ALPN_H2: &[u8] = b"h2";

const ALPN_HTTP11: &[u8] = b"http/1.1";

/// The settings of the TLS listener. X25519MLKEM768 comes first through rustls's feature `prefer-post-quantum`; a test
/// checks this. Sessions resume by tickets whose keys rotate and never leave memory, so nothing is stored.
///
/// # Errors
/// The provider cannot speak these versions, or cannot make a ticket key.
pub(super) fn server_config(certificates: Arc<Certificates>) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_provider(certificates.provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth();
    let mut config = builder.with_cert_resolver(certificates);
    config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP11.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}
