//! Reading the apps of [`read`](super::read).

use crate::crypto::secret_hash;
use crate::flows::manage::document::{AudienceWord, WantedApp, WantedSecret};
use crate::flows::manage::read::{Rules, name, not_an_id, secret, set};
use crate::model::{App, AppAuthMethod, AppSettings, Audience, is_like_an_id};
use crate::policy::provider::redirect::check_redirect_uri;
use crate::protocol::document::{Complaint, Table};

/// Secrets of apps shorter than this can be guessed.
const MIN_SECRET: usize = 16;

pub(in crate::flows) fn app(table: Table<'_>, rules: Rules) -> Option<WantedApp> {
    let mut secret_hashes = Vec::new();
    for (clear, file, hash) in [
        ("client_secret", "client_secret_file", "client_secret_hash"),
        ("next_client_secret", "next_client_secret_file", "next_client_secret_hash"),
    ] {
        match secret(&table, [clear, file, hash]) {
            Some(WantedSecret::Clear(secret)) => {
                if secret.expose().len() < MIN_SECRET {
                    let what = format!("has fewer than {MIN_SECRET} characters and can be guessed");
                    let remedy = "make one with: openssl rand -base64 32";
                    table.refuse(clear, Complaint::with_remedy(what, remedy));
                }
                secret_hashes.push(secret_hash::hash(&secret));
            }
            Some(WantedSecret::Sealed(value)) => {
                if !secret_hash::is_hash(&value) {
                    let remedy = format!("export writes it; give the secret itself as {clear}");
                    table.refuse(hash, Complaint::with_remedy("is not a SHA-256 hash in base64url", remedy));
                }
                secret_hashes.push(value);
            }
            None => {}
        }
    }
    let settings = app_settings(&table, !secret_hashes.is_empty(), rules);
    let (id, name) = (table.parsed("id"), name(&table));
    let enabled = table.or("enabled", true);
    let client_id: Option<String> = table.required("client_id");
    if let Some(id) = client_id.as_deref().filter(|id| !App::is_client_id(id)) {
        let complaint = if is_like_an_id(id) {
            not_an_id("client id")
        } else {
            Complaint::new("a client id has 1 to 255 visible ASCII characters")
        };
        table.refuse("client_id", complaint);
    }
    table.finish();
    Some(WantedApp { id, client_id: client_id?, name: name?, enabled, secret_hashes, settings })
}

fn app_settings(table: &Table<'_>, has_secret: bool, rules: Rules) -> AppSettings {
    let default = if has_secret { AppAuthMethod::ClientSecretBasic } else { AppAuthMethod::None };
    let auth_method = table.parsed("auth_method").unwrap_or(default);
    if has_secret == (auth_method == AppAuthMethod::None) {
        let what = "client_secret_basic and client_secret_post need a client_secret, none has no use for one";
        table.refuse("auth_method", Complaint::new(what));
    }
    let mut settings = AppSettings::for_auth(auth_method);
    set(&mut settings.application_type, table.parsed("application_type"));
    settings.redirect_uris = table.parsed_list("redirect_uris");
    settings.post_logout_redirect_uris = table.parsed_list("post_logout_redirect_uris");
    settings.home_uri = table.optional("home_uri");
    for (key, uris) in [
        ("redirect_uris", &settings.redirect_uris),
        ("post_logout_redirect_uris", &settings.post_logout_redirect_uris),
        ("home_uri", &settings.home_uri.iter().cloned().collect()),
    ] {
        check_uris(table, key, uris, &settings, rules);
    }
    if table.has("grant_types") {
        settings.grant_types = table.parsed_list("grant_types");
    }
    settings.require_pkce = table.or("require_pkce", settings.require_pkce);
    set(&mut settings.consent, table.parsed("consent"));
    if table.has("scopes") {
        settings.scopes = table.parsed_list("scopes");
        check_length(table, "scopes", &settings.scopes, MAX_SCOPES);
    }
    settings.resources = resources(table);
    settings.audience = audience(table);
    settings.connections = table.parsed_list("connections");
    algorithms(table, &mut settings);
    lifetimes(table, &mut settings);
    settings.unproven_email = table.or("unproven_email", false);
    settings
}

/// The most bytes of an app's scopes together, since one token may contain all of them.
const MAX_SCOPES: usize = 1_024;
/// The most bytes of an app's resources together, for the same reason.
const MAX_RESOURCES: usize = 3_072;

/// Refuses a list that is longer than `most` bytes together.
fn check_length(table: &Table<'_>, key: &'static str, list: &[String], most: usize) {
    let length: usize = list.iter().map(String::len).sum();
    if length > most {
        let what = format!(
            "has {length} bytes together, and {most} are allowed, because one token may contain all of them"
        );
        table.refuse(key, Complaint::new(what));
    }
}

fn resources(table: &Table<'_>) -> Vec<String> {
    let resources: Vec<String> = table.parsed_list("resources");
    check_length(table, "resources", &resources, MAX_RESOURCES);
    for resource in &resources {
        let plain = resource.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
        let good = plain && url::Url::parse(resource).is_ok_and(|url| url.fragment().is_none());
        if !good || resource.len() > 512 {
            let what = "a resource is an absolute URI without fragment (RFC 8707)";
            table.refuse("resources", Complaint::new(what));
        }
    }
    resources
}

fn algorithms(table: &Table<'_>, settings: &mut AppSettings) {
    set(&mut settings.id_token_alg, table.parsed("id_token_alg"));
    set(&mut settings.access_token_alg, table.parsed("access_token_alg"));
    for (key, alg) in
        [("id_token_alg", settings.id_token_alg), ("access_token_alg", settings.access_token_alg)]
    {
        if !crate::crypto::keys::SigningKey::ALGS.contains(&alg) {
            table.refuse(key, Complaint::new("the broker signs with RS256, PS256, ES256 or EdDSA"));
        }
    }
}

fn lifetimes(table: &Table<'_>, settings: &mut AppSettings) {
    settings.code_lifetime = table.optional("code_lifetime");
    if settings.code_lifetime.is_some_and(|span| span.as_secs() > 60 || span.is_zero()) {
        table.refuse("code_lifetime", Complaint::new("a code lives 1 to 60 seconds"));
    }
    settings.access_token_lifetime = table.optional("access_token_lifetime");
    settings.id_token_lifetime = table.optional("id_token_lifetime");
    settings.refresh_token_lifetime = table.optional("refresh_token_lifetime");
}

fn check_uris(table: &Table<'_>, key: &'static str, uris: &Vec<String>, app: &AppSettings, rules: Rules) {
    if uris.len() > rules.limits.redirect_uris {
        let what = format!("has {} entries, and {} are allowed", uris.len(), rules.limits.redirect_uris);
        table.refuse(key, Complaint::new(what));
    }
    for uri in uris {
        if let Err(error) = check_redirect_uri(uri, app.application_type) {
            table.refuse(key, Complaint::new(format!("{uri} {error}")));
        }
    }
}

/// `"any"`, or a list of organizations' handles.
fn audience(table: &Table<'_>) -> Audience {
    match table.optional::<AudienceWord>("audience") {
        None => Audience::Own,
        Some(AudienceWord(audience)) => audience,
    }
}
