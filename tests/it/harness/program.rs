//! The real program as a process of its own, which a test may kill.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use countersign::app::Environment;
use countersign::emulator::{Faults, Vendor};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use url::Url;

use super::app::{LOOPBACK, start_provider, write_config};
use super::browser::{Browser, Network};
use super::database::{Kind, TestDatabase};
use super::pki::Authority;
use super::relying_app::RelyingApp;
use super::time::SeededRandom;
use super::world::{document, provider_directory, relying_apps};

/// The world of [`super::world`] with `countersign serve` in it, on `SQLite` with `synchronous = "full"`.
pub struct Program {
    pub network: Network,
    pub notes: RelyingApp,
    pub wiki: RelyingApp,
    pub management: SocketAddr,
    pub database: TestDatabase,
    config: PathBuf,
    folder: TempDir,
    child: Option<Child>,
}

impl Program {
    /// Declares the world and starts the program.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        authority.issue(&folder.path().join("certs"), "id", &["id.test"]);
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let database = TestDatabase::new(Kind::Sqlite).await;
        let config = write_config(&folder, &database.settings.url, LOOPBACK);
        let (public, management) = (free_port(), free_port());
        let text = std::fs::read_to_string(&config).unwrap();
        let text = text
            .replacen("127.0.0.1:0", &public.to_string(), 1)
            .replacen("127.0.0.1:0", &management.to_string(), 1)
            .replace("synchronous = \"normal\"", "synchronous = \"full\"")
            .replace("drain_notice = \"0s\"", "drain_notice = \"2s\"");
        std::fs::write(&config, text).unwrap();
        let mut network = Network::new(&authority.pem());
        network.add("id.test", public);
        let clock = Environment::of_this_machine().clock;
        let random = Arc::new(SeededRandom::new(9));
        let (idp, _) = start_provider(
            (Vendor::Okta, Faults::default()),
            |_| provider_directory(),
            (clock, random),
            &authority,
            folder.path(),
        )
        .await;
        network.add(idp.authority(), (Ipv4Addr::LOCALHOST, idp.port().unwrap()).into());
        let (notes, wiki) = relying_apps(&network);
        let mut program = Self { network, notes, wiki, management, database, config, folder, child: None };
        program.apply(&idp).await;
        program.restart().await;
        program
    }

    async fn apply(&self, idp: &Url) {
        let file = self.folder.path().join("world.toml");
        std::fs::write(&file, document(idp.as_str().trim_end_matches('/'), "", "")).unwrap();
        let done = self.command(&["apply"]).arg(file).output().await.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// A command of the program. What the tests may do to it (a limit on files) must be an error, not its death.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_countersign")]);
        command.args(arguments).arg("--config").arg(&self.config).kill_on_drop(true);
        command
    }

    /// Starts `serve`; returns when it listens.
    pub async fn restart(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let mut child = self.command(&["serve"]).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(Duration::from_mins(1), lines.next_line()).await.expect("it starts");
        let line = line.unwrap().unwrap_or_default();
        assert!(line.contains("serves"), "{line}: {}", std::fs::read_to_string(self.log()).unwrap());
        self.child = Some(child);
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("program.log")
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id().unwrap()
    }

    /// `kill -9`.
    pub async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    /// Waits for the process to end by itself.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().unwrap();
        tokio::time::timeout(Duration::from_mins(1), child.wait()).await.expect("it ends").unwrap()
    }

    pub fn browser(&self) -> Browser {
        Browser::new(&self.network)
    }

    /// The number of rows of `TABLE WHERE …`.
    pub async fn count(&self, what: &'static str) -> i64 {
        self.database.count_rows(&[what]).await[what]
    }
}

/// An address of loopback that nobody uses now.
fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
