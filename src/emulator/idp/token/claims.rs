//! The claims about a user in tokens and UserInfo, by the vendor's behaviour (`OpenID` Connect Core 1.0, sections 2
//! and 5).

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::crypto::{self, jws};
use crate::emulator::directory::User;
use crate::emulator::fault::Fault;
use crate::emulator::idp::{Grant, Idp};
use crate::protocol::base64url;

/// The lifetime of an ID token.
const ID_TOKEN_LIFETIME: Duration = Duration::from_hours(1);

impl Idp {
    /// The claims of an ID token that comes with `access_token`.
    pub(super) fn id_token_claims(
        &self,
        grant: &Grant,
        user: &User,
        access_token: &str,
    ) -> Map<String, Value> {
        let habits = self.habits.id_token;
        let now = self.now();
        let mut claims = object(json!({
            "iss": self.issuer(),
            "sub": self.subject(grant, user),
            "aud": grant.client_id,
            "iat": now.unix_seconds(),
            "exp": now.after(ID_TOKEN_LIFETIME).unix_seconds(),
        }));
        if habits.session {
            claims.insert("sid".to_owned(), json!(grant.session.sid));
        }
        if let Some(nonce) = &grant.nonce {
            claims.insert("nonce".to_owned(), json!(nonce));
        }
        if habits.at_hash {
            claims.insert("at_hash".to_owned(), json!(jws::half_hash(self.key.alg(), access_token)));
        }
        if habits.authentication {
            claims.insert("auth_time".to_owned(), json!(grant.session.auth_time.unix_seconds()));
            claims.insert("amr".to_owned(), json!(["pwd"]));
        }
        if habits.hosted_domain {
            claims.insert("hd".to_owned(), json!(user.email.rsplit('@').next()));
        }
        if habits.principal_names {
            claims.insert("upn".to_owned(), json!(user.email));
            claims.insert("unique_name".to_owned(), json!(user.name));
        }
        if habits.directory_ids {
            claims.insert("nbf".to_owned(), json!(now.unix_seconds()));
            claims.insert("tid".to_owned(), json!(self.tenant));
            claims.insert("oid".to_owned(), json!(object_id(user)));
            claims.insert("ver".to_owned(), json!("2.0"));
        }
        if habits.profile {
            claims.extend(self.profile(grant, user));
        }
        if self.faults.has(Fault::WrongClaims) {
            claims.insert("aud".to_owned(), json!("somebody-else"));
        }
        claims
    }

    /// The claims that UserInfo returns for an access token.
    pub(super) fn userinfo_claims(&self, grant: &Grant, user: &User) -> Map<String, Value> {
        let mut claims = object(json!({ "sub": self.subject(grant, user) }));
        if self.habits.userinfo_has_profile {
            claims.extend(self.profile(grant, user));
        }
        if self.faults.has(Fault::WrongClaims) {
            claims.insert("sub".to_owned(), json!("somebody-else"));
        }
        claims
    }

    /// The claims that the scopes ask for.
    fn profile(&self, grant: &Grant, user: &User) -> Map<String, Value> {
        let mut claims = Map::new();
        if grant.has_scope("profile") {
            claims.insert("name".to_owned(), json!(user.name));
            claims.insert("preferred_username".to_owned(), json!(user.email));
        }
        if grant.has_scope("email") {
            claims.insert("email".to_owned(), json!(user.email));
            if self.habits.says_email_verified {
                claims.insert("email_verified".to_owned(), json!(user.email_verified));
            }
        }
        if grant.has_scope("groups") && !user.groups.is_empty() {
            claims.insert("groups".to_owned(), json!(user.groups));
        }
        claims
    }

    /// `sub`: if users have directory ids, a different one for each client, otherwise the user's own id.
    fn subject(&self, grant: &Grant, user: &User) -> String {
        let own = user.id.as_deref().unwrap_or(&user.username);
        if self.habits.id_token.directory_ids {
            crypto::random::hash_token(&format!("{} {} {own}", self.tenant, grant.client_id))
        } else {
            user.id.clone().unwrap_or_else(|| {
                let digest = crypto::random::hash_token(&user.username).replace(['-', '_'], "0");
                format!("00u{}", digest.get(..17).unwrap_or_default())
            })
        }
    }
}

/// The user's id in the directory, in the form of a UUID.
fn object_id(user: &User) -> String {
    user.id.clone().unwrap_or_else(|| {
        let digest = base64url::decode(crypto::random::hash_token(&user.username)).unwrap_or_default();
        let bytes: Option<[u8; 16]> = digest.get(..16).and_then(|half| half.try_into().ok());
        uuid::Builder::from_random_bytes(bytes.unwrap_or_default()).into_uuid().to_string()
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
