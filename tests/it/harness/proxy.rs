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
    /// Counts up when every connection is to be cut.
    cut: watch::Sender<usize>,
    closed: AtomicBool,
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
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            _ = cut.changed() => return,
            read = client.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &up[..length];
                if server.write_all(bytes).await.is_err() {
                    return;
                }
                let commits = bytes.ends_with(COMMIT);
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
