//! The real program as a process of its own, which a test may kill.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::app::Environment;
use countersign::emulator::{Faults, Vendor};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use super::app::{LOOPBACK, start_provider, write_config};
use super::browser::{Browser, Network};
use super::database::{Kind, TestDatabase};
use super::pki::Authority;
use super::relying_app::RelyingApp;
use super::time::SeededRandom;
use super::world::{document, provider_directory, relying_apps};

/// The world of [`super::world`] with one or more nodes of `countersign serve` on one database; `SQLite` with
/// `synchronous = "full"`.
pub struct Program {
    pub network: Network,
    pub notes: RelyingApp,
    pub wiki: RelyingApp,
    pub database: TestDatabase,
    pub nodes: Vec<Node>,
    _folder: TempDir,
}

/// One process, which a test may end and start again.
pub struct Node {
    pub public: SocketAddr,
    pub management: SocketAddr,
    config: PathBuf,
    log: PathBuf,
    program: PathBuf,
    child: Option<Child>,
}

/// The program that these tests were built with.
pub const THIS_PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");

impl Program {
    /// Declares the world and starts one node, which people reach directly.
    pub async fn start(kind: Kind) -> Self {
        let mut program = Self::with_nodes(kind, 1).await;
        let public = program.nodes[0].public;
        program.reached_at(public);
        program
    }

    /// Declares the world and starts this many nodes. No client can reach them until [`reached_at`](Self::reached_at)
    /// names an address.
    pub async fn with_nodes(kind: Kind, count: usize) -> Self {
        Self::on(TestDatabase::new(kind).await, count).await
    }

    /// The same on a database that a test has made.
    pub async fn on(database: TestDatabase, count: usize) -> Self {
        let mut program = Self::declared(database, &vec![Path::new(THIS_PROGRAM); count]).await;
        for node in &mut program.nodes {
            node.restart().await;
        }
        program
    }

    /// Declares the world for a node of each of these programs, by the first of them. None is started.
    pub async fn declared(database: TestDatabase, programs: &[&Path]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        authority.issue(&folder.path().join("certs"), "id", &["id.test"]);
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let text = std::fs::read_to_string(write_config(&folder, &database.settings.url, LOOPBACK)).unwrap();
        let numbered = programs.iter().enumerate();
        let nodes: Vec<Node> =
            numbered.map(|(number, program)| Node::new(folder.path(), number, &text, program)).collect();
        let mut network = Network::new(&authority.pem());
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
        let file = folder.path().join("world.toml");
        std::fs::write(&file, document(idp.as_str().trim_end_matches('/'), "", "")).unwrap();
        nodes[0].apply(&file).await;
        Self { network, notes, wiki, database, nodes, _folder: folder }
    }

    /// Where people and apps reach the broker.
    pub fn reached_at(&mut self, public: SocketAddr) {
        self.network.add("id.test", public);
        (self.notes, self.wiki) = relying_apps(&self.network);
    }

    /// The first node.
    pub fn node(&mut self) -> &mut Node {
        &mut self.nodes[0]
    }

    pub fn browser(&self) -> Browser {
        Browser::new(&self.network)
    }

    /// The number of rows of `TABLE WHERE …`.
    pub async fn count(&self, what: &'static str) -> i64 {
        self.database.count_rows(&[what]).await[what]
    }
}

impl Node {
    fn new(folder: &Path, number: usize, config: &str, program: &Path) -> Self {
        let (public, management) = (free_port(), free_port());
        let text = config
            .replacen("127.0.0.1:0", &public.to_string(), 1)
            .replacen("127.0.0.1:0", &management.to_string(), 1)
            .replace("synchronous = \"normal\"", "synchronous = \"full\"")
            .replace("drain_notice = \"0s\"", "drain_notice = \"2s\"");
        let config = folder.join(format!("node-{number}.toml"));
        std::fs::write(&config, text).unwrap();
        let (log, program) = (folder.join(format!("node-{number}.log")), program.to_owned());
        Self { public, management, config, log, program, child: None }
    }

    async fn apply(&self, file: &Path) {
        let done = self.command(&["apply"]).arg(file).output().await.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// A command of the program. What the tests may do to it (a limit on files) must be an error, not its death.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(&self.program);
        command.args(arguments).arg("--config").arg(&self.config).kill_on_drop(true);
        command
    }

    /// Starts `serve`; returns when it listens.
    pub async fn restart(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(&self.log).unwrap();
        let mut child = self.command(&["serve"]).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(Duration::from_mins(1), lines.next_line()).await.expect("it starts");
        let line = line.unwrap().unwrap_or_default();
        assert!(line.contains("serves"), "{line}: {}", std::fs::read_to_string(&self.log).unwrap());
        self.child = Some(child);
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id().unwrap()
    }

    /// `kill -9`.
    pub async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    /// Asks it to leave, as an operator does.
    pub fn ask_to_leave(&self) {
        let process = Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap();
        kill_process(process, Signal::TERM).unwrap();
    }

    /// Waits for the process to end by itself.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().unwrap();
        tokio::time::timeout(Duration::from_mins(1), child.wait()).await.expect("it ends").unwrap()
    }
}

/// What `/readyz` says, if anybody is there.
pub async fn readiness(management: SocketAddr) -> Option<String> {
    ask(management, "/readyz").await
}

/// How many requests a node has answered since it was started.
pub async fn requests(management: SocketAddr) -> u64 {
    let metrics = ask(management, "/metrics").await.expect("the node is there");
    let counters = metrics.lines().filter(|line| line.starts_with("countersign_http_requests_total"));
    counters.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

async fn ask(management: SocketAddr, path: &str) -> Option<String> {
    let mut socket = TcpStream::connect(management).await.ok()?;
    let ask = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(ask.as_bytes()).await.ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// Deals connections to the nodes that say they are ready, asked four times a second; gives where it listens. It ends
/// with the test's runtime.
pub async fn balanced(nodes: &[Node]) -> SocketAddr {
    let nodes: Vec<_> = nodes.iter().map(|node| (node.public, node.management)).collect();
    let ready = Arc::new(Mutex::new(ready_of(&nodes).await));
    let known = Arc::clone(&ready);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let found = ready_of(&nodes).await;
            *known.lock().unwrap() = found;
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut turn = 0;
        while let Ok((mut client, _)) = listener.accept().await {
            let ready = ready.lock().unwrap().clone();
            turn += 1;
            let Some(node) = ready.get(turn % ready.len().max(1)).copied() else { continue };
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(node).await {
                    // Whichever ends first ends both.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    address
}

/// The public addresses of the nodes that say they are ready.
async fn ready_of(nodes: &[(SocketAddr, SocketAddr)]) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for (public, management) in nodes {
        if readiness(*management).await.is_some_and(|said| said.starts_with("HTTP/1.1 200")) {
            found.push(*public);
        }
    }
    found
}

/// A loopback address that is free now. Its port is below those that Linux assigns to connections by itself, so none
/// of these takes it before a node listens there, or while the node restarts.
fn free_port() -> SocketAddr {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(61).wrapping_add(TAKEN.fetch_add(1, Ordering::SeqCst));
        let port = 10_000 + u16::try_from(number % 10_000).unwrap();
        if let Ok(listener) = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return listener.local_addr().unwrap();
        }
    }
}
