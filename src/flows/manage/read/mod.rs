//! Reading the files of `apply`. Each problem is reported with file and line, and with what to do.

mod account;
mod app;
mod look;

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use crate::crypto::certificate::Certificate;
use crate::flows::manage::Limits;
use crate::flows::manage::document::{
    WantedConnection, WantedDomain, WantedKey, WantedOrganization, WantedReplacement, WantedSecret,
};
use crate::model::{
    Capabilities, ClaimMapping, ConnectionSettings, EmailTrust, Freshness, Handle, OrganizationPolicy,
    OwnedDomain, Plan, Routing, Secret, TENANT, Timestamp, Waiver, is_shared_issuer,
};
use crate::policy::account::link::replacement::{SUBJECT, is_identifier};
use crate::policy::account::password::PasswordRules;
use crate::protocol::document::{Complaint, Document, Errors, Problems, Table};
use account::account;
use app::app;
use look::look;

/// The most claims that a connection keeps.
const MOST_KEPT_CLAIMS: usize = 5;

/// The most domains that a connection may be trusted for, besides those that route to it.
const MOST_TRUSTED_DOMAINS: usize = 100;

/// The rules that files are checked against.
#[derive(Clone, Copy)]
pub struct Rules {
    /// The rules for passwords.
    pub passwords: PasswordRules,
    /// The limits of an organization.
    pub limits: Limits,
}

/// Reads all files, each a name and its text, together.
///
/// # Errors
/// All problems of all files, each with its place.
pub fn read_files(files: &[(String, String)], rules: Rules) -> Result<Vec<WantedOrganization>, Errors> {
    let problems = Problems::default();
    let wanted = files.iter().flat_map(|(name, text)| read_file(name, text, rules, &problems)).collect();
    problems.finish(Some(wanted))
}

fn read_file(name: &str, text: &str, rules: Rules, problems: &Problems) -> Vec<WantedOrganization> {
    let document = Document::parse(name, text, problems);
    let root = document.root(problems);
    let tables = root.tables("organizations").into_iter();
    let wanted = tables.filter_map(|table| organization(table, rules)).collect();
    root.finish();
    wanted
}

fn organization(table: Table<'_>, rules: Rules) -> Option<WantedOrganization> {
    let (handle, name) = (table.required_parsed("handle"), name(&table));
    let id = table.parsed("id");
    let plan = table.parsed("plan").unwrap_or(Plan::Trial);
    let enabled = table.or("enabled", true);
    let policy = organization_policy(&table);
    let look = look(&table);
    let domains = at_most(&table, "domains", rules.limits.domains, domain);
    let connections = at_most(&table, "connections", rules.limits.connections, connection);
    let apps = at_most(&table, "apps", rules.limits.apps, |table| app(table, rules));
    let accounts = table.tables("accounts").into_iter().filter_map(|table| account(table, rules)).collect();
    table.finish();
    Some(WantedOrganization {
        id,
        handle: handle?,
        name: name?,
        plan,
        enabled,
        policy,
        look,
        domains,
        connections,
        apps,
        accounts,
    })
}

fn organization_policy(table: &Table<'_>) -> OrganizationPolicy {
    let defaults = OrganizationPolicy::default();
    OrganizationPolicy {
        linking: table.or("linking", defaults.linking),
        routing: table.parsed("routing").unwrap_or(Routing::Open),
        local_sign_in: table.parsed("local_sign_in").unwrap_or(defaults.local_sign_in),
        session_idle: table.optional("session_idle"),
        session_max: table.optional("session_max"),
        upstream_recheck: table.optional("upstream_recheck"),
    }
}

/// The objects of a list; more than `limit` are refused.
fn at_most<'d, T>(
    table: &Table<'d>,
    key: &'static str,
    limit: usize,
    read: impl Fn(Table<'d>) -> Option<T>,
) -> Vec<T> {
    let tables = table.tables(key);
    if tables.len() > limit {
        let what = format!("has {} entries, and {limit} are allowed", tables.len());
        table.refuse(key, Complaint::with_remedy(what, "remove some, or raise the limit in [limits]"));
    }
    tables.into_iter().filter_map(read).collect()
}

