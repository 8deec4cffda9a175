//! `id_token_hint`: an ID token of ours that an app gives back (`OpenID` Connect Core, section 3.1.2.1; RP-Initiated
//! Logout 1.0, section 2). An expired one still says whom it was issued for.

use crate::flows::keys::Keys;
use crate::protocol::jose::CompactJws;
use crate::protocol::json::Claims;

/// The longest hint that is read, in bytes. An ID token that is issued is shorter, even with a long `nonce`.
const MAX_HINT: usize = 64 * 1024;

/// The claims of a hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::flows) struct HintClaims {
    /// The name by which the app knows the account (`sub`).
    pub subject: String,
    /// The app that it was issued to (`aud`).
    pub client_id: String,
    /// The session that it was issued in (`sid`).
    pub session: Option<String>,
}

impl Keys {
    /// Reads a hint; `None` for anything that is not an unaltered ID token of this broker.
    pub(in crate::flows) fn read_id_token_hint(&self, hint: &str) -> Option<HintClaims> {
        let jws = CompactJws::parse(hint, MAX_HINT).ok()?;
        if !jws.header().typ.as_deref().is_none_or(|typ| typ.eq_ignore_ascii_case("JWT")) {
            return None;
        }
        self.signing_keys().ok()?.verify(&jws).ok()?;
        let claims = jws.claims().ok()?;
        let claims = Claims::of(&claims);
        let issuer = claims.required_string("iss").ok()?;
        (issuer == self.core.issuer()).then_some(())?;
        Some(HintClaims {
            subject: claims.required_string("sub").ok()?.to_owned(),
            client_id: claims.required_string("aud").ok()?.to_owned(),
            session: claims.string("sid").ok()?.map(str::to_owned),
        })
    }
}
