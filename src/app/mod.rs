//! The wiring: configuration → build → bind → serve → drain. Only this module joins the other modules together, and
//! only this module reads the whole configuration.

mod authority;
pub mod check;
pub mod demo;
pub mod emulate;
pub mod first_certificate;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use ipnet::IpNet;
use tokio::task::JoinSet;
use tracing::level_filters::LevelFilter;

use crate::config::{
    LogFormat, LogLevel, MailTls, MailTransport, MasterKeyError, PasswordPolicy, Synchronous,
};
use crate::crypto::password::HasherSettings;
use crate::crypto::random::SystemRandom;
use crate::crypto::{MasterKey, private_file};
use crate::flows::housekeeping::audit_days::Archive;
use crate::flows::manage::Limits;
use crate::flows::{Broker, FlowSettings, StartError};
use crate::mail::{self, MailerSettings, SmtpSettings, SmtpTls};
use crate::model::{Clock, Random, Secret, SystemClock};
use crate::net::{self, CertificateError, Certificates, Drain, Listener, Transport};
use crate::policy::account::password::PasswordRules;
use crate::store::{Database, OpenError, StoreSettings};
use crate::telemetry::{Format, Metrics, RequestLog};
use crate::upstream::{EgressSettings, UpstreamSettings};
use crate::web::headers::HeaderSettings;
use crate::web::pages::Pages;
use crate::web::state::Web;
use crate::web::text::LocaleError;
use crate::{jobs, web};

pub use crate::config::{Config, ConfigErrors, Keep};

/// The most sockets that the management listener may have open at once.
const MANAGEMENT_SOCKETS: usize = 64;

/// How often the certificates are checked for changes.
const WATCH_CERTIFICATES: Duration = Duration::from_secs(2);

/// How long a request waits for a database connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long `/readyz` waits for the database. Load balancers wait five seconds or more.
const READY_WITHIN: Duration = Duration::from_secs(3);

/// Time and randomness, which tests replace.
#[derive(Clone)]
pub struct Environment {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub random: Arc<dyn Random>,
}

impl Environment {
    /// The machine's own clock and randomness.
    pub fn of_this_machine() -> Self {
        Self { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
    }
}

/// Reads the configuration: a file, if one is named, and the environment variables of this process, which win.
pub fn load_config(path: Option<&Path>) -> Result<Config, ConfigErrors> {
    Config::load(path, std::env::vars_os())
}

/// The configured log level and format.
pub const fn log_settings(config: &Config) -> (Format, LevelFilter) {
    let format = match config.log.format {
        LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
    };
    let level = match config.log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    (format, level)
}

/// Why the broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The master key cannot be used.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The use cases cannot be set up.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// The texts of the pages are broken.
    #[error("the texts of the pages are broken: {0}")]
    Locale(#[from] LocaleError),
    /// A file that the configuration names cannot be read.
    #[error("{path} cannot be read: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// The broker cannot listen on an address.
    #[error("cannot listen on {address}: {cause}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The cause.
        cause: io::Error,
    },
}

/// Opens the database, migrates it, and sets up the use cases, for the server and for commands.
pub async fn open_broker(config: &Config, environment: &Environment) -> Result<Arc<Broker>, AppError> {
    let master = MasterKey::from_bytes(*config.secrets.load_or_create(&*environment.random)?);
    if let (None, Some(folder)) = (&config.secrets.master_key, config.secrets.master_key_file.parent()) {
        let error = |cause| AppError::File { path: folder.to_owned(), cause };
        private_file::make_folder(folder).map_err(error)?;
    }
    let database = Arc::new(open_database(config).await?);
    let settings = flow_settings(config)?;
    let (clock, random) = (Arc::clone(&environment.clock), Arc::clone(&environment.random));
    Ok(Arc::new(Broker::start(settings, database, &master, clock, random).await?))
}

/// Opens the database and brings its schema up to date.
pub async fn open_database(config: &Config) -> Result<Database, OpenError> {
    Database::open(&store_settings(config)).await
}

fn store_settings(config: &Config) -> StoreSettings {
    StoreSettings {
        url: config.database.url.expose().to_owned(),
        max_connections: config.database.max_connections,
        synchronous_full: matches!(config.database.synchronous, Synchronous::Full),
        acquire_timeout: ACQUIRE_TIMEOUT,
    }
}