pub(in crate::flows) fn name(table: &Table<'_>) -> Option<String> {
    let name: String = table.required("name")?;
    let good = (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if !good {
        table.refuse("name", Complaint::new("a name has 1 to 100 characters on one line"));
    }
    Some(name)
}

/// The complaint about a name that has the form of an id, since a command or an app could take it for that id.
pub(super) fn not_an_id(what: &str) -> Complaint {
    let text = format!("a {what} cannot have the form of an id, three letters, _ and 32 hexadecimal digits");
    Complaint::with_remedy(text, "choose a name of another form")
}

fn domain(table: Table<'_>) -> Option<WantedDomain> {
    let mut connections: Vec<Handle> = table.parsed_list("connections");
    connections.extend(table.parsed::<Handle>("connection"));
    let domain = table.required_parsed("name");
    table.finish();
    Some(WantedDomain { domain: domain?, connections })
}

/// The end of a relaxation: a day, `2027-01-31`, or a point in time of RFC 3339.
struct EndDate(Timestamp);

impl FromStr for EndDate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Self(Timestamp::from_unix_micros(time.as_microsecond())));
        }
        let date: jiff::civil::Date = text.parse().map_err(|_| "write a day like 2027-01-31")?;
        let time = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| "this day is out of range")?;
        Ok(Self(Timestamp::from_unix_seconds(time.timestamp().as_second())))
    }
}

fn connection(table: Table<'_>) -> Option<WantedConnection> {
    let settings = connection_settings(&table);
    let replaces = table.table("replaces").and_then(|replaces| replacement(replaces, &settings.claims));
    let enabled = table.or("enabled", true);
    let issuer: Option<String> = table.required("issuer");
    if let Some(issuer) = &issuer {
        check_issuer(&table, "issuer", issuer);
        check_shared(&table, issuer, &settings, enabled);
    }
    let id = table.parsed("id");
    let (handle, name) = (table.required_parsed("handle"), name(&table));
    let client_id = table.required("client_id");
    let secret = secret(&table, ["client_secret", "client_secret_file", "client_secret_sealed"]);
    let next_keys = ["next_client_secret", "next_client_secret_file", "next_client_secret_sealed"];
    let next_secret = self::secret(&table, next_keys);
    let secret_expires_at = table.parsed::<EndDate>("secret_expires").map(|end| end.0);
    let key = connection_key(&table);
    table.finish();
    Some(WantedConnection {
        id,
        handle: handle?,
        name: name?,
        enabled,
        issuer: issuer?,
        client_id: client_id?,
        settings,
        replaces,
        secret,
        next_secret,
        secret_expires_at,
        key,
    })
}

/// The key that an export holds, with its certificate.
fn connection_key(table: &Table<'_>) -> Option<WantedKey> {
    let sealed = table.optional("private_key_sealed");
    let certificate: Option<String> = table.optional("certificate");
    if sealed.is_some() != certificate.is_some() {
        let what = "private_key_sealed and certificate belong together; give both, as export wrote them";
        table.refuse("private_key_sealed", Complaint::new(what));
    }
    if certificate.as_deref().is_some_and(|pem| Certificate::from_pem(pem).is_err()) {
        table.refuse("certificate", Complaint::new("is not a certificate in PEM"));
    }
    Some(WantedKey { sealed: sealed?, certificate: certificate? })
}

fn check_issuer(table: &Table<'_>, key: &str, issuer: &str) {
    let plain = issuer.replace(TENANT, "tenantid");
    let good = url::Url::parse(&plain).is_ok_and(|url| {
        url.scheme() == "https"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
    });
    if !good {
        table.refuse(
            key,
            Complaint::new("must be an https URL without a query, as in the provider's metadata"),
        );
    }
}

/// Refuses a provider that serves many organizations under one issuer, unless a claim tells their users apart.
fn check_shared(table: &Table<'_>, issuer: &str, settings: &ConnectionSettings, enabled: bool) {
    let template = issuer.contains(TENANT);
    let bounded = !settings.required_claims.is_empty() || (template && !settings.tenants.is_empty());
    if is_shared_issuer(issuer) && enabled && !bounded {
        let what = "is shared by many organizations, so a claim must say which users are yours";
        let remedy = "give required_claims, such as { hd = [\"example.com\"] } or { tid = [\"…\"] }; \
                      with {tenantid}, tenants does as well";
        table.refuse("issuer", Complaint::with_remedy(what, remedy));
    }
    if settings.email_trust == EmailTrust::Authoritative && !settings.is_of_one_tenant(issuer) {
        let what = "\"authoritative\" makes the provider speak for your addresses, so people of one tenant alone may \
                    come through the connection";
        let remedy = "name exactly one tenant (tenants, or required_claims with one tid; for Google one hd), or write \
                      email_trust = \"claim\"";
        table.refuse("email_trust", Complaint::with_remedy(what, remedy));
    }
}

