//! A broker of its own for each start of the bench: certificates, configuration, database, organizations, process.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;

use crate::agent::{HOST_NAME, ISSUER, Target};
use crate::idp::{CLIENT_ID, CLIENT_SECRET, HANG, Idp};
use crate::populate::{self, DatabaseUrl};
use crate::{Arguments, measure};

/// Organizations with a connection and a domain that every world has.
pub const BASE_ORGANIZATIONS: usize = 10;

/// Accounts of each of them; of further ones, ten.
pub const BASE_ACCOUNTS: usize = 100;

/// Organizations after `--populate`.
pub const MANY_ORGANIZATIONS: usize = 100_000;

/// The app.
pub const APP: &str = "app";

/// Its secret.
pub const APP_SECRET: &str = "app-secret-0123456789";

/// Where its answers go.
pub const REDIRECT_URI: &str = "https://app.test/callback";

/// The password of every account.
pub const PASSWORD: &str = "Correct7horse";

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_mins(1);

enum Folder {
    Kept(PathBuf),
    Gone(TempDir),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Gone(folder) => folder.path(),
        }
    }
}

/// The running broker.
struct Server {
    child: Child,
    public: SocketAddr,
    management: SocketAddr,
}

/// A broker with its provider and database.
pub struct World {
    folder: Folder,
    program: PathBuf,
    /// Where each node runs.
    cores: Vec<String>,
    database: DatabaseUrl,
    tls: Arc<ClientConfig>,
    /// The certificate that the broker shows, for those who show the same.
    pub server_tls: (PathBuf, PathBuf),
    servers: RefCell<Vec<Server>>,
    /// The provider.
    pub idp: Rc<Idp>,
    /// Over how many organizations requests go.
    pub spread: usize,
}

impl World {
    /// Makes everything and starts the broker.
    pub async fn start(arguments: &Arguments) -> Result<Self> {
        let folder = match &arguments.folder {
            Some(path) => Folder::Kept(path.clone()),
            None => Folder::Gone(tempfile::tempdir()?),
        };
        let path = folder.path().to_owned();
        fs::create_dir_all(&path)?;
        let authority = authority()?;
        let (certificate, key) = issue(&authority, &path.join("certs"), HOST_NAME)?;
        let (idp_certificate, idp_key) = issue(&authority, &path.join("idp"), "localhost")?;
        fs::write(path.join("ca.pem"), authority.pem())?;
        let database = DatabaseUrl::make(&arguments.database, &path).await?;
        fs::write(path.join("countersign.toml"), config(&path, &database, &arguments.synchronous))?;
        let idp = Idp::start(server_config(&idp_certificate, &idp_key)?, arguments.end_session).await?;
        fs::write(path.join("world.toml"), document(arguments, idp.issuer()))?;
        let program = arguments.server.clone().unwrap_or_else(|| env!("CARGO_BIN_EXE_countersign").into());
        let world = Self {
            tls: client_config(authority.pem().as_bytes())?,
            server_tls: (certificate, key),
            cores: arguments.server_core.split(';').map(str::to_owned).collect(),
            servers: RefCell::default(),
            spread: arguments.spread,
            folder,
            program,
            database,
            idp,
        };
        world.fill(arguments.populate, usize::from(arguments.profiles)).await?;
        world.begin()?;
        Ok(world)
    }

    fn config_file(&self) -> PathBuf {
        self.folder.path().join("countersign.toml")
    }

