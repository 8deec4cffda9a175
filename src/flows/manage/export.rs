//! `export`: all organizations as a file that `apply` takes back. Secrets stay sealed or hashed.

use toml::{Table, Value};

use super::accounts::ManageError;
use crate::flows::Broker;
use crate::model::{
    Account, App, Audience, ConnectionSettings, Organization, ProfileKind, Timestamp, Waiver,
};
use crate::store::connections::ConnectionRecord;
use crate::store::{Tx, accounts, apps, connections, domains, organizations, profiles};

/// Organizations that are read at once.
const PAGE: i64 = 100;

impl Broker {
    /// The whole directory as TOML.
    pub async fn export(&self) -> Result<String, ManageError> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let mut tx = self.database.read().await?;
            let page = organizations::list_organizations(&mut tx, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.handle.to_string();
            for organization in &page {
                all.push(Value::Table(self.export_organization(&mut tx, organization).await?));
            }
        }
        let mut root = Table::new();
        root.insert("organizations".to_owned(), Value::Array(all));
        toml::to_string(&root).map_err(|error| ManageError::Unavailable(error.to_string()))
    }

    async fn export_organization(&self, tx: &mut Tx, it: &Organization) -> Result<Table, ManageError> {
        let mut table = Table::new();
        put(&mut table, "id", it.id.to_string());
        put(&mut table, "handle", it.handle.to_string());
        put(&mut table, "name", it.name.clone());
        put(&mut table, "plan", it.plan.as_str());
        put(&mut table, "enabled", it.enabled);
        put(&mut table, "linking", it.policy.linking);
        put(&mut table, "routing", it.policy.routing.as_str());
        put(&mut table, "local_sign_in", it.policy.local_sign_in.as_str());
        for (key, span) in [
            ("session_idle", it.policy.session_idle),
            ("session_max", it.policy.session_max),
            ("upstream_recheck", it.policy.upstream_recheck),
        ] {
            put_some(&mut table, key, span.map(|span| format!("{}s", span.as_secs())));
        }
        let records = connections::list_connections(tx, it.id).await?;
        let mut owned = Vec::new();
        for domain in domains::list_domains(tx, it.id).await? {
            let ids = domains::list_domain_connections(tx, it.id, &domain.domain).await?;
            let handles =
                ids.iter().filter_map(|id| records.iter().find(|record| record.connection.id == *id));
            let mut entry = Table::new();
            put(&mut entry, "name", domain.domain.to_string());
            put(&mut entry, "connections", texts(handles.map(|record| record.connection.handle.to_string())));
            owned.push(Value::Table(entry));
        }
        put(&mut table, "domains", owned);
        let all: Vec<Value> = records.iter().map(|record| Value::Table(connection(record))).collect();
        put(&mut table, "connections", all);
        let all = apps::list_apps(tx, it.id).await?;
        put(&mut table, "apps", all.iter().map(|it| Value::Table(app(it))).collect::<Vec<_>>());
        let mut people = Vec::new();
        for account in accounts::list_accounts(tx, it.id, "", self.settings.max_accounts).await? {
            let known = profiles::list_profiles(tx, account.id).await?;
            // People who come through a provider are not declared; they come back by signing in.
            if known.iter().any(|profile| profile.kind == ProfileKind::Local) {
                let hash = accounts::find_password(tx, account.id).await?;
                people.push(Value::Table(person(&account, hash)));
            }
        }
        put(&mut table, "accounts", people);
        Ok(table)
    }
}

fn connection(record: &ConnectionRecord) -> Table {
    let (it, credential) = (&record.connection, &record.credential);
    let mut table = Table::new();
    put(&mut table, "id", it.id.to_string());
    put(&mut table, "handle", it.handle.to_string());
    put(&mut table, "name", it.name.clone());
    put(&mut table, "enabled", it.enabled);
    put(&mut table, "issuer", it.issuer.clone());
    put(&mut table, "client_id", it.client_id.clone());
    put_some(&mut table, "client_secret_sealed", credential.secret.clone());
    put_some(&mut table, "next_client_secret_sealed", credential.next_secret.clone());
    put_some(&mut table, "secret_expires", credential.secret_expires_at.map(day));
    connection_settings(&mut table, &it.settings);
    table
}