fn flow_settings(config: &Config) -> Result<FlowSettings, AppError> {
    let extra_ca = match &config.outbound.extra_ca_file {
        None => None,
        Some(path) => Some(fs::read(path).map_err(|cause| AppError::File { path: path.clone(), cause })?),
    };
    let mail = mail_settings(config, extra_ca.as_deref())?;
    let defaults = EgressSettings::default();
    let egress = EgressSettings {
        allow: config.outbound.allow.clone(),
        extra_ca,
        total_timeout: config.outbound.timeout,
        ..defaults
    };
    Ok(FlowSettings {
        issuer: config.server.public_url.issuer().to_owned(),
        session_idle: config.sessions.idle,
        session_max: config.sessions.max,
        code_lifetime: config.tokens.code,
        access_token_lifetime: config.tokens.access,
        id_token_lifetime: config.tokens.id,
        refresh_idle: config.tokens.refresh_idle,
        refresh_max: config.tokens.refresh_max,
        password_rules: match config.passwords.policy {
            PasswordPolicy::Classic => PasswordRules::Classic,
            PasswordPolicy::Nist => PasswordRules::Nist,
        },
        limits: Limits {
            accounts: config.limits.organization_accounts.into(),
            connections: widen(config.limits.organization_connections),
            domains: widen(config.limits.organization_domains),
            apps: widen(config.limits.organization_apps),
            redirect_uris: widen(config.limits.app_redirect_uris),
        },
        hasher: HasherSettings {
            threads: config.passwords.max_parallel,
            queue: config.passwords.queue,
            ..HasherSettings::default()
        },
        rotate_every: config.keys.rotate_every,
        publish_before: config.keys.publish_before,
        state_bytes: config.limits.state_bytes,
        upstream: UpstreamSettings { egress, jwks_max_stale: config.outbound.jwks_max_stale },
        mail,
        audit_archive: match (config.audit.keep, &config.audit.export_folder) {
            (Keep::For(keep), Some(folder)) => Some(Archive { keep, folder: folder.clone() }),
            _ => None,
        },
    })
}

fn mail_settings(config: &Config, extra_ca: Option<&[u8]>) -> Result<MailerSettings, AppError> {
    let mail = &config.mail;
    let password = match &mail.smtp_password_file {
        None => mail.smtp_password.clone(),
        Some(path) => {
            let text = fs::read_to_string(path);
            let text = text.map_err(|cause| AppError::File { path: path.clone(), cause })?;
            Some(Secret::new(text.trim_end_matches(['\r', '\n'])))
        }
    };
    let smtp = |host: &String| SmtpSettings {
        host: host.clone(),
        port: mail.smtp_port,
        tls: match mail.smtp_tls {
            MailTls::StartTls => SmtpTls::StartTls,
            MailTls::Implicit => SmtpTls::Implicit,
            MailTls::None => SmtpTls::None,
        },
        credentials: mail.smtp_username.clone().zip(password.clone()),
        extra_ca: extra_ca.map(<[u8]>::to_vec),
        timeout: mail::SMTP_TIMEOUT,
    };
    let transport = match (mail.transport, &mail.smtp_host) {
        (MailTransport::File, _) => mail::Transport::File(mail.dir.clone()),
        (MailTransport::Smtp, Some(host)) => mail::Transport::Smtp(smtp(host)),
        (MailTransport::Smtp, None) | (MailTransport::None, _) => mail::Transport::None,
    };
    Ok(MailerSettings { from: mail.from.clone(), transport })
}

/// A broker with its sockets open, not serving yet.
pub struct App {
    broker: Arc<Broker>,
    web: Web,
    metrics: Arc<Metrics>,
    certificates: Arc<Certificates>,
    public: Vec<Listener>,
    public_addr: SocketAddr,
    redirect: Option<Listener>,
    management: Listener,
    settings: net::Settings,
    issuer: String,
    notice: Duration,
    patience: Duration,
    random: Arc<dyn Random>,
}

/// The metrics, with those that other rooms count.
fn metrics_of(broker: &Broker) -> Metrics {
    let mut metrics = Metrics::default();
    let registry = metrics.registry_mut();
    registry.register(
        "directory_loads",
        "Reads of the directory from the database",
        broker.core.directory_loads(),
    );
    if let Some(seconds) = broker.core.statement_seconds() {
        let help = "Time for which a call to SQLite held the thread of a request";
        registry.register("database_statement_seconds", help, seconds);
    }
    let queue = broker.core.queue().figures();
    registry.register("job_runs", "Runs of queued jobs, by outcome", queue.runs);
    registry.register("jobs_waiting", "Queued jobs that are waiting or running", queue.waiting);
    let help = "For how long the oldest due job has been waiting";
    registry.register("jobs_overdue_seconds", help, queue.overdue_seconds);
    registry.register("jobs_dead", "Queued jobs that were given up within a week", queue.dead);
    metrics
}

impl App {
    /// Builds everything and opens the sockets.
    pub async fn bind(config: &Config, environment: Environment) -> Result<Self, AppError> {
        let certificates = Arc::new(Certificates::load(&config.tls.certs_dir)?);
        let broker = open_broker(config, &environment).await?;
        let issuer = config.server.public_url.issuer().to_owned();
        let web = Web {
            broker: Arc::clone(&broker),
            pages: Arc::new(Pages::embedded()?),
            headers: HeaderSettings::for_host(config.server.public_url.host()),
        };
        let metrics = metrics_of(&broker);
        let redirect = match config.server.http_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let public = listen(config.server.listen).await?;
        Ok(Self {
            public_addr: public.local_addr(),
            public: vec![public],
            management: listen(config.server.management_listen).await?,
            redirect,
            settings: net::Settings {
                header_bytes: config.limits.header_bytes,
                body_bytes: config.limits.body_bytes,
                sockets: net::Sockets::new(
                    net::sockets_within_descriptors(config.limits.sockets),
                    config.limits.sockets_per_address,
                ),
                trusted_proxies: config.server.trusted_proxies.clone(),
                ..net::Settings::default()
            },
            metrics: Arc::new(metrics),
            notice: config.server.drain_notice,
            patience: config.server.drain_timeout,
            random: environment.random,
            broker,
            web,
            certificates,
            issuer,
        })
    }

