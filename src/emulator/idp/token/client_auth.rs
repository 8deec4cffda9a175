//! How a client authenticates at the token endpoint: `client_secret_basic`, `client_secret_post` (RFC 6749, section
//! 2.3.1) or `private_key_jwt` (RFC 7523, section 3). One method per request.

use std::time::Duration;

use headers::authorization::Basic;
use headers::{Authorization, HeaderMapExt as _};
use http::HeaderMap;
use url::form_urlencoded;

use crate::crypto::{self, jws};
use crate::emulator::directory::Client;
use crate::emulator::idp::Idp;
use crate::protocol::jose::{CompactJws, JwkSet};
use crate::protocol::json::Claims;
use crate::protocol::oauth::Parameters;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The longest assertion that is accepted, in bytes.
const MAX_ASSERTION: usize = 16 * 1024;

/// The longest lifetime of an assertion.
const MAX_ASSERTION_LIFETIME: Duration = Duration::from_hours(1);

/// Why a client was not authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator::idp) enum ClientAuthError {
    /// Two methods at once, or a malformed one.
    Malformed,
    /// The proof is missing or wrong.
    Refused,
}

impl Idp {
    /// The client that sent this request.
    pub(super) fn authenticate(
        &self,
        headers: &HeaderMap,
        form: &Parameters,
    ) -> Result<&Client, ClientAuthError> {
        let (secret, assertion) = (form.get("client_secret"), form.get("client_assertion"));
        let stated = form.get("client_id");
        let basic = headers.typed_try_get::<Authorization<Basic>>().transpose();
        match (basic, secret, assertion) {
            (Some(basic), None, None) => {
                let pair = basic.ok().and_then(|basic| form_decoded(&basic));
                let (client_id, secret) = pair.ok_or(ClientAuthError::Malformed)?;
                if stated.is_some_and(|stated| stated != client_id) {
                    return Err(ClientAuthError::Malformed);
                }
                self.by_secret(&client_id, &secret)
            }
            (None, Some(secret), None) => self.by_secret(stated.ok_or(ClientAuthError::Malformed)?, secret),
            (None, None, Some(assertion)) if form.get("client_assertion_type") == Some(ASSERTION_TYPE) => {
                self.by_assertion(assertion, stated).ok_or(ClientAuthError::Refused)
            }
            (None, None, None) => Err(ClientAuthError::Refused),
            _ => Err(ClientAuthError::Malformed),
        }
    }

    fn by_secret(&self, client_id: &str, secret: &str) -> Result<&Client, ClientAuthError> {
        let right = |client: &&Client| {
            let known = client.client_secret.as_ref().map(|known| known.expose().as_bytes());
            known.is_some_and(|known| crypto::constant_time_eq(known, secret.as_bytes()))
        };
        self.directory.client(client_id).filter(right).ok_or(ClientAuthError::Refused)
    }

    fn by_assertion(&self, assertion: &str, stated: Option<&str>) -> Option<&Client> {
        let token = CompactJws::parse(assertion, MAX_ASSERTION).ok()?;
        let members = token.claims().ok()?;
        let claims = Claims::of(&members);
        let client_id = claims.required_string("sub").ok()?;
        if claims.required_string("iss").ok()? != client_id
            || stated.is_some_and(|stated| stated != client_id)
        {
            return None;
        }
        let client = self.directory.client(client_id)?;
        let keys = JwkSet::parse(client.jwks.as_ref()?.as_bytes()).ok()?;
        let alg = token.header().alg;
        jws::verify(&token, alg, jws::select_key(&keys, token.header(), alg).ok()?).ok()?;
        let audiences = claims.required_string_or_list("aud").ok()?;
        let (now, exp) = (self.now(), claims.required_numeric_date("exp").ok()?);
        let jti = claims.required_string("jti").ok()?;
        let timely = exp > now && exp.since(now) <= MAX_ASSERTION_LIFETIME;
        let meant = audiences.iter().any(|audience| self.is_assertion_audience(audience));
        let fresh =
            timely && meant && self.assertions.claim(&format!("{client_id} {jti}"), (), now, exp.since(now));
        fresh.then_some(client)
    }

    fn is_assertion_audience(&self, audience: &str) -> bool {
        let endpoint = self.habits.paths.token;
        self.tenant_names().any(|tenant| self.url(endpoint, tenant) == audience)
            || self.habits.issuer_as_assertion_audience && self.issuer() == audience
    }
}

/// Client id and secret of HTTP Basic, each form-encoded (RFC 6749, section 2.3.1).
fn form_decoded(basic: &Authorization<Basic>) -> Option<(String, String)> {
    Some((form_decode(basic.username())?, form_decode(basic.password())?))
}

fn form_decode(text: &str) -> Option<String> {
    if text.contains(['&', '=']) {
        return None;
    }
    form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned())
}
