//! The use cases, one file each. Every one goes the same way: read what is needed, decide by a function of `policy`,
//! call out with no transaction open, commit one transaction that re-checks what was read and writes change, evidence
//! and consequences together, or nothing.
//!
//! Nothing here knows HTTP: who asks is a [`visit::Visit`], the answer an [`visit::Answer`]. The handlers of
//! steps never route to each other: what they answer goes to the dispatcher ([`dispatch`]), which alone knows them all.

pub mod access_token;
pub mod account;
pub mod audit_days;
pub mod authorize;
pub mod brand;
pub mod cached;
mod client_guesses;
pub mod clients;
mod code;
mod code_text;
pub mod consent;
pub mod credentials;
pub mod directory;
pub mod dispatch;
mod email;
pub mod error;
pub mod evidence;
mod guessing;
mod hint;
pub mod housekeeping;
pub mod interaction;
pub mod introspect;
mod known_browser;
pub mod link;
pub mod logout;
pub mod mail;
pub mod manage;
mod memory;
pub mod metadata;
pub mod password_link;
mod personal;
pub mod queue;
pub mod reauthentication;
mod redeeming;
pub mod refusal;
mod refusals;
pub mod revoke;
pub mod sessions;
mod settle;
pub mod sign_in;
pub mod signing;
pub mod sso;
mod to_app;
pub mod token;
pub mod upstream_logout;
pub mod userinfo;
pub mod visit;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use crate::crypto::mac::{MacKey, MacPurpose};
use crate::crypto::password::{HasherSettings, PasswordError, PasswordHasher};
use crate::crypto::seal::Sealer;
use crate::crypto::{CryptoError, MasterKey};
use crate::mail::{Mailer, MailerError, MailerSettings};
use crate::model::{Clock, IdSequence, Random};
use crate::policy::password::PasswordRules;
use crate::store::{Database, StoreError};
use crate::upstream::{EgressBuildError, Upstream, UpstreamSettings};

use access_token::VerifiedTokens;
use client_guesses::ClientGuesses;
use directory::Directory;
use memory::StoreMemory;
use queue::Queue;
use redeeming::Redemptions;
use refusals::Refusals;
use signing::{SigningError, SigningKeys};

/// What the use cases need to know of the configuration.
#[derive(Debug, Clone)]
pub struct FlowSettings {
    /// The broker's issuer: its public URL, without a slash at the end.
    pub issuer: String,
    /// How long a session lives without a request.
    pub session_idle: Duration,
    /// How long a session lives at most.
    pub session_max: Duration,
    /// How long a code lives.
    pub code_lifetime: Duration,
    /// How long an access token lives.
    pub access_token_lifetime: Duration,
    /// How long an ID token lives.
    pub id_token_lifetime: Duration,
    /// How long a refresh token lives without use.
    pub refresh_idle: Duration,
    /// How long a family of refresh tokens lives at most.
    pub refresh_max: Duration,
    /// What new passwords must be like.
    pub password_rules: PasswordRules,
    /// The most accounts of an organization.
    pub max_accounts: i64,
    /// How much an organization may have.
    pub limits: manage::Limits,
    /// The longest `state`, `nonce` and `claims` of an app, in bytes.
    pub state_bytes: usize,
    /// How passwords are hashed.
    pub hasher: HasherSettings,
    /// How long a signing key signs before the next one does.
    pub rotate_every: Duration,
    /// How long a key is published before it signs.
    pub publish_before: Duration,
    /// How the relying-party side behaves.
    pub upstream: UpstreamSettings,
    /// How mails leave.
    pub mail: MailerSettings,
    /// How long the audit log is kept; `None`: for ever.
    pub audit_archive: Option<audit_days::Archive>,
}

/// Everything that the use cases share.
pub struct Broker {
    database: Arc<Database>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    audit_ids: IdSequence,
    refusals: Refusals,
    settings: FlowSettings,
    sealer: Sealer,
    queue: Queue,
    network_mac: MacKey,
    form_mac: MacKey,
    code_mac: MacKey,
    passwords: PasswordHasher,
    signing: SigningKeys,
    verified_tokens: VerifiedTokens,
    directory: Directory,
    upstream: Upstream,
    redemptions: Arc<Redemptions>,
    client_guesses: ClientGuesses,
    mailer: Arc<Mailer>,
}

/// Why the use cases cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The master key.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The signing keys.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The hashing of passwords.
    #[error(transparent)]
    Passwords(#[from] PasswordError),
    /// The outgoing client.
    #[error(transparent)]
    Upstream(#[from] EgressBuildError),
    /// The way of mails.
    #[error(transparent)]
    Mail(#[from] MailerError),
}

impl Broker {
    /// Makes ready: reads the signing keys, and makes the first ones in an empty database.
    pub async fn start(
        settings: FlowSettings,
        database: Arc<Database>,
        master: &MasterKey,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StartError> {
        let broker = Self::new(settings, database, master, clock, random)?;
        broker.extend_keys_at_start().await?;
        broker.ensure_signing_keys(&signing::FIRST_ALGORITHMS).await?;
        Ok(broker)
    }

    /// As [`Self::start`], without touching the database: nothing can be signed yet.
    pub fn new(
        settings: FlowSettings,
        database: Arc<Database>,
        master: &MasterKey,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StartError> {
        let sealer = Sealer::new(master, &[], Arc::clone(&random))?;
        let memory = StoreMemory { database: Arc::clone(&database), clock: Arc::clone(&clock) };
        let upstream =
            Upstream::new(&settings.upstream, Arc::clone(&clock), Arc::clone(&random), Arc::new(memory))?;
        Ok(Self {
            upstream,
            redemptions: Arc::default(),
            client_guesses: ClientGuesses::default(),
            mailer: Arc::new(Mailer::new(&settings.mail)?),
            directory: Directory::new(Arc::clone(&database), &clock),
            passwords: PasswordHasher::start(settings.hasher, Arc::clone(&random))?,
            network_mac: MacKey::derive(master, MacPurpose::NetworkAddress)?,
            form_mac: MacKey::derive(master, MacPurpose::FormToken)?,
            code_mac: MacKey::derive(master, MacPurpose::Code)?,
            signing: SigningKeys::default(),
            verified_tokens: VerifiedTokens::default(),
            audit_ids: IdSequence::default(),
            refusals: Refusals::new(),
            queue: Queue::new(Arc::clone(&database), sealer.clone(), Arc::clone(&clock), Arc::clone(&random)),
            sealer,
            settings,
            database,
            clock,
            random,
        })
    }

    /// How often the directory's caches asked the database, for the operator's metrics.
    pub fn directory_loads(&self) -> directory::DirectoryLoads {
        self.directory.loads()
    }

    /// For how long calls to the database held the thread of a request, for the operator's metrics; `None` where none
    /// does.
    pub fn statement_seconds(&self) -> Option<Histogram> {
        self.database.statement_seconds()
    }

    /// The durable queue.
    pub const fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Counts the changes of the directory that this node has seen.
    pub fn directory_generation(&self) -> u64 {
        self.directory.generation()
    }

    /// The broker's issuer.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// An address of the broker's own.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.issuer)
    }
}
