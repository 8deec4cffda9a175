//! What the targets share: a provider that signs whatever it is given.

use std::collections::BTreeMap;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use countersign::model::{
    AssertionAudience, Capabilities, ClaimMapping, Connection, ConnectionId, ConnectionSettings, EmailTrust,
    Freshness, OrganizationId, SigningAlg, Timestamp, UpstreamLogout, UpstreamMfa, Vendor,
};
use countersign::protocol::base64url;
use countersign::protocol::jose::{CompactJws, JwkSet};
use serde_json::{Map, Value, json};

/// The time at which tokens are checked.
pub const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

/// A provider with one key, and a connection to it.
pub struct Provider {
    key: EcdsaKeyPair,
    random: SystemRandom,
    /// Its published keys.
    pub keys: JwkSet,
    /// The connection.
    pub connection: Connection,
}

impl Default for Provider {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider {
    /// Makes its key.
    pub fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = key.public_key().as_ref();
        let jwk = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "kid": "k", "alg": "ES256", "use": "sig",
            "x": base64url::encode(&point[1..33]), "y": base64url::encode(&point[33..65]),
        }] });
        let keys = JwkSet::parse(jwk.to_string().as_bytes()).unwrap();
        Self { key, random: SystemRandom::new(), keys, connection: connection() }
    }

    /// A signed token. The header is the usual one, with the members of `header` in it if that is a JSON object;
    /// the claims are `claims` as they are, or, if that is a JSON object, good ones changed by its members.
    pub fn token(&self, header: &[u8], claims: &[u8]) -> Option<CompactJws> {
        let header = changed(json!({ "alg": "ES256", "kid": "k", "typ": "JWT" }), header)?;
        let good = json!({
            "iss": "https://idp.acme.test", "sub": "bob", "aud": "countersign", "nonce": "the-nonce",
            "iat": NOW.unix_seconds(), "exp": NOW.unix_seconds() + 300, "jti": "1",
        });
        let claims = changed(good, claims).unwrap_or_else(|| claims.to_vec());
        let input = format!("{}.{}", base64url::encode(header), base64url::encode(claims));
        let signature = self.key.sign(&self.random, input.as_bytes()).ok()?;
        let token = format!("{input}.{}", base64url::encode(signature.as_ref()));
        CompactJws::parse(&token, 64 * 1024).ok()
    }
}

/// `good` with members replaced, or with `null` taken away.
fn changed(good: Value, members: &[u8]) -> Option<Vec<u8>> {
    let Value::Object(mut object) = good else { return None };
    if !members.is_empty() {
        let members: Map<String, Value> = serde_json::from_slice(members).ok()?;
        for (name, value) in members {
            if value.is_null() { drop(object.remove(&name)) } else { drop(object.insert(name, value)) }
        }
    }
    serde_json::to_vec(&object).ok()
}

fn connection() -> Connection {
    Connection {
        id: ConnectionId::from_bytes([1; 16]),
        organization: OrganizationId::from_bytes([2; 16]),
        handle: "acme-idp".parse().unwrap(),
        name: "Acme".to_owned(),
        enabled: true,
        issuer: "https://idp.acme.test".to_owned(),
        client_id: "countersign".to_owned(),
        settings: ConnectionSettings {
            vendor: Vendor::Generic,
            discovery_url: None,
            auth: None,
            assertion_audience: AssertionAudience::Issuer,
            scopes: Vec::new(),
            always_userinfo: false,
            new_accounts: true,
            id_token_alg: SigningAlg::ES256,
            trusted_audiences: vec!["other".to_owned()],
            required_claims: BTreeMap::new(),
            tenants: Vec::new(),
            email_trust: EmailTrust::Claim,
            claims: ClaimMapping::default(),
            capabilities: Capabilities::standard(),
            acr_values: BTreeMap::new(),
            freshness: Freshness::AuthTime,
            mfa: UpstreamMfa::Claim,
            upstream_logout: UpstreamLogout::Ask,
            waivers: BTreeMap::new(),
            kept_claims: Vec::new(),
            replaces: None,
            trusted_email_domains: Vec::new(),
        },
        created_at: NOW,
    }
}
