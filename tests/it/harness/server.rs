//! A `PostgreSQL` server of one test alone, which may stop, crash, and be followed by a standby.

use std::path::Path;
use std::process::Command;

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
        // One that has crashed has nothing to stop.
        if self.folder.path().join("data/postmaster.pid").exists() {
            self.stop();
        }
    }
}
