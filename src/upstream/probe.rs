//! The report of `check` about a connection: whether its identity provider can be reached, and what would prevent
//! sign-ins.

use super::error::UpstreamError;
use super::messages::discovery::Metadata;
use crate::model::{Connection, UpstreamAuth};
use crate::protocol::jose::JwkSet;

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gravity {
    /// No user can sign in.
    Failure,
    /// Some users may be unable to sign in, or a function is missing.
    Warning,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How serious it is.
    pub gravity: Gravity,
    /// A stable name.
    pub code: &'static str,
    /// A sentence for the administrator.
    pub text: String,
}

/// The findings about an identity provider. If there are none, it is in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Where the metadata was looked for, if that is a URL.
    pub discovery_url: Option<String>,
    /// How many keys are usable under the connection's algorithm.
    pub usable_keys: usize,
    /// The findings, most serious first.
    pub findings: Vec<Finding>,
}

impl Probe {
    /// Whether users could sign in.
    pub fn is_usable(&self) -> bool {
        self.findings.iter().all(|finding| finding.gravity != Gravity::Failure)
    }
}

pub(super) fn failed(discovery_url: Option<String>, error: &UpstreamError) -> Probe {
    let finding = Finding { gravity: Gravity::Failure, code: error.code(), text: error.to_string() };
    Probe { discovery_url, usable_keys: 0, findings: vec![finding] }
}

pub(super) fn examine(
    connection: &Connection,
    discovery_url: Option<String>,
    metadata: &Metadata,
    keys: Result<&JwkSet, &UpstreamError>,
) -> Probe {
    let alg = connection.settings.id_token_alg;
    let usable_keys = keys.map_or(0, |set| set.keys.iter().filter(|key| key.allows(alg)).count());
    let mut findings = Vec::new();
    let mut note = |gravity, code, text: String| findings.push(Finding { gravity, code, text });
    match keys {
        Err(error) => note(Gravity::Failure, error.code(), error.to_string()),
        Ok(_) if usable_keys == 0 => {
            note(Gravity::Failure, "keys_none_usable", format!("No published key can verify {alg}."));
        }
        Ok(_) => {}
    }
    let lacks = |stated: &Option<Vec<String>>, word: &str| {
        stated.as_ref().is_some_and(|stated| !stated.iter().any(|known| known == word))
    };
    if lacks(&metadata.response_types, "code") {
        note(
            Gravity::Failure,
            "no_code_flow",
            "The identity provider does not offer the code flow.".to_owned(),
        );
    }
    if lacks(&metadata.id_token_algs, alg.as_str()) {
        let text = format!(
            "The identity provider does not list {alg} for ID tokens; set id_token_alg to one that it does."
        );
        note(Gravity::Warning, "alg_not_offered", text);
    }
    let method = connection.settings.auth.map(UpstreamAuth::as_str);
    if let Some(method) = method.filter(|method| !metadata.auth_methods.iter().any(|known| known == method)) {
        let text = format!("The identity provider does not list the authentication method {method}.");
        note(Gravity::Warning, "auth_not_offered", text);
    }
    if let Some(scope) = connection.settings.scopes.iter().find(|scope| lacks(&metadata.scopes, scope)) {
        note(
            Gravity::Warning,
            "scope_not_offered",
            format!("The identity provider does not list the scope {scope}."),
        );
    }
    if connection.settings.always_userinfo && metadata.userinfo_endpoint.is_none() {
        let text =
            "The connection always calls userinfo, but the identity provider has no userinfo endpoint.";
        note(Gravity::Failure, "no_userinfo", text.to_owned());
    }
    if metadata.end_session_endpoint.is_none() {
        let text = "The identity provider has no end-session endpoint; sign-outs end here.";
        note(Gravity::Warning, "no_end_session", text.to_owned());
    }
    findings.sort_by_key(|finding| finding.gravity == Gravity::Warning);
    Probe { discovery_url, usable_keys, findings }
}
