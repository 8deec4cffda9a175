//! `export`: writes a document that `apply` reads. Secrets stay sealed and passwords hashed, so the files are of use
//! only with the master key, and show no password.
//!
//! Accounts without a username are not written: they sign in only through a provider, and the operator declares nothing
//! about them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::flows::manage::Organizations;
use crate::flows::manage::accounts::ManageError;
use crate::model::{
    Account, App, AppSettings, Audience, Capabilities, ClaimMapping, Connection, ConnectionId,
    ConnectionSettings, Freshness, Handle, Organization, OrganizationId, Timestamp, Waiver,
};
use crate::store::account::{accounts, passwords};
use crate::store::link::expected::{self, ExpectedIdentity};
use crate::store::link::merging;
use crate::store::organization::connections::{self, ConnectionRecord, SealedCredential};
use crate::store::organization::{apps, domains, looks, organizations};
use crate::store::{StoreError, Tx};

/// Rows that are read at once.
const PAGE: i64 = 500;

#[derive(Serialize)]
struct Exported {
    organizations: Vec<ExportedOrganization>,
}

#[derive(Serialize)]
struct ExportedOrganization {
    id: String,
    handle: String,
    name: String,
    plan: &'static str,
    enabled: bool,
    linking: bool,
    routing: &'static str,
    local_sign_in: &'static str,
    session_idle: Option<String>,
    session_max: Option<String>,
    upstream_recheck: Option<String>,
    accent: Option<String>,
    accent_dark: Option<String>,
    logo: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    domains: Vec<ExportedDomain>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connections: Vec<ExportedConnection>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    apps: Vec<ExportedApp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<ExportedAccount>,
}

#[derive(Serialize)]
struct ExportedDomain {
    name: String,
    connections: Vec<String>,
}

#[derive(Serialize)]
struct ExportedConnection {
    id: String,
    handle: String,
    name: String,
    enabled: bool,
    vendor: &'static str,
    issuer: String,
    discovery_url: Option<String>,
    client_id: String,
    auth: Option<&'static str>,
    client_secret_sealed: Option<String>,
    next_client_secret_sealed: Option<String>,
    secret_expires: Option<String>,
    private_key_sealed: Option<String>,
    certificate: Option<String>,
    assertion_audience: &'static str,
    scopes: Vec<String>,
    always_userinfo: bool,
    new_accounts: bool,
    id_token_alg: &'static str,
    trusted_audiences: Vec<String>,
    tenants: Vec<String>,
    email_trust: &'static str,
    mfa: &'static str,
    upstream_logout: &'static str,
    freshness: &'static str,
    freshness_until: Option<String>,
    string_email_verified_until: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trusted_email_domains: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kept_claims: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    required_claims: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    acr_values: BTreeMap<String, String>,
    claims: ExportedClaims,
    capabilities: ExportedCapabilities,
    replaces: Option<ExportedReplacement>,
}

#[derive(Serialize)]
struct ExportedReplacement {
    connection: String,
    claim: String,
    old_claim: String,
    until: String,
}

#[derive(Serialize)]
struct ExportedCapabilities {
    prompts: Vec<String>,
    max_age: bool,
    login_hint: bool,
    honours_prompt_login: bool,
}

#[derive(Serialize)]
struct ExportedClaims {
    email: String,
    email_verified: String,
    name: String,
    given_name: String,
    family_name: String,
    phone: String,
    groups: Option<String>,
    required: Vec<String>,
}