/// Domains that do not route to a connection, but whose email addresses its provider may prove.
fn trusted_email_domains(table: &Table<'_>) -> Vec<OwnedDomain> {
    let mut trusted: Vec<OwnedDomain> = table.parsed_list("trusted_email_domains");
    if trusted.len() > MOST_TRUSTED_DOMAINS {
        let what = format!("has {} entries, and {MOST_TRUSTED_DOMAINS} are allowed", trusted.len());
        table.refuse("trusted_email_domains", Complaint::new(what));
    }
    trusted.sort_unstable();
    trusted.dedup();
    trusted
}

fn connection_settings(table: &Table<'_>) -> ConnectionSettings {
    let vendor = table.parsed("vendor").unwrap_or(crate::model::Vendor::Generic);
    let mut settings = ConnectionSettings::for_vendor(vendor);
    settings.discovery_url = table.optional("discovery_url");
    if let Some(url) = &settings.discovery_url {
        check_issuer(table, "discovery_url", url);
    }
    settings.auth = table.parsed("auth");
    set(&mut settings.assertion_audience, table.parsed("assertion_audience"));
    if table.has("scopes") {
        settings.scopes = table.parsed_list("scopes");
        if !settings.scopes.iter().any(|scope| scope == "openid") {
            table.refuse("scopes", Complaint::new("openid must be among the scopes"));
        }
    }
    settings.always_userinfo = table.or("always_userinfo", settings.always_userinfo);
    settings.new_accounts = table.or("new_accounts", settings.new_accounts);
    set(&mut settings.id_token_alg, table.parsed("id_token_alg"));
    settings.trusted_audiences = table.parsed_list("trusted_audiences");
    settings.tenants = table.parsed_list("tenants");
    set(&mut settings.email_trust, table.parsed("email_trust"));
    set(&mut settings.mfa, table.parsed("mfa"));
    set(&mut settings.upstream_logout, table.parsed("upstream_logout"));
    settings.acr_values = table.map::<String>("acr_values").into_iter().collect();
    settings.required_claims = table.map::<Vec<String>>("required_claims").into_iter().collect();
    if let Some(claims) = table.table("claims") {
        claim_mapping(claims, &mut settings.claims);
    }
    if let Some(given) = table.table("capabilities") {
        capabilities(given, &mut settings.capabilities);
    }
    waivers(table, &mut settings);
    settings.kept_claims = kept_claims(table, &settings.claims);
    settings.trusted_email_domains = trusted_email_domains(table);
    settings
}

/// Claims by which a connection that replaces this one will recognize users.
fn kept_claims(table: &Table<'_>, mapping: &ClaimMapping) -> Vec<String> {
    let kept: Vec<String> = table.parsed_list("kept_claims");
    if kept.len() > MOST_KEPT_CLAIMS {
        let what = format!("has {} entries, and {MOST_KEPT_CLAIMS} are allowed", kept.len());
        table.refuse("kept_claims", Complaint::new(what));
    }
    if kept.iter().any(|claim| claim == SUBJECT) {
        let what = "sub is known of everybody, so it need not be kept; remove it";
        table.refuse("kept_claims", Complaint::new(what));
    }
    if let Some(claim) = kept.iter().find(|claim| !is_identifier(claim, mapping)) {
        refuse_identifier(table, "kept_claims", claim);
    }
    kept
}

fn refuse_identifier(table: &Table<'_>, key: &'static str, claim: &str) {
    let what = format!(
        "{claim:?} cannot be used to recognize users: they can change it, or it does not identify them"
    );
    let remedy = "write a claim that stays a person's own, such as \"sub\", \"oid\" or an employee number";
    table.refuse(key, Complaint::with_remedy(what, remedy));
}

