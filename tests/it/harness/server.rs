//! A `PostgreSQL` server of one test alone, which may stop, crash, and be followed by a standby.

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

pub struct Server {
    folder: tempfile::TempDir,
    port: u16,
}

impl Server {
    pub fn start() -> Self {
        let server = Self::prepared();
        server.start_again();
        server
    }

    fn prepared() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { folder: tempfile::tempdir().unwrap(), port }
    }

    /// The address of its own database.
    pub fn url(&self) -> String {
        format!("postgres://countersign@127.0.0.1:{}/postgres", self.port)
    }

    pub fn start_again(&self) {
        self.run("start", &[]);
    }

    pub fn stop(&self) {
        self.run("stop", &[]);
    }

    /// Ends it at once, as a power cut would.
    pub fn crash(&self) {
        self.run("crash", &[]);
    }

    /// Stops every process of the server where it stands: the system still takes connections for it.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets its processes go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let file = self.folder.path().join("data/postmaster.pid");
        let Ok(text) = std::fs::read_to_string(file) else { return };
        let main: i32 = text.lines().next().unwrap().parse().unwrap();
        for process in children_of(main).into_iter().chain([main]) {
            // One that has just ended needs no signal.
            let _ = kill_process(Pid::from_raw(process).unwrap(), signal);
        }
    }

    /// A standby of this server; from then on a commit is acknowledged when both have it.
    pub fn followed(&self) -> Self {
        let standby = Self::prepared();
        standby.run("follow", &[&self.port.to_string()]);
        standby
    }

    /// Makes a standby a server of its own.
    pub fn promote(&self) {
        self.run("promote", &[]);
    }

    fn run(&self, what: &str, more: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/postgres");
        let done = Command::new(script)
            .arg(what)
            .arg(self.folder.path())
            .args(more)
            .env("COUNTERSIGN_TEST_POSTGRES_PORT", self.port.to_string())
            .output()
            .unwrap();
        assert!(done.status.success(), "{what}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.thaw();
        // One that has crashed has nothing to stop.
        if self.folder.path().join("data/postmaster.pid").exists() {
            self.stop();
        }
    }
}

/// The processes that a process has started.
fn children_of(parent: i32) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |process: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // PID (NAME) STATE PARENT …; the name may hold anything.
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        after_name.split(' ').nth(1).and_then(|number| number.parse().ok()) == Some(parent)
    };
    numbers.filter(is_child).collect()
}
