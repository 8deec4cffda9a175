//! A way to a server that fails when a test says so.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A TCP proxy on loopback; it ends with the test's runtime.
pub struct Proxy {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    target: Mutex<SocketAddr>,
    /// Counts up when every connection must be cut.
    cut: watch::Sender<usize>,
    closed: AtomicBool,
    /// Whether every byte is swallowed: nothing is delivered, and neither side is told.
    silent: watch::Sender<bool>,
    /// Whether the next COMMIT makes the network silent before it is delivered.
    silent_from_commit: AtomicBool,
    /// Of how many COMMITs from now on the last one goes through, and its answer does not; 0 is of none.
    swallow_commit: AtomicUsize,
    swallowed: AtomicUsize,
    commits: AtomicUsize,
}

/// How `PostgreSQL`'s simple query protocol says it.
const COMMIT: &[u8] = b"COMMIT\0";

impl Proxy {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            target: Mutex::new(target),
            cut: watch::Sender::new(0),
            closed: AtomicBool::new(false),
            silent: watch::Sender::new(false),
            silent_from_commit: AtomicBool::new(false),
            swallow_commit: AtomicUsize::new(0),
            swallowed: AtomicUsize::new(0),
            commits: AtomicUsize::new(0),
        });
        let for_task = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !for_task.closed.load(Ordering::SeqCst) {
                    tokio::spawn(connection(client, Arc::clone(&for_task)));
                }
            }
        });
        Self { address, state }
    }

    /// Cuts every connection, and takes no new ones until [`open`](Self::open).
    pub fn close(&self) {
        self.state.closed.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Cuts every connection; new ones are taken.
    pub fn cut(&self) {
        self.state.cut.send_modify(|cuts| *cuts += 1);
    }

    pub fn open(&self) {
        self.state.closed.store(false, Ordering::SeqCst);
    }

    /// Swallows every byte of both sides from now on, without a word. New connections are taken, and lead nowhere.
    pub fn fall_silent(&self) {
        self.state.silent.send_replace(true);
    }

    /// The same from the next COMMIT on, which the server does not see any more.
    pub fn fall_silent_at_commit(&self) {
        self.state.silent_from_commit.store(true, Ordering::SeqCst);
    }

    pub fn is_silent(&self) -> bool {
        *self.state.silent.borrow()
    }

    /// Serves new connections again. Those that have fallen silent stay so: what they lost does not come back.
    pub fn speak(&self) {
        self.state.silent.send_replace(false);
    }

    /// Leads new connections to another server.
    pub fn turn_to(&self, target: SocketAddr) {
        *self.state.target.lock().unwrap() = target;
    }

    /// Waits until nothing is committed any more of what runs beside the requests.
    pub async fn settled(&self) {
        let commits = || self.state.commits.load(Ordering::SeqCst);
        let mut before = commits();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = commits();
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// Lets the COMMIT with this number from now on through to the server, and cuts its connection instead of bringing
    /// the answer back.
    pub fn swallow_commit(&self, number: usize) {
        self.state.swallow_commit.store(number, Ordering::SeqCst);
    }

    /// How many answers to a COMMIT were swallowed.
    pub fn swallowed(&self) -> usize {
        self.state.swallowed.load(Ordering::SeqCst)
    }
}

impl State {
    /// Counts a COMMIT.
    fn is_to_swallow(&self) -> bool {
        let count = |left: usize| left.checked_sub(1);
        self.swallow_commit.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) == Ok(1)
    }
}

async fn connection(mut client: TcpStream, state: Arc<State>) {
    let target = *state.target.lock().unwrap();
    let mut cut = state.cut.subscribe();
    cut.mark_unchanged();
    let mut silent = state.silent.subscribe();
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            _ = cut.changed() => return,
            () = silence(&mut silent) => return swallow(client, server).await,
            read = client.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &up[..length];
                let commits = bytes.ends_with(COMMIT);
                if commits && state.silent_from_commit.swap(false, Ordering::SeqCst) {
                    state.silent.send_replace(true);
                    return swallow(client, server).await;
                }
                if server.write_all(bytes).await.is_err() {
                    return;
                }
                state.commits.fetch_add(usize::from(commits), Ordering::SeqCst);
                if commits && state.is_to_swallow() {
                    // The answer has come, so the server has committed.
                    let _ = server.read(&mut down).await;
                    state.swallowed.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&down[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Waits until the network falls silent.
async fn silence(silent: &mut watch::Receiver<bool>) {
    let _ = silent.wait_for(|silent| *silent).await;
}

/// Reads both sides and delivers nothing. The server is not told when the client goes away.
async fn swallow(mut client: TcpStream, mut server: TcpStream) {
    let (mut up, mut down) = (vec![0; 4_096], vec![0; 4_096]);
    let (mut client_is_there, mut server_is_there) = (true, true);
    while client_is_there || server_is_there {
        tokio::select! {
            read = client.read(&mut up), if client_is_there => client_is_there = matches!(read, Ok(1..)),
            read = server.read(&mut down), if server_is_there => server_is_there = matches!(read, Ok(1..)),
        }
    }
}