fn connection_settings(table: &mut Table, settings: &ConnectionSettings) {
    put(table, "vendor", settings.vendor.as_str());
    put_some(table, "discovery_url", settings.discovery_url.clone());
    put_some(table, "auth", settings.auth.map(|auth| auth.as_str().to_owned()));
    put(table, "assertion_audience", settings.assertion_audience.as_str());
    put(table, "scopes", texts(settings.scopes.clone()));
    put(table, "always_userinfo", settings.always_userinfo);
    put(table, "new_accounts", settings.new_accounts);
    put(table, "id_token_alg", settings.id_token_alg.as_str());
    put(table, "trusted_audiences", texts(settings.trusted_audiences.clone()));
    put(table, "tenants", texts(settings.tenants.clone()));
    put(table, "email_trust", settings.email_trust.as_str());
    put(table, "mfa", settings.mfa.as_str());
    put(table, "upstream_logout", settings.upstream_logout.as_str());
    put(table, "freshness", settings.freshness.as_str());
    let until = |waiver| settings.waivers.get(&waiver).copied().map(day);
    put_some(table, "freshness_until", until(Waiver::RoundTripFreshness));
    put_some(table, "string_email_verified_until", until(Waiver::StringEmailVerified));
    let mut required = Table::new();
    for (claim, values) in &settings.required_claims {
        put(&mut required, claim, texts(values.clone()));
    }
    put(table, "required_claims", required);
    let mut acr = Table::new();
    for (app, provider) in &settings.acr_values {
        put(&mut acr, app, provider.clone());
    }
    put(table, "acr_values", acr);
    let (claims, mut mapping) = (&settings.claims, Table::new());
    for (key, claim) in [
        ("email", &claims.email),
        ("email_verified", &claims.email_verified),
        ("name", &claims.name),
        ("given_name", &claims.given_name),
        ("family_name", &claims.family_name),
        ("phone", &claims.phone),
    ] {
        put(&mut mapping, key, claim.clone());
    }
    put_some(&mut mapping, "groups", claims.groups.clone());
    put(&mut mapping, "required", texts(claims.required.clone()));
    put(table, "claims", mapping);
}

fn app(it: &App) -> Table {
    let settings = &it.settings;
    let mut table = Table::new();
    put(&mut table, "id", it.id.to_string());
    put(&mut table, "client_id", it.client_id.clone());
    put(&mut table, "name", it.name.clone());
    put(&mut table, "enabled", it.enabled);
    let mut hashes = it.secret_hashes.iter().cloned();
    put_some(&mut table, "client_secret_hash", hashes.next());
    put_some(&mut table, "next_client_secret_hash", hashes.next());
    put(&mut table, "auth_method", settings.auth_method.as_str());
    put(&mut table, "application_type", settings.application_type.as_str());
    put(&mut table, "redirect_uris", texts(settings.redirect_uris.clone()));
    put(&mut table, "post_logout_redirect_uris", texts(settings.post_logout_redirect_uris.clone()));
    put_some(&mut table, "home_uri", settings.home_uri.clone());
    put(&mut table, "grant_types", texts(settings.grant_types.iter().map(ToString::to_string)));
    put(&mut table, "require_pkce", settings.require_pkce);
    put(&mut table, "consent", settings.consent.as_str());
    put(&mut table, "scopes", texts(settings.scopes.clone()));
    match &settings.audience {
        Audience::Own => {}
        Audience::Any => put(&mut table, "audience", "any"),
        Audience::Organizations(handles) => {
            put(&mut table, "audience", texts(handles.iter().map(ToString::to_string)));
        }
    }
    put(&mut table, "connections", texts(settings.connections.iter().map(ToString::to_string)));
    put(&mut table, "id_token_alg", settings.id_token_alg.as_str());
    put(&mut table, "access_token_alg", settings.access_token_alg.as_str());
    for (key, span) in [
        ("code_lifetime", settings.code_lifetime),
        ("access_token_lifetime", settings.access_token_lifetime),
        ("id_token_lifetime", settings.id_token_lifetime),
        ("refresh_token_lifetime", settings.refresh_token_lifetime),
    ] {
        put_some(&mut table, key, span.map(|span| format!("{}s", span.as_secs())));
    }
    put(&mut table, "unproven_email", settings.unproven_email);
    table
}

fn person(it: &Account, hash: Option<String>) -> Table {
    let mut table = Table::new();
    put(&mut table, "id", it.id.to_string());
    put_some(&mut table, "username", it.username.as_ref().map(ToString::to_string));
    put_some(&mut table, "email", it.email.as_ref().map(ToString::to_string));
    put(&mut table, "email_verified", it.email_verified);
    put_some(&mut table, "name", it.contact.name.clone());
    put_some(&mut table, "given_name", it.contact.given_name.clone());
    put_some(&mut table, "family_name", it.contact.family_name.clone());
    put_some(&mut table, "phone", it.contact.phone.clone());
    put(&mut table, "roles", texts(it.roles.iter().map(ToString::to_string)));
    put(&mut table, "enabled", it.enabled);
    put(&mut table, "break_glass", it.break_glass);
    put_some(&mut table, "password_hash", hash);
    table
}

fn put(table: &mut Table, key: &str, value: impl Into<Value>) {
    table.insert(key.to_owned(), value.into());
}

fn put_some(table: &mut Table, key: &str, value: Option<String>) {
    if let Some(value) = value {
        put(table, key, value);
    }
}

fn texts(values: impl IntoIterator<Item = String>) -> Vec<Value> {
    values.into_iter().map(Value::String).collect()
}

/// The day of a time, as relaxations and expiry dates are written.
fn day(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}
