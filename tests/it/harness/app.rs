//! The real broker on its real listener, with a clock that the test moves; and identity providers beside it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use countersign::app::{App, Environment};
use countersign::config::Config;
use countersign::crypto::keys::SigningKey;
use countersign::emulator::{self, Directory};
use countersign::flows::Broker;
use countersign::model::{Caller, Clock, Random, SigningAlg};
use countersign::net::{self, Certificates, Drain, Listener, Transport};
use countersign::store::Database;
use countersign::store::audit::{AuditRecord, AuditSelection, list_audit};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use url::Url;

use super::browser::{Browser, Network};
use super::database::{Held, Kind, TestDatabase};
use super::hostile::Hostile;
use super::pki::Authority;
use super::time::{ManualClock, SeededRandom};

/// The broker's issuer in tests.
pub const ISSUER: &str = "https://id.test";

/// Outgoing calls may reach this machine.
pub(super) const LOOPBACK: &str = "allow = [\"127.0.0.0/8\", \"::1/128\"]";

/// Another node of the deployment; it drains when this is dropped.
pub struct Node {
    pub broker: Arc<Broker>,
    pub network: Network,
    _stop: oneshot::Sender<()>,
}

/// The broker, serving.
pub struct TestApp {
    pub broker: Arc<Broker>,
    pub network: Network,
    pub clock: Arc<ManualClock>,
    pub random: Arc<SeededRandom>,
    pub management: std::net::SocketAddr,
    /// The key of the identity provider that was emulated last, to sign what it would sign.
    pub idp_key: Option<SigningKey>,
    /// What goes wrong at the identity providers that were emulated.
    pub idp_faults: emulator::Faults,
    authority: Authority,
    pub database: TestDatabase,
    settings: Vec<(String, String)>,
    nodes: AtomicU64,
    folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl TestApp {
    /// A broker on an empty database. It may call this machine.
    pub async fn new(kind: Kind) -> Self {
        Self::start(kind, LOOPBACK, &[]).await
    }

    /// The same, with these rules for outgoing calls.
    pub async fn with_outbound(kind: Kind, outbound: &str) -> Self {
        Self::start(kind, outbound, &[]).await
    }

    /// With further settings, as `COUNTERSIGN__…` variables.
    pub async fn configured(kind: Kind, settings: &[(&str, &str)]) -> Self {
        Self::start(kind, LOOPBACK, settings).await
    }

    async fn start(kind: Kind, outbound: &str, settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::new(kind).await;
        let url = database.settings.url.clone();
        Self::begin(database, &url, outbound, settings).await
    }

    /// A broker that reaches its database by this URL, which may lead through something that fails.
    pub async fn on(database: TestDatabase, url: &str) -> Self {
        Self::begin(database, url, LOOPBACK, &[]).await
    }

    async fn begin(database: TestDatabase, url: &str, outbound: &str, settings: &[(&str, &str)]) -> Self {
        let settings: Vec<(String, String)> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        authority.issue(&folder.path().join("certs"), "id", &["id.test"]);
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let config = write_config(&folder, url, outbound);
        let config = Config::load(Some(&config), settings.clone().into_iter())
            .unwrap_or_else(|errors| panic!("{errors}"));
        let clock = Arc::new(ManualClock::new());
        let random = Arc::new(SeededRandom::new(7));
        let environment = Environment { clock: clock.clone(), random: random.clone() };
        let app = App::bind(&config, environment).await.unwrap_or_else(|error| panic!("{error}"));
        let mut network = Network::new(&authority.pem());
        network.add("id.test", app.public_addr());
        let (stop, stopped) = oneshot::channel();
        let (broker, management) = (app.broker(), app.management_addr());
        let serving = tokio::spawn(app.serve(async {
            let _ = stopped.await;
        }));
        Self {
            broker,
            network,
            clock,
            random,
            management,
            idp_key: None,
            idp_faults: emulator::Faults::default(),
            authority,
            database,
            settings,
            nodes: AtomicU64::new(0),
            folder,
            stop: Some(stop),
            serving: Some(serving),
        }
    }

    /// Puts a new certificate for these hosts where the broker looks for its own; gives the pair's folder.
    pub fn issue_certificate(&self, name: &str, hosts: &[&str]) -> PathBuf {
        let folder = self.folder.path().join("certs");
        self.authority.issue(&folder, name, hosts);
        folder
    }

    /// A browser in which no account has signed in yet.
    pub fn browser(&self) -> Browser {
        Browser::new(&self.network)
    }

    /// Declares organizations as the operator would.
    pub async fn apply(&self, document: &str) {
        let files = [("test.toml".to_owned(), document.to_owned())];
        self.broker
            .organizations
            .apply(Caller::Operator(None), &files, false)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// A second node on the same database, reached under the same issuer through a network of its own.
    pub async fn second_node(&self) -> Node {
        let file = self.folder.path().join("countersign.toml");
        let config = Config::load(Some(&file), self.settings.clone().into_iter())
            .unwrap_or_else(|errors| panic!("{errors}"));
        // No two nodes make the same ids.
        let random = Arc::new(SeededRandom::new(8 + self.nodes.fetch_add(1, Ordering::SeqCst)));
        let environment = Environment { clock: self.clock.clone(), random };
        let app = App::bind(&config, environment).await.unwrap_or_else(|error| panic!("{error}"));
        let mut network = self.network.clone();
        network.add("id.test", app.public_addr());
        let broker = app.broker();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(app.serve(async {
            let _ = stopped.await;
        }));
        Node { broker, network, _stop: stop }
    }

    /// Runs one statement without the broker, to break what it depends on.
    pub async fn run_statement(&self, statement: &'static str) {
        self.database.run(statement).await;
    }

    /// Every byte that the database has kept.
    pub async fn everything_stored(&self) -> Vec<u8> {
        self.database.everything_stored().await
    }

    /// Runs statements behind the broker's back in one transaction, and leaves it open.
    pub async fn hold(&self, statements: &[&'static str]) -> Held {
        self.database.hold(statements).await
    }

    /// The file that the broker was configured by, for commands on the same database.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("countersign.toml")
    }

    /// How many rows each of these tables holds.
    pub async fn count_rows(&self, tables: &[&'static str]) -> std::collections::BTreeMap<&'static str, i64> {
        self.database.count_rows(tables).await
    }

    /// A second connection to the same database, for evidence only.
    pub async fn evidence(&self) -> Database {
        self.database.open().await
    }

    /// The whole audit log, oldest first.
    pub async fn audit(&self) -> Vec<AuditRecord> {
        let database = self.evidence().await;
        let mut tx = database.read().await.unwrap();
        list_audit(&mut tx, AuditSelection::All, "", 10_000).await.unwrap()
    }

    /// The reasons of the refusals in the audit log, oldest first.
    pub async fn refusals(&self) -> Vec<String> {
        self.audit().await.into_iter().filter_map(|record| record.reason).collect()
    }

    /// Starts an emulated identity provider on `https://localhost:PORT`; gives its base URL.
    pub async fn emulate(&mut self, vendor: emulator::Vendor, directory: impl FnOnce(&str) -> String) -> Url {
        let (url, key) = start_provider(
            (vendor, self.idp_faults.clone()),
            directory,
            (self.clock.clone(), self.random.clone()),
            &self.authority,
            self.folder.path(),
        )
        .await;
        self.idp_key = Some(key);
        self.network.add(url.authority(), (Ipv4Addr::LOCALHOST, url.port().unwrap()).into());
        url
    }

    /// Serves a router of a test's own on `https://localhost:PORT`; gives that URL, without a slash at the end.
    pub async fn serve(&mut self, router: axum::Router) -> String {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr();
        let certs = self.folder.path().join(format!("served-{}", address.port()));
        self.authority.issue(&certs, "default", &["localhost"]);
        let transport = Transport::Tls(Arc::new(Certificates::load(&certs).unwrap()));
        tokio::spawn(listener.serve(transport, router, net::Settings::default(), Drain::default()));
        let host = format!("localhost:{}", address.port());
        self.network.add(&host, address);
        format!("https://{host}")
    }

    /// Starts a hostile identity provider on `https://localhost:PORT`.
    pub async fn hostile(&mut self) -> Hostile {
        let hostile = Hostile::start(&self.authority, &self.clock).await;
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], hostile.port));
        self.network.add(&format!("localhost:{}", hostile.port), address);
        hostile
    }

    /// Ends the broker without a word: nothing is drained, nothing is closed.
    pub fn kill(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }

    /// Drains the broker.
    pub async fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(serving) = self.serving.take() {
            tokio::time::timeout(Duration::from_secs(20), serving).await.expect("drained").unwrap();
        }
    }
}

