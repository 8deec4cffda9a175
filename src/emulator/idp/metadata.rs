//! Discovery (`OpenID` Connect Discovery 1.0, section 4) and published keys (RFC 7517).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use serde_json::{Value, json};

use super::{Idp, tenant_in};
use crate::emulator::html;
use crate::model::TENANT;

impl Idp {
    /// The issuer in the document for this tenant name: with the placeholder if the name stands for any tenant.
    fn documented_issuer(&self, tenant: &str) -> String {
        let tenant = if self.is_alias(tenant) { TENANT } else { &self.tenant };
        self.url(self.habits.issuer_path, tenant)
    }

    fn metadata(&self, tenant: &str) -> Value {
        let paths = self.habits.paths;
        let mut document = json!({
            "issuer": self.documented_issuer(tenant),
            "authorization_endpoint": self.url(paths.authorize, tenant),
            "token_endpoint": self.url(paths.token, tenant),
            "userinfo_endpoint": self.url(paths.userinfo, tenant),
            "jwks_uri": self.url(paths.keys, tenant),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "form_post"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.key.alg().to_string()],
            "scopes_supported": ["openid", "profile", "email", "groups"],
            "token_endpoint_auth_methods_supported":
                ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
        });
        if let Some(members) = document.as_object_mut() {
            if let Some(logout) = paths.logout {
                members.insert("end_session_endpoint".to_owned(), json!(self.url(logout, tenant)));
            }
            if self.habits.announces_pkce {
                members.insert("code_challenge_methods_supported".to_owned(), json!(["S256"]));
            }
            if self.response_iss {
                members.insert("authorization_response_iss_parameter_supported".to_owned(), json!(true));
            }
            if self.habits.id_token.directory_ids {
                members.insert("subject_types_supported".to_owned(), json!(["pairwise"]));
            }
        }
        document
    }

    fn keys(&self, tenant: &str) -> Value {
        let mut key = self.key.public_jwk().clone();
        if self.habits.keys_name_issuer {
            key.issuer = Some(self.documented_issuer(tenant));
        }
        json!({ "keys": [key] })
    }
}

pub(super) async fn show_metadata(State(idp): State<Arc<Idp>>, uri: Uri) -> Response {
    html::json(StatusCode::OK, &idp.metadata(tenant_in(uri.path())))
}

pub(super) async fn show_keys(State(idp): State<Arc<Idp>>, uri: Uri) -> Response {
    html::json(StatusCode::OK, &idp.keys(tenant_in(uri.path())))
}
