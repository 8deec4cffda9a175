//! The use cases, in a folder for each concern. Each one reads what it needs, decides by a function of `policy`, and
//! calls out with no transaction open. Then it commits one transaction, which checks again what was read, and writes
//! the change, its evidence and its consequences together, or nothing.
//!
//! Nothing here knows HTTP: a request comes from a [`visit::Visit`], and its answer is a [`visit::Answer`]. Each
//! concern is a service with private fields on a shared [`core::Core`], and calls the services below it. From the
//! lowest up, these are: core, keys, mail and sessions; interactions and profiles; linking; sign-in at identity
//! providers and on the broker's own page; the user's own account; the services for apps; the operator's work. The
//! handlers of steps never call each other: their answers go to the dispatcher ([`dispatch`]), which stands above them
//! all.

pub mod account;
pub mod core;
pub mod directory;
pub mod dispatch;
pub mod evidence;
mod guessing;
pub mod housekeeping;
pub mod interaction;
pub mod keys;
pub mod link;
pub mod mail;
pub mod manage;
mod passwords;
mod profile;
pub mod provider;
pub mod queue;
pub mod refusal;
pub mod session;
pub mod sign_in;
pub mod sso;
pub mod undo;
pub mod visit;

use std::sync::Arc;
use std::time::Duration;

use crate::crypto::mac::{MacKey, MacPurpose};
use crate::crypto::password::{HasherSettings, PasswordError, PasswordHasher};
use crate::crypto::seal::Sealer;
use crate::crypto::{CryptoError, MasterKey};
use crate::flows::account::OwnAccount;
use crate::flows::core::{Core, StoreMemory};
use crate::flows::dispatch::Dispatcher;
use crate::flows::housekeeping::Housekeeping;
use crate::flows::housekeeping::audit_days::Archive;
use crate::flows::interaction::Interactions;
use crate::flows::keys::{FIRST_ALGORITHMS, KeySettings, Keys, SigningError};
use crate::flows::link::Links;
use crate::flows::mail::Mails;
use crate::flows::manage::{Accounts, Health, Limits, Organizations};
use crate::flows::passwords::Passwords;
use crate::flows::profile::Profiles;
use crate::flows::provider::{Authorization, Clients, Logouts, Metadata, TokenSettings, Tokens};
use crate::flows::session::{SessionSettings, Sessions};
use crate::flows::sign_in::SignIn;
use crate::flows::sso::Sso;
use crate::flows::undo::Undos;
use crate::mail::{Mailer, MailerError, MailerSettings};
use crate::model::{Clock, Random};
use crate::policy::account::password::PasswordRules;
use crate::store::{Database, StoreError};
use crate::upstream::{EgressBuildError, Upstream, UpstreamSettings};

/// The part of the configuration that the use cases need.
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
    /// The rules for new passwords.
    pub password_rules: PasswordRules,
    /// The limits of an organization.
    pub limits: Limits,
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
    /// How mails are sent.
    pub mail: MailerSettings,
    /// How long the audit log is kept; `None` keeps it for ever.
    pub audit_archive: Option<Archive>,
}

/// Why the services cannot start.
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
    /// The sending of mails.
    #[error(transparent)]
    Mail(#[from] MailerError),
}

impl FlowSettings {
    const fn sessions(&self) -> SessionSettings {
        SessionSettings { idle: self.session_idle, max: self.session_max }
    }

    const fn tokens(&self) -> TokenSettings {
        TokenSettings {
            code_lifetime: self.code_lifetime,
            access_token_lifetime: self.access_token_lifetime,
            id_token_lifetime: self.id_token_lifetime,
            refresh_idle: self.refresh_idle,
            refresh_max: self.refresh_max,
        }
    }

    fn keys(&self) -> KeySettings {
        KeySettings {
            rotate_every: self.rotate_every,
            publish_before: self.publish_before,
            token_lifetime: self.access_token_lifetime.max(self.id_token_lifetime),
            session_max: self.session_max,
        }
    }
}