/// The replacement of another connection by this one.
fn replacement(table: Table<'_>, mapping: &ClaimMapping) -> Option<WantedReplacement> {
    let connection = table.required_parsed("connection");
    let claim = table.required::<String>("claim");
    let old_claim = table.optional::<String>("old_claim").or_else(|| claim.clone());
    let until = table.required_parsed::<EndDate>("until").map(|end| end.0);
    // The old provider's name for the claim is checked against the claims that its own connection keeps.
    let given = [("claim", &claim, mapping.clone()), ("old_claim", &old_claim, ClaimMapping::default())];
    for (key, claim, mapping) in given.into_iter().filter(|(key, ..)| table.has(key)) {
        if let Some(claim) = claim.as_ref().filter(|claim| !is_identifier(claim, &mapping)) {
            refuse_identifier(&table, key, claim);
        }
    }
    table.finish();
    Some(WantedReplacement { connection: connection?, claim: claim?, old_claim: old_claim?, until: until? })
}

fn claim_mapping(table: Table<'_>, claims: &mut ClaimMapping) {
    for (key, place) in [
        ("email", &mut claims.email),
        ("email_verified", &mut claims.email_verified),
        ("name", &mut claims.name),
        ("given_name", &mut claims.given_name),
        ("family_name", &mut claims.family_name),
        ("phone", &mut claims.phone),
    ] {
        set(place, table.optional(key));
    }
    claims.groups = table.optional("groups");
    claims.required = table.parsed_list("required");
    table.finish();
}

fn capabilities(table: Table<'_>, capabilities: &mut Capabilities) {
    if table.has("prompts") {
        capabilities.prompts = table.parsed_list("prompts");
        if !capabilities.prompts.iter().all(|word| ["login", "select_account"].contains(&word.as_str())) {
            table.refuse("prompts", Complaint::new("the broker passes on only login and select_account"));
        }
    }
    set(&mut capabilities.max_age, table.optional("max_age"));
    set(&mut capabilities.login_hint, table.optional("login_hint"));
    set(&mut capabilities.honours_prompt_login, table.optional("honours_prompt_login"));
    table.finish();
}

/// Reads the relaxations; each needs the day on which it ends.
fn waivers(table: &Table<'_>, settings: &mut ConnectionSettings) {
    set(&mut settings.freshness, table.parsed("freshness"));
    let freshness_end = table.parsed::<EndDate>("freshness_until");
    match (settings.freshness, freshness_end) {
        (Freshness::RoundTrip, Some(end)) => {
            settings.waivers.insert(Waiver::RoundTripFreshness, end.0);
        }
        (Freshness::RoundTrip, None) => {
            let what = "\"round_trip\" relaxes a check, so it needs an end";
            table.refuse("freshness", Complaint::with_remedy(what, "add freshness_until = \"2027-01-31\""));
        }
        (Freshness::AuthTime, _) => {}
    }
    if let Some(end) = table.parsed::<EndDate>("string_email_verified_until") {
        settings.waivers.insert(Waiver::StringEmailVerified, end.0);
    }
}

pub(in crate::flows) fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// A secret given in one of three ways: in clear, in a file, sealed.
pub(in crate::flows) fn secret(
    table: &Table<'_>,
    [clear, file, sealed]: [&'static str; 3],
) -> Option<WantedSecret> {
    let given = [clear, file, sealed].iter().filter(|key| table.has(key)).count();
    if given > 1 {
        table.refuse(clear, Complaint::new(format!("give only one of {clear}, {file} and {sealed}")));
    }
    let (in_clear, in_file) = (table.optional::<Secret>(clear), secret_file(table, file));
    let sealed = table.optional::<String>(sealed).map(WantedSecret::Sealed);
    in_clear.or(in_file).map(WantedSecret::Clear).or(sealed)
}

fn secret_file(table: &Table<'_>, key: &'static str) -> Option<Secret> {
    let path: PathBuf = table.optional(key)?;
    match fs::read_to_string(&path) {
        Ok(text) => Some(Secret::new(text.trim_end_matches(['\r', '\n']))),
        Err(error) => {
            table.refuse(key, Complaint::new(format!("{} cannot be read: {error}", path.display())));
            None
        }
    }
}

#[cfg(test)]
mod tests;
