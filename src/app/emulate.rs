//! `countersign emulate`: one emulated identity provider by itself, for rehearsals and for the tests of other
//! projects.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::authority::{Authority, AuthorityError};
use super::{AppError, Environment, listen};
use crate::crypto::CryptoError;
use crate::crypto::keys::SigningKey;
use crate::emulator::{Directory, DirectoryError, idp};
pub use crate::emulator::{Fault, Vendor};
use crate::model::SigningAlg;
use crate::net::{self, CertificateError, Certificates, Drain, Transport};

/// The identity provider to emulate, its address, and its users.
#[derive(Debug, Clone)]
pub struct EmulateSettings {
    /// The vendor whose behaviour it has.
    pub vendor: Vendor,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The file with its users and clients.
    pub users: PathBuf,
    /// The folder with its certificate (`default.crt`, `default.key`). If there is none, it is made, with an authority
    /// (`ca.pem`).
    pub certs: PathBuf,
    /// The faults that it has.
    pub faults: Vec<Fault>,
}

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub enum EmulateError {
    /// It cannot listen on an address.
    #[error(transparent)]
    App(#[from] AppError),
    /// A file cannot be read.
    #[error("{path}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// The file of users and clients is not valid.
    #[error("{path}: {errors}")]
    Directory {
        /// The file.
        path: PathBuf,
        /// All errors, one per line.
        errors: String,
    },
    /// A certificate cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// An existing certificate cannot be used.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// The signing key cannot be made.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The address does not form a URL.
    #[error("the address is malformed: {0}")]
    Address(#[from] url::ParseError),
}

/// Serves until `stop` resolves. `say` prints a line.
pub async fn run(
    settings: &EmulateSettings,
    environment: &Environment,
    stop: impl Future<Output = ()>,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), EmulateError> {
    let directory = read_directory(&settings.users)?;
    if !settings.certs.join("default.crt").exists() {
        let authority = Authority::new("Countersign emulator")?;
        authority.issue(&settings.certs, "localhost")?;
        let ca = settings.certs.join("ca.pem");
        fs::write(&ca, authority.pem()).map_err(|cause| EmulateError::File { path: ca, cause })?;
    }
    let certificates = Arc::new(Certificates::load(&settings.certs)?);
    let listener = listen(settings.listen).await?;
    let base_url: Url = format!("https://localhost:{}", listener.local_addr().port()).parse()?;
    say(&format!("Emulating {} at {base_url}", settings.vendor));
    for fault in &settings.faults {
        say(&format!("Fault {fault}: {}", fault.sentence()));
    }
    let router = idp::router(idp::Settings {
        vendor: settings.vendor,
        base_url,
        directory,
        response_iss: false,
        faults: settings.faults.iter().copied().collect(),
        clock: Arc::clone(&environment.clock),
        random: Arc::clone(&environment.random),
        key: SigningKey::generate(SigningAlg::RS256, "emulator-1".to_owned())?,
    });
    let drain = Drain::default();
    let transport = Transport::Tls(certificates);
    let serving = tokio::spawn(listener.serve(transport, router, net::Settings::default(), drain.clone()));
    stop.await;
    drain.begin(Duration::from_secs(1));
    let _ = serving.await;
    Ok(())
}

fn read_directory(path: &Path) -> Result<Directory, EmulateError> {
    let text =
        fs::read_to_string(path).map_err(|cause| EmulateError::File { path: path.to_owned(), cause })?;
    Directory::from_toml(&text).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(DirectoryError::to_string).collect();
        EmulateError::Directory { path: path.to_owned(), errors: lines.join("\n") }
    })
}
