//! What the operator does: apply, export, accounts, sessions, evidence.

mod accounts;
mod apply;
mod audit_days;
mod check;
mod documents;
mod expected;
mod export;
mod housekeeping;
mod keys;
mod look;

use std::sync::Arc;

use countersign::app::{Environment, open_broker};
use countersign::config::Config;
use countersign::flows::Broker;
use countersign::flows::manage::{ApplyError, ApplyReport, AuditFilter, Change};
use countersign::model::Caller;

use crate::harness::database::{Kind, TestDatabase};
use crate::harness::time::{ManualClock, SeededRandom};

/// The master key of all offices.
const MASTER_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

/// The use cases on a database of their own, with no server around them.
struct Office {
    broker: Arc<Broker>,
    clock: Arc<ManualClock>,
    database: TestDatabase,
}

impl Office {
    /// On an empty database. All offices have one master key.
    async fn new(kind: Kind) -> Self {
        let database = TestDatabase::new(kind).await;
        let clock = Arc::new(ManualClock::new());
        let broker = open(&database, &clock, 3).await;
        Self { broker, clock, database }
    }

    /// Another process on the same database.
    async fn another(&self, seed: u64) -> Arc<Broker> {
        open(&self.database, &self.clock, seed).await
    }

    async fn try_apply(&self, document: &str) -> Result<ApplyReport, ApplyError> {
        self.broker.organizations.apply(Caller::Operator(None), &files(document), false).await
    }

    async fn apply(&self, document: &str) -> ApplyReport {
        self.try_apply(document).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn dry_run(&self, document: &str) -> ApplyReport {
        self.broker
            .organizations
            .apply(Caller::Operator(None), &files(document), true)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    async fn export(&self) -> String {
        self.broker.organizations.export().await.unwrap()
    }

    /// The audit log as it is exported, oldest first.
    async fn audit(&self) -> Vec<serde_json::Value> {
        self.audit_of(&AuditFilter::default()).await
    }

    /// The records that are wanted.
    async fn audit_of(&self, filter: &AuditFilter) -> Vec<serde_json::Value> {
        let mut lines = Vec::new();
        let write = |line: &_| lines.push(serde_json::to_value(line).unwrap());
        self.broker.accounts.export_audit(filter, write).await.unwrap();
        lines
    }

    /// Every byte that the database has kept.
    async fn everything_stored(&self) -> Vec<u8> {
        self.database.everything_stored().await
    }
}

async fn open(database: &TestDatabase, clock: &Arc<ManualClock>, seed: u64) -> Arc<Broker> {
    open_with(database, clock, seed, &[]).await
}

/// With further settings, as `COUNTERSIGN__…` variables.
async fn open_with(
    database: &TestDatabase,
    clock: &Arc<ManualClock>,
    seed: u64,
    further: &[(&str, &str)],
) -> Arc<Broker> {
    let variables = [
        ("COUNTERSIGN__SERVER__PUBLIC_URL", "https://id.test"),
        ("COUNTERSIGN__DATABASE__URL", &database.settings.url),
        ("COUNTERSIGN__DATABASE__MAX_CONNECTIONS", "8"),
        ("COUNTERSIGN__SECRETS__MASTER_KEY", MASTER_KEY),
        ("COUNTERSIGN__LIMITS__ORGANIZATION_ACCOUNTS", "4"),
        ("COUNTERSIGN__LIMITS__ORGANIZATION_CONNECTIONS", "3"),
        ("COUNTERSIGN__LIMITS__ORGANIZATION_DOMAINS", "2"),
        ("COUNTERSIGN__LIMITS__ORGANIZATION_APPS", "2"),
    ];
    let config = Config::load(None, variables.into_iter().chain(further.iter().copied()))
        .unwrap_or_else(|errors| panic!("{errors}"));
    let environment = Environment { clock: clock.clone(), random: Arc::new(SeededRandom::new(seed)) };
    open_broker(&config, &environment).await.unwrap_or_else(|error| panic!("{error}"))
}

fn files(document: &str) -> [(String, String); 1] {
    [("test.toml".to_owned(), document.to_owned())]
}

fn changes(report: &ApplyReport) -> Vec<Change> {
    report.lines.iter().map(|line| line.change).collect()
}

/// An organization with one of each, every kind of secret, and every setting at another value than its default.
const ACME: &str = r#"
[[organizations]]
handle = "acme"
name = "Acme"
plan = "enterprise"
linking = true
routing = "closed"
local_sign_in = "all"
session_idle = "90m"
session_max = "5h"
upstream_recheck = "9d"
domains = [{ name = "acme.test", connection = "okta" }, { name = "*.acme.test", connections = ["entra", "okta"] }]

[[organizations.connections]]
handle = "okta"
name = "Acme SSO"
vendor = "okta"
issuer = "https://acme.okta.test"
client_id = "countersign"
client_secret = "CANARY-upstream-secret-1"
next_client_secret = "CANARY-upstream-secret-2"
secret_expires = "2027-03-01"
freshness = "round_trip"
freshness_until = "2027-01-31"
string_email_verified_until = "2027-02-28"
acr_values = { "urn:mfa" = "phr" }
discovery_url = "https://acme.okta.test/elsewhere"
auth = "client_secret_post"
assertion_audience = "issuer"
scopes = ["openid", "groups"]
always_userinfo = true
new_accounts = false
id_token_alg = "ES256"
trusted_audiences = ["other"]
email_trust = "authoritative"
trusted_email_domains = ["*.partner.test", "partner.test"]
mfa = "attested"
upstream_logout = "never"

[organizations.connections.claims]
email = "mail"
email_verified = "mail_verified"
name = "display_name"
given_name = "first"
family_name = "last"
phone = "tel"
groups = "groups"
required = ["mail"]

[organizations.connections.capabilities]
prompts = ["login"]
max_age = false
login_hint = false
honours_prompt_login = true

[[organizations.connections]]
handle = "entra"
name = "Acme Entra"
vendor = "entra"
issuer = "https://login.microsoftonline.test/{tenantid}/v2.0"
client_id = "7a7a"
auth = "private_key_jwt"
tenants = ["11111111-2222-3333-4444-555555555555"]
required_claims = { tid = ["11111111-2222-3333-4444-555555555555"] }

[[organizations.apps]]
client_id = "notes"
name = "Notes"
client_secret = "CANARY-app-secret-0001"
next_client_secret = "CANARY-app-secret-0002"
redirect_uris = ["https://notes.acme.test/callback"]
home_uri = "https://notes.acme.test/"
audience = ["globex"]
connections = ["okta"]
auth_method = "client_secret_post"
post_logout_redirect_uris = ["https://notes.acme.test/bye"]
grant_types = ["authorization_code"]
require_pkce = false
consent = "explicit"
scopes = ["openid"]
resources = ["https://api.acme.test/"]
id_token_alg = "ES256"
access_token_alg = "EdDSA"
code_lifetime = "30s"
access_token_lifetime = "2m"
id_token_lifetime = "3m"
refresh_token_lifetime = "4d"
unproven_email = true

[[organizations.apps]]
client_id = "spa"
name = "Native"
application_type = "native"
redirect_uris = ["http://127.0.0.1/callback"]
audience = "any"

[[organizations.accounts]]
username = "Bob"
email = "Bob@acme.test"
email_verified = true
name = "Bob Berger"
given_name = "Bob"
family_name = "Berger"
phone = "+49 30 1"
break_glass = true
password = "CANARYpassword1"
roles = ["auditor", "administrator"]

[[organizations.accounts]]
username = "carol"
enabled = false
"#;
