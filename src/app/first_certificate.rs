//! The certificate of a first `serve` without a configuration, for trying out the broker on a new machine.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::Config;
use super::authority::{Authority, AuthorityError};

/// The only folder that [`make`] fills, which the embedded defaults name. An operator who names another folder has
/// certificates.
const FOLDER: &str = "data/certs";

/// The file with the authority's certificate, beside the pair that it signed.
const AUTHORITY: &str = "ca.pem";

/// Whether [`make`] would make a certificate.
pub fn is_due(config: &Config) -> bool {
    config.tls.certs_dir == Path::new(FOLDER) && is_of_this_machine(config) && is_empty(&config.tls.certs_dir)
}

/// Whether the broker is reached only from this machine. For any other name a missing certificate is a mistake that
/// must stop the start.
fn is_of_this_machine(config: &Config) -> bool {
    match config.server.public_url.url().host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_empty(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Makes a certificate for the configured host, by an authority of its own, if the default folder is empty. Returns
/// the line that reports it.
///
/// # Errors
/// The files cannot be written.
pub fn make(config: &Config) -> Result<Option<String>, AuthorityError> {
    if !is_due(config) {
        return Ok(None);
    }
    let folder = &config.tls.certs_dir;
    let host = config.server.public_url.host().trim_start_matches('[').trim_end_matches(']');
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let authority = Authority::new("Countersign, to try it")?;
    authority.issue(folder, host)?;
    fs::write(folder.join(AUTHORITY), authority.pem())?;
    Ok(Some(format!(
        "There was no certificate in {folder}, so one for {host} was made. It is signed by an authority of its own \
         ({folder}/{AUTHORITY}). Before real use, put your own pair there as NAME.crt and NAME.key, and remove \
         default.crt and default.key.",
        folder = folder.display()
    )))
}