/// Starts an emulated identity provider; gives its base URL, and its key once more.
pub(super) async fn start_provider(
    (vendor, faults): (emulator::Vendor, emulator::Faults),
    directory: impl FnOnce(&str) -> String,
    (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
    authority: &Authority,
    folder: &Path,
) -> (Url, SigningKey) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let port = listener.local_addr().port();
    let base = format!("https://localhost:{port}");
    let directory = Directory::from_toml(&directory(&base)).unwrap_or_else(|errors| panic!("{errors:?}"));
    let key = SigningKey::generate(SigningAlg::RS256, "idp-key".to_owned()).unwrap();
    let pkcs8 = key.to_pkcs8().unwrap();
    let same_key = SigningKey::from_pkcs8(SigningAlg::RS256, "idp-key".to_owned(), &pkcs8).unwrap();
    let base_url = Url::parse(&base).unwrap();
    let settings = emulator::idp::Settings {
        vendor,
        base_url: base_url.clone(),
        directory,
        response_iss: true,
        faults,
        clock,
        random,
        key,
    };
    let router = emulator::idp::router(settings);
    let certs = folder.join(format!("idp-{port}"));
    authority.issue(&certs, "default", &["localhost"]);
    let transport = Transport::Tls(Arc::new(Certificates::load(&certs).unwrap()));
    tokio::spawn(listener.serve(transport, router, net::Settings::default(), Drain::default()));
    (base_url, same_key)
}

pub(super) fn write_config(folder: &TempDir, url: &str, outbound: &str) -> PathBuf {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let text = format!(
        r#"
[server]
public_url = "{ISSUER}"
listen = "127.0.0.1:0"
management_listen = "127.0.0.1:0"
drain_notice = "0s"
drain_timeout = "5s"

[tls]
certs_dir = "{certs}"

[database]
url = "{url}"
max_connections = 8
synchronous = "normal"

[secrets]
master_key_file = "{master}"

[outbound]
{outbound}
extra_ca_file = "{ca}"
"#,
        certs = path("certs"),
        master = path("master.key"),
        ca = path("ca.pem"),
    );
    let file = folder.path().join("countersign.toml");
    std::fs::write(&file, text).unwrap();
    file
}