    /// The address for users and apps.
    pub fn public_addr(&self) -> SocketAddr {
        self.public_addr
    }

    /// The address for the operator.
    pub fn management_addr(&self) -> SocketAddr {
        self.management.local_addr()
    }

    /// Also listens on another address, if the machine has it.
    pub async fn also_listen_if_possible(&mut self, address: SocketAddr) {
        if let Ok(listener) = listen(address).await {
            self.public.push(listener);
        }
    }

    /// The use cases.
    pub fn broker(&self) -> Arc<Broker> {
        Arc::clone(&self.broker)
    }

    /// Serves until `stop` resolves. Then it first reports that it is not ready, for as long as load balancers need to
    /// notice; then it finishes what is under way, and at the deadline cuts off the rest.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let (leaving, drain, last) = (Drain::default(), Drain::default(), Drain::default());
        let jobs = jobs::start(&self.broker);
        let watch = tokio::spawn(Arc::clone(&self.certificates).watch(WATCH_CERTIFICATES));
        let log = RequestLog::new(Arc::clone(&self.metrics), Arc::clone(&self.random));
        let router = web::router(self.web).layer(log);
        let tls = Transport::Tls(Arc::clone(&self.certificates));
        let mut public = JoinSet::new();
        for listener in self.public {
            let settings = self.settings.clone();
            public.spawn(listener.serve(tls.clone(), router.clone(), settings, drain.clone()));
        }
        let redirect = self.redirect.map(|listener| {
            let handler = net::to_public_url(&self.issuer);
            tokio::spawn(listener.serve(Transport::Plain, handler, self.settings.clone(), drain.clone()))
        });
        let management = {
            let (broker, leaving, metrics) =
                (Arc::clone(&self.broker), leaving.clone(), Arc::clone(&self.metrics));
            let ready = move || {
                let (broker, draining) = (Arc::clone(&broker), leaving.has_begun());
                async move { readiness(&broker, draining).await }
            };
            let handler = net::management(ready, move || metrics.render());
            // Its sockets come from the reserve, so that clients cannot shut the operator out.
            let sockets = net::Sockets::new(MANAGEMENT_SOCKETS, MANAGEMENT_SOCKETS);
            let settings = net::Settings { sockets, ..self.settings };
            tokio::spawn(self.management.serve(Transport::Plain, handler, settings, last.clone()))
        };
        stop.await;
        tracing::info!("draining");
        leaving.begin(self.notice);
        leaving.expired().await;
        drain.begin(self.patience);
        while public.join_next().await.is_some() {}
        if let Some(redirect) = redirect {
            let _ = redirect.await;
        }
        last.begin(Duration::from_secs(1));
        let _ = management.await;
        watch.abort();
        // The jobs end here, so the database gets no more work.
        drop(jobs);
        self.broker.housekeeping.close().await;
    }
}

/// A configured number as a size in memory.
fn widen(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The networks of this machine itself.
fn loopback() -> Vec<IpNet> {
    let networks = [
        (std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8),
        (std::net::IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), 128),
    ];
    networks.into_iter().filter_map(|(address, prefix)| IpNet::new(address, prefix).ok()).collect()
}

async fn listen(address: SocketAddr) -> Result<Listener, AppError> {
    Listener::bind(address).await.map_err(|cause| AppError::Bind { address, cause })
}

async fn readiness(broker: &Broker, draining: bool) -> Result<(), String> {
    if draining {
        return Err("draining".to_owned());
    }
    match tokio::time::timeout(READY_WITHIN, broker.housekeeping.is_ready()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready");
            Err("the database cannot be read or written".to_owned())
        }
        Err(_) => Err("the database does not answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_spans_of_the_configuration_reach_the_use_cases() {
        let variables = [
            ("COUNTERSIGN__OUTBOUND__JWKS_MAX_STALE", "90m"),
            ("COUNTERSIGN__OUTBOUND__TIMEOUT", "3s"),
            ("COUNTERSIGN__LIMITS__STATE_BYTES", "100"),
            ("COUNTERSIGN__LIMITS__ORGANIZATION_APPS", "7"),
        ];
        let config = Config::load(None, variables.into_iter()).unwrap();
        let settings = flow_settings(&config).unwrap();
        assert_eq!(settings.upstream.jwks_max_stale, Duration::from_mins(90));
        assert_eq!(settings.upstream.egress.total_timeout, Duration::from_secs(3));
        assert_eq!((settings.state_bytes, settings.limits.apps), (100, 7));
    }
}