    async fn fill(&self, many: bool, profiles: usize) -> Result<()> {
        let mut apply = Command::new(&self.program);
        apply.arg("--config").arg(self.config_file()).arg("apply").arg(self.folder.path().join("world.toml"));
        measure::quietly(&mut apply)?;
        let wanted = if many { MANY_ORGANIZATIONS } else { BASE_ORGANIZATIONS };
        if self.spread > wanted {
            bail!("--spread is {}, but there are {wanted} organizations; see --populate", self.spread);
        }
        let began = Instant::now();
        populate::fill(&self.database, wanted, profiles).await?;
        if many {
            eprintln!("populated in {:.0} s", began.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// Starts the broker, all its nodes; gives the time from there to ready.
    pub fn begin(&self) -> Result<Duration> {
        let began = Instant::now();
        for cores in &self.cores {
            let server = self.begin_node(cores)?;
            self.servers.borrow_mut().push(server);
        }
        Ok(began.elapsed())
    }

    fn begin_node(&self, cores: &str) -> Result<Server> {
        let log = File::options().create(true).append(true).open(self.folder.path().join("server.log"))?;
        let mut command = measure::on_cores(cores, &self.program)?;
        command.arg("--config").arg(self.config_file()).arg("serve");
        let began = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().context("no process")?;
        let stdout = child.stdout.take().context("no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let Some((public, management)) = addresses(&line) else {
            let log = fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
            bail!("the broker said {line:?}\n{log}");
        };
        while !is_ready(management) {
            if began.elapsed() > PATIENCE {
                bail!("the broker is not ready");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Server { child, public, management })
    }

    /// Ends the broker as an operator would.
    pub fn end(&self) -> Result<()> {
        for mut server in self.servers.take() {
            measure::quietly(Command::new("kill").arg(server.child.id().to_string()))?;
            let began = Instant::now();
            while server.child.try_wait()?.is_none() {
                if began.elapsed() > PATIENCE {
                    server.child.kill()?;
                    bail!("the broker did not end");
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    /// Ends the broker and drops its database.
    pub async fn stop(&self) -> Result<()> {
        self.end()?;
        self.database.drop().await
    }

    /// Seconds of computing time of all nodes together.
    pub fn cpu_seconds(&self) -> Result<f64> {
        self.servers.borrow().iter().map(|server| measure::cpu_seconds(server.child.id())).sum()
    }

    /// Resident memory of the largest node, in MiB.
    pub fn resident_mib(&self) -> Result<f64> {
        let servers = self.servers.borrow();
        let mut sizes = servers.iter().map(|server| measure::resident_mib(server.child.id()));
        sizes.try_fold(0.0, |largest, size| Ok(f64::max(largest, size?)))
    }

    /// How many statements held a thread of the first node for at most so many seconds, by that bound; the last bound
    /// is infinite. Empty if the node has no such statements.
    pub fn statement_seconds(&self) -> Result<Vec<(f64, u64)>> {
        let servers = self.servers.borrow();
        let metrics = ask(servers.first().context("the broker does not run")?.management, "/metrics")?;
        let buckets = metrics.lines().filter_map(|line| {
            let rest = line.strip_prefix("countersign_database_statement_seconds_bucket{le=\"")?;
            let (bound, count) = rest.split_once("\"} ")?;
            Some((bound.replace("+Inf", "inf").parse().ok()?, count.parse().ok()?))
        });
        Ok(buckets.collect())
    }

    /// Where the client with this number connects: clients are dealt to the nodes in turn.
    pub fn target(&self, number: usize) -> Result<Target> {
        let servers = self.servers.borrow();
        let server = servers.get(number % servers.len().max(1)).context("the broker does not run")?;
        Ok(Target { address: server.public, tls: Arc::clone(&self.tls) })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for mut server in self.servers.take() {
            // On the way out of an error there is no caller to tell.
            let _ = server.child.kill();
            let _ = server.child.wait();
        }
    }
}

/// The name of an organization, its domain without `.test`.
pub fn organization(number: usize) -> String {
    format!("org-{number:06}")
}

/// The username of an account of an organization.
pub fn username(organization: usize, account: usize) -> String {
    format!("user-{organization:06}-{account:02}")
}

/// The two addresses in the line that the broker prints when it serves.
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (_, rest) = line.trim_end().split_once(" on ")?;
    let (public, management) = rest.split_once("; health and metrics on ")?;
    Some((public.parse().ok()?, management.parse().ok()?))
}

fn is_ready(management: SocketAddr) -> bool {
    ask(management, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// The whole answer of the management listener, head and body.
fn ask(management: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(management)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn issue(
    authority: &CertifiedIssuer<'static, KeyPair>,
    folder: &Path,
    host: &str,
) -> Result<(PathBuf, PathBuf)> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![host.to_owned()])?.signed_by(&key, authority)?;
    fs::create_dir_all(folder)?;
    let paths = (folder.join("default.crt"), folder.join("default.key"));
    fs::write(&paths.0, certificate.pem())?;
    fs::write(&paths.1, key.serialize_pem())?;
    Ok(paths)
}

/// TLS of a server that shows this certificate.
pub fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let chain = vec![CertificateDer::from_pem_file(certificate)?];
    let config = ServerConfig::builder().with_no_client_auth();
    Ok(Arc::new(config.with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?))
}

/// TLS of a client that trusts the authority. It resumes nothing: each handshake is a whole one.
fn client_config(authority: &[u8]) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority) {
        roots.add(certificate?)?;
    }
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

fn config(folder: &Path, database: &DatabaseUrl, synchronous: &str) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    format!(
        r#"[server]
public_url = "{ISSUER}"
listen = "127.0.0.1:0"
management_listen = "127.0.0.1:0"
drain_timeout = "5s"

[tls]
certs_dir = "{certs}"

[database]
url = "{url}"
synchronous = "{synchronous}"

[secrets]
master_key_file = "{master}"

[outbound]
allow = ["127.0.0.0/8", "::1/128"]
extra_ca_file = "{ca}"
"#,
        certs = path("certs"),
        url = database.url(),
        master = path("master.key"),
        ca = path("ca.pem"),
    )
}

/// The organizations to apply. The first one's account is the pattern for all others.
fn document(arguments: &Arguments, issuer: &str) -> String {
    let mut text = format!(
        r#"
[[organizations]]
handle = "bench"
name = "Bench"

[[organizations.apps]]
client_id = "{APP}"
name = "App"
client_secret = "{APP_SECRET}"
redirect_uris = ["{REDIRECT_URI}"]
audience = "any"
id_token_alg = "{}"
"#,
        arguments.id_token.name()
    );
    let userinfo = arguments.upstream_calls == 2;
    for number in 0..=BASE_ORGANIZATIONS {
        // The one after the base is the one whose provider hangs.
        let (handle, issuer) = if number < BASE_ORGANIZATIONS {
            (organization(number), issuer.to_owned())
        } else {
            ("hang".to_owned(), format!("{issuer}{HANG}"))
        };
        let _ = write!(
            text,
            r#"
[[organizations]]
handle = "{handle}"
name = "{handle}"
domains = [{{ name = "{handle}.test", connection = "sso" }}]

[[organizations.connections]]
handle = "sso"
name = "SSO"
issuer = "{issuer}"
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
always_userinfo = {userinfo}
"#
        );
        if number == 0 {
            let _ = write!(
                text,
                "\n[[organizations.accounts]]\nusername = \"pattern\"\npassword = \"{PASSWORD}\"\n"
            );
        }
    }
    text
}