#[derive(Serialize)]
struct ExportedApp {
    id: String,
    client_id: String,
    name: String,
    enabled: bool,
    auth_method: &'static str,
    client_secret_hash: Option<String>,
    next_client_secret_hash: Option<String>,
    application_type: &'static str,
    redirect_uris: Vec<String>,
    post_logout_redirect_uris: Vec<String>,
    home_uri: Option<String>,
    grant_types: Vec<&'static str>,
    require_pkce: bool,
    consent: &'static str,
    scopes: Vec<String>,
    resources: Vec<String>,
    audience: Option<ExportedAudience>,
    connections: Vec<String>,
    id_token_alg: &'static str,
    access_token_alg: &'static str,
    code_lifetime: Option<String>,
    access_token_lifetime: Option<String>,
    id_token_lifetime: Option<String>,
    refresh_token_lifetime: Option<String>,
    unproven_email: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ExportedAudience {
    Any(&'static str),
    Organizations(Vec<String>),
}

#[derive(Serialize)]
struct ExportedAccount {
    id: String,
    username: String,
    email: Option<String>,
    email_verified: bool,
    name: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    phone: Option<String>,
    password_hash: Option<String>,
    roles: Vec<&'static str>,
    enabled: bool,
    break_glass: bool,
    expects: Option<ExportedIdentity>,
}

#[derive(Serialize)]
struct ExportedIdentity {
    connection: String,
    claim: String,
    value: String,
}

impl Organizations {
    /// All organizations, as a document for `apply`.
    pub async fn export(&self) -> Result<String, ManageError> {
        let mut tx = self.core.database.read().await?;
        let mut exported = Vec::new();
        let mut after = String::new();
        loop {
            let page = organizations::list_organizations(&mut tx, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.handle.to_string();
            for organization in page {
                exported.push(export_organization(&mut tx, organization).await?);
            }
        }
        let document = Exported { organizations: exported };
        toml::to_string(&document).map_err(|error| ManageError::Refused(error.to_string()))
    }
}

async fn export_organization(tx: &mut Tx, it: Organization) -> Result<ExportedOrganization, StoreError> {
    let records = connections::list_connections(tx, it.id).await?;
    let handles: BTreeMap<ConnectionId, String> =
        records.iter().map(|record| (record.connection.id, record.connection.handle.to_string())).collect();
    let mut owned = Vec::new();
    for record in domains::list_domains(tx, it.id).await? {
        let ids = domains::list_domain_connections(tx, it.id, &record.domain).await?;
        let connections = ids.iter().filter_map(|id| handles.get(id).cloned()).collect();
        owned.push(ExportedDomain { name: record.domain.to_string(), connections });
    }
    let look = looks::find_look(tx, it.id).await?;
    Ok(ExportedOrganization {
        domains: owned,
        connections: records.into_iter().map(|record| export_connection(record, &handles)).collect(),
        apps: apps::list_apps(tx, it.id).await?.into_iter().map(export_app).collect(),
        accounts: export_accounts(tx, &it).await?,
        id: it.id.to_string(),
        handle: it.handle.to_string(),
        name: it.name,
        plan: it.plan.as_str(),
        enabled: it.enabled,
        linking: it.policy.linking,
        routing: it.policy.routing.as_str(),
        local_sign_in: it.policy.local_sign_in.as_str(),
        session_idle: it.policy.session_idle.map(span),
        session_max: it.policy.session_max.map(span),
        upstream_recheck: it.policy.upstream_recheck.map(span),
        accent: look.accent.map(|accent| accent.light.to_string()),
        accent_dark: look.accent.map(|accent| accent.dark.to_string()),
        logo: look.logo.map(|logo| logo.to_string()),
    })
}

async fn export_accounts(
    tx: &mut Tx,
    organization: &Organization,
) -> Result<Vec<ExportedAccount>, StoreError> {
    let mut exported = Vec::new();
    let mut after = String::new();
    loop {
        let page = accounts::list_accounts(tx, organization.id, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(exported) };
        after = last.id.to_string();
        for account in page {
            // A merged account is kept only for the sake of its id and username.
            if merging::find_merged_into(tx, account.id).await?.is_some() {
                continue;
            }
            let hash = passwords::find_password(tx, account.id).await?.map(|stored| stored.hash);
            let expected = expected::find_expected(tx, organization.id, account.id).await?;
            let waiting = expected.and_then(|(expected, came)| (!came).then_some(expected));
            let expects = match waiting {
                Some(waiting) => export_expected(tx, organization.id, waiting).await?,
                None => None,
            };
            exported.extend(export_account(account, hash, expects));
        }
    }
}

async fn export_expected(
    tx: &mut Tx,
    organization: OrganizationId,
    it: ExpectedIdentity,
) -> Result<Option<ExportedIdentity>, StoreError> {
    let found = connections::find_connection(tx, organization, it.connection).await?;
    Ok(found.map(|found| ExportedIdentity {
        connection: found.connection.handle.to_string(),
        claim: it.claim,
        value: it.value,
    }))
}

fn export_account(
    it: Account,
    password_hash: Option<String>,
    expects: Option<ExportedIdentity>,
) -> Option<ExportedAccount> {
    Some(ExportedAccount {
        id: it.id.to_string(),
        username: it.username?.to_string(),
        email: it.email.map(|email| email.as_str().to_owned()),
        // An address that a provider has proven is not one that the operator has declared as proven.
        email_verified: it.email_verified && it.email_from.is_none(),
        name: it.contact.name,
        given_name: it.contact.given_name,
        family_name: it.contact.family_name,
        phone: it.contact.phone,
        password_hash,
        roles: it.roles.into_iter().map(crate::model::Role::as_str).collect(),
        enabled: it.enabled,
        break_glass: it.break_glass,
        expects,
    })
}

fn export_connection(
    record: ConnectionRecord,
    handles: &BTreeMap<ConnectionId, String>,
) -> ExportedConnection {
    let ConnectionRecord { connection, credential } = record;
    let Connection { id, handle, name, enabled, issuer, client_id, settings, .. } = connection;
    let SealedCredential { secret, next_secret, secret_expires_at, key, certificate } = credential;
    let ConnectionSettings { claims, capabilities, waivers, .. } = settings;
    ExportedConnection {
        id: id.to_string(),
        handle: handle.to_string(),
        name,
        enabled,
        vendor: settings.vendor.as_str(),
        issuer,
        discovery_url: settings.discovery_url,
        client_id,
        auth: settings.auth.map(crate::model::UpstreamAuth::as_str),
        client_secret_sealed: secret,
        next_client_secret_sealed: next_secret,
        secret_expires: secret_expires_at.map(day),
        private_key_sealed: key,
        certificate,
        assertion_audience: settings.assertion_audience.as_str(),
        scopes: settings.scopes,
        always_userinfo: settings.always_userinfo,
        new_accounts: settings.new_accounts,
        id_token_alg: settings.id_token_alg.as_str(),
        trusted_audiences: settings.trusted_audiences,
        tenants: settings.tenants,
        email_trust: settings.email_trust.as_str(),
        mfa: settings.mfa.as_str(),
        upstream_logout: settings.upstream_logout.as_str(),
        freshness: settings.freshness.as_str(),
        freshness_until: match settings.freshness {
            Freshness::RoundTrip => waivers.get(&Waiver::RoundTripFreshness).copied().map(day),
            Freshness::AuthTime => None,
        },
        string_email_verified_until: waivers.get(&Waiver::StringEmailVerified).copied().map(day),
        required_claims: settings.required_claims,
        acr_values: settings.acr_values,
        claims: export_claims(claims),
        capabilities: export_capabilities(capabilities),
        trusted_email_domains: settings.trusted_email_domains.iter().map(ToString::to_string).collect(),
        kept_claims: settings.kept_claims,
        replaces: settings.replaces.and_then(|it| {
            let connection = handles.get(&it.connection)?.clone();
            let (claim, old_claim, until) = (it.claim, it.old_claim, day(it.until));
            Some(ExportedReplacement { connection, claim, old_claim, until })
        }),
    }
}

fn export_claims(it: ClaimMapping) -> ExportedClaims {
    ExportedClaims {
        email: it.email,
        email_verified: it.email_verified,
        name: it.name,
        given_name: it.given_name,
        family_name: it.family_name,
        phone: it.phone,
        groups: it.groups,
        required: it.required,
    }
}

fn export_capabilities(it: Capabilities) -> ExportedCapabilities {
    ExportedCapabilities {
        prompts: it.prompts,
        max_age: it.max_age,
        login_hint: it.login_hint,
        honours_prompt_login: it.honours_prompt_login,
    }
}

fn export_app(it: App) -> ExportedApp {
    let App { id, client_id, name, enabled, secret_hashes, settings, .. } = it;
    let mut hashes = secret_hashes.into_iter();
    let AppSettings { audience, .. } = settings;
    ExportedApp {
        id: id.to_string(),
        client_id,
        name,
        enabled,
        auth_method: settings.auth_method.as_str(),
        client_secret_hash: hashes.next(),
        next_client_secret_hash: hashes.next(),
        application_type: settings.application_type.as_str(),
        redirect_uris: settings.redirect_uris,
        post_logout_redirect_uris: settings.post_logout_redirect_uris,
        home_uri: settings.home_uri,
        grant_types: settings.grant_types.into_iter().map(crate::model::GrantType::as_str).collect(),
        require_pkce: settings.require_pkce,
        consent: settings.consent.as_str(),
        scopes: settings.scopes,
        resources: settings.resources,
        audience: match audience {
            Audience::Own => None,
            Audience::Any => Some(ExportedAudience::Any("any")),
            Audience::Organizations(handles) => {
                Some(ExportedAudience::Organizations(handles.iter().map(Handle::to_string).collect()))
            }
        },
        connections: settings.connections.iter().map(Handle::to_string).collect(),
        id_token_alg: settings.id_token_alg.as_str(),
        access_token_alg: settings.access_token_alg.as_str(),
        code_lifetime: settings.code_lifetime.map(span),
        access_token_lifetime: settings.access_token_lifetime.map(span),
        id_token_lifetime: settings.id_token_lifetime.map(span),
        refresh_token_lifetime: settings.refresh_token_lifetime.map(span),
        unproven_email: settings.unproven_email,
    }
}

/// A duration as documents write it.
fn span(span: Duration) -> String {
    if span.subsec_millis() == 0 { format!("{}s", span.as_secs()) } else { format!("{}ms", span.as_millis()) }
}

/// A day; or the point in time, if it is not the beginning of a day.
fn day(time: Timestamp) -> String {
    let text = time.to_string();
    text.strip_suffix("T00:00:00Z").map_or_else(|| text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_days_are_written_as_they_are_read() {
        assert_eq!(span(Duration::from_mins(10)), "600s");
        assert_eq!(span(Duration::from_millis(1_500)), "1500ms");
        assert_eq!(day(Timestamp::from_unix_seconds(86_400)), "1970-01-02");
        assert_eq!(day(Timestamp::from_unix_seconds(86_401)), "1970-01-02T00:00:01Z");
    }
}