/// All services, for the callers of the use cases.
pub struct Broker {
    /// The core that they share.
    pub core: Arc<Core>,
    /// The keys that sign tokens.
    pub keys: Arc<Keys>,
    /// Mails to users.
    pub mails: Arc<Mails>,
    /// Sessions of browsers.
    pub sessions: Arc<Sessions>,
    /// Interactions and the flows that begin them.
    pub interactions: Arc<Interactions>,
    /// Links between two sides that one user proves.
    pub links: Arc<Links>,
    /// Signing in at identity providers.
    pub sso: Arc<Sso>,
    /// The sign-in page, and the proofs that a user gives there.
    pub sign_in: Arc<SignIn>,
    /// The user's own page, and the changes that they make there.
    pub account: Arc<OwnAccount>,
    /// The authorization endpoint, and the consent that it may need.
    pub authorization: Arc<Authorization>,
    /// The authentication of apps.
    pub clients: Arc<Clients>,
    /// Codes and tokens.
    pub tokens: Arc<Tokens>,
    /// Signing out, at an app's request or on the user's own page.
    pub logouts: Arc<Logouts>,
    /// The broker's metadata and public keys.
    pub metadata: Arc<Metadata>,
    /// The organizations that the operator declares, with everything that belongs to them.
    pub organizations: Arc<Organizations>,
    /// The operator's work on accounts and their evidence.
    pub accounts: Arc<Accounts>,
    /// Whether everything that sign-ins need is available.
    pub health: Arc<Health>,
    /// The work that the broker does regularly, without a request.
    pub housekeeping: Arc<Housekeeping>,
    /// The dispatcher, which continues interactions.
    pub dispatcher: Arc<Dispatcher>,
}

impl Broker {
    /// Starts the services: reads the signing keys, and makes the first ones in an empty database.
    pub async fn start(
        settings: FlowSettings,
        database: Arc<Database>,
        master: &MasterKey,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StartError> {
        let broker = Self::new(settings, database, master, clock, random)?;
        broker.keys.extend_keys_at_start().await?;
        broker.keys.ensure_signing_keys(&FIRST_ALGORITHMS).await?;
        Ok(broker)
    }

    /// As [`Self::start`], but does not touch the database: no token can be signed yet.
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
        let upstream = Arc::new(upstream);
        let hasher = PasswordHasher::start(settings.hasher, Arc::clone(&random))?;
        let passwords = Arc::new(Passwords { hasher, rules: settings.password_rules });
        let mailer = Mailer::new(&settings.mail)?;
        let form_mac = MacKey::derive(master, MacPurpose::FormToken)?;
        let code_mac = MacKey::derive(master, MacPurpose::Code)?;
        let network_mac = MacKey::derive(master, MacPurpose::NetworkAddress)?;
        let core = Core::new(settings.issuer.clone(), database, clock, random, sealer, network_mac);
        let core = Arc::new(core);
        macro_rules! service {
            ($service:ident: $($argument:expr),*) => { Arc::new($service::new(&core, $($argument),*)) };
        }
        let keys = service!(Keys: settings.keys());
        let mails = service!(Mails: mailer);
        let sessions = service!(Sessions: settings.sessions());
        let interactions = service!(Interactions: form_mac);
        let profiles = service!(Profiles: &mails);
        let links = service!(Links: &interactions, &sessions, &profiles);
        let sso =
            service!(Sso: &interactions, &sessions, &profiles, &links, &upstream, settings.limits.accounts);
        let sign_in = service!(SignIn: &interactions, &sessions, &links, &sso, &mails, &passwords);
        let undos = service!(Undos: &sessions, &profiles, &sign_in);
        let clients = service!(Clients:);
        let tokens = service!(Tokens: &keys, code_mac, settings.tokens());
        let limits = settings.limits;
        Ok(Self {
            account: service!(OwnAccount: &interactions, &sessions, &profiles, &links, &sign_in, &undos),
            authorization: service!(Authorization: &keys, &interactions, &sessions, &sign_in, settings.state_bytes),
            logouts: service!(Logouts: &keys, &interactions, &sessions, &upstream, settings.state_bytes),
            metadata: service!(Metadata: &keys),
            organizations: service!(Organizations: &keys, &sessions, &profiles, &passwords, limits),
            accounts: service!(Accounts: &sessions, &profiles, &passwords, &undos, limits.accounts),
            health: service!(Health: &keys, &mails, &upstream),
            housekeeping: service!(Housekeeping: &keys, settings.audit_archive),
            dispatcher: service!(Dispatcher: &interactions, &sessions, &links, &sso, &sign_in, &tokens),
            core,
            keys,
            mails,
            sessions,
            interactions,
            links,
            sso,
            sign_in,
            clients,
            tokens,
        })
    }
}
