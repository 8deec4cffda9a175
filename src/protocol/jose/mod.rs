//! JOSE on the wire: signature algorithms, public keys and key sets (RFC 7517, 7518, 8037), compact JWS (RFC
//! 7515).
//!
//! Only reading and writing; `crypto::jws` verifies. There is no type for a symmetric key, a private key or an
//! unsigned token, so that none can be used by mistake (RFC 8725, sections 3.1 and 3.2).

mod compact;
mod jwk;

pub use crate::model::SigningAlg;
pub use compact::{CompactJws, JoseError, JwsHeader};
pub use jwk::{Curve, Jwk, JwkError, JwkSet, JwksError, PublicKey};
