//! Certificates by host name: read from a folder, chosen by SNI (RFC 6066, section 3), and reloaded when files change.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::validity::not_after;
use crate::model::Timestamp;

/// The pair for clients that name no host, or one that no pair covers.
const DEFAULT: &str = "default";

/// Why a folder or a pair cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The folder cannot be read.
    #[error("{path}: {error}; create the folder, or set tls.certs_dir", path = .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// The folder holds no pair.
    #[error("{0}: no certificate; put a pair NAME.crt and NAME.key there")]
    None(PathBuf),
    /// A pair is broken.
    #[error("{path}: {reason}", path = .path.display())]
    Pair {
        /// Its certificate file.
        path: PathBuf,
        /// The fault, and its remedy.
        reason: String,
    },
}

/// A certificate chain, its key, and the host names of its certificate.
#[derive(Debug)]
struct Pair {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    not_after: Option<Timestamp>,
}

/// The pairs by name of file, and the host names that each serves.
#[derive(Debug, Default)]
struct Table {
    pairs: BTreeMap<String, Arc<Pair>>,
    hosts: HashMap<String, Arc<Pair>>,
    default: Option<Arc<Pair>>,
}

impl Table {
    fn new(pairs: BTreeMap<String, Arc<Pair>>) -> Self {
        let mut hosts = HashMap::new();
        for pair in pairs.values() {
            for name in &pair.names {
                hosts.entry(name.clone()).or_insert_with(|| Arc::clone(pair));
            }
        }
        let default = pairs.get(DEFAULT).map(Arc::clone);
        Self { pairs, hosts, default }
    }

    fn named(&self, host: &str) -> Option<&Arc<Pair>> {
        self.hosts.get(host).or_else(|| self.hosts.get(&wildcard_of(host)?))
    }

    fn choose(&self, host: Option<&str>) -> Option<&Arc<Pair>> {
        host.and_then(|host| self.named(host)).or(self.default.as_ref())
    }
}

/// The wildcard name that would cover `host`: one label replaced (RFC 9525, section 6.3).
fn wildcard_of(host: &str) -> Option<String> {
    let (_, parent) = host.split_once('.')?;
    Some(format!("*.{parent}"))
}

/// Distinguishes two states of the folder: name, time of change and length of each file.
type Fingerprint = Vec<(PathBuf, Option<SystemTime>, u64)>;

/// The certificates of a folder, replaced as a whole when its files change.
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
    provider: Arc<CryptoProvider>,
    table: RwLock<Arc<Table>>,
}

impl Certificates {
    /// Reads every pair of `folder`.
    ///
    /// # Errors
    /// The folder is out of reach or empty, or any pair of it is broken.
    pub fn load(folder: &Path) -> Result<Self, CertificateError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut pairs = BTreeMap::new();
        for name in pair_names(folder)? {
            let pair = read_pair(folder, &name, &provider)?;
            pairs.insert(name, Arc::new(pair));
        }
        if pairs.is_empty() {
            return Err(CertificateError::None(folder.to_owned()));
        }
        Ok(Self { folder: folder.to_owned(), provider, table: RwLock::new(Arc::new(Table::new(pairs))) })
    }

    /// Reads the folder again. A broken pair is logged, and the previous one stays.
    pub fn reload(&self) {
        let before = self.table();
        let names = match pair_names(&self.folder) {
            Ok(names) if !names.is_empty() => names,
            Ok(_) => {
                tracing::error!(folder = %self.folder.display(), "no certificate is left; the old ones stay in use");
                return;
            }
            Err(error) => {
                tracing::error!(%error, "certificates cannot be read; the old ones stay in use");
                return;
            }
        };
        let mut pairs = BTreeMap::new();
        for name in names {
            match read_pair(&self.folder, &name, &self.provider) {
                Ok(pair) => drop(pairs.insert(name, Arc::new(pair))),
                Err(error) => {
                    tracing::error!(%error, "a certificate cannot be used; the old one stays in use");
                    if let Some(old) = before.pairs.get(&name) {
                        pairs.insert(name, Arc::clone(old));
                    }
                }
            }
        }
        if pairs.is_empty() {
            return;
        }
        tracing::info!(pairs = pairs.len(), "certificates read");
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Table::new(pairs));
    }

    /// Checks the folder at regular intervals, and reads it again when a file has changed. Never returns.
    pub async fn watch(self: Arc<Self>, every: Duration) {
        let mut seen = None;
        loop {
            let folder = self.folder.clone();
            let now = tokio::task::spawn_blocking(move || fingerprint(&folder)).await.ok().flatten();
            if now.is_some() && seen.is_some() && now != seen {
                let certificates = Arc::clone(&self);
                if tokio::task::spawn_blocking(move || certificates.reload()).await.is_err() {
                    tracing::error!("reading certificates failed; the old ones stay in use");
                }
            }
            seen = now.or(seen);
            tokio::time::sleep(every).await;
        }
    }

    /// The host names that are served, in alphabetical order.
    pub fn names(&self) -> Vec<String> {
        let table = self.table();
        let mut names: Vec<String> = table.hosts.keys().cloned().collect();
        names.sort();
        names
    }

    /// Whether there is a pair for clients that name no host.
    pub fn has_default(&self) -> bool {
        self.table().default.is_some()
    }

    /// The pairs by name, each with the expiry of its certificate, if that can be read.
    pub fn ends(&self) -> Vec<(String, Option<Timestamp>)> {
        self.table().pairs.iter().map(|(name, pair)| (name.clone(), pair.not_after)).collect()
    }

    /// Whether a connection that was opened for `sni` may carry requests for `host`, both in lower case: both are the
    /// same host, or the certificate covers both (RFC 9110, section 7.4).
    pub(in crate::net) fn covers(&self, sni: &str, host: &str) -> bool {
        if sni == host {
            return true;
        }
        let table = self.table();
        let wildcard = wildcard_of(host);
        let covered = |name: &String| name == host || Some(name) == wildcard.as_ref();
        table.choose(Some(sni)).is_some_and(|pair| pair.names.iter().any(covered))
    }

    /// The crypto provider to which the keys belong.
    pub(in crate::net) fn provider(&self) -> Arc<CryptoProvider> {
        Arc::clone(&self.provider)
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name().map(str::to_ascii_lowercase);
        self.table().choose(host.as_deref()).map(|pair| Arc::clone(&pair.key))
    }
}

/// The names of the pairs in a folder: each `NAME.crt`.
fn pair_names(folder: &Path) -> Result<Vec<String>, CertificateError> {
    let failed = |error| CertificateError::Folder { path: folder.to_owned(), error };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let file = entry.map_err(failed)?.file_name();
        names.extend(file.to_str().and_then(|file| file.strip_suffix(".crt")).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn read_pair(folder: &Path, name: &str, provider: &CryptoProvider) -> Result<Pair, CertificateError> {
    let path = folder.join(format!("{name}.crt"));
    let key_path = folder.join(format!("{name}.key"));
    let broken = |reason: String| CertificateError::Pair { path: path.clone(), reason };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&path).and_then(Iterator::collect);
    let chain = chain.map_err(|error| broken(format!("is not a PEM certificate ({error})")))?;
    let leaf = chain.first().ok_or_else(|| broken("holds no certificate".to_owned()))?;
    let names = dns_names(leaf).map_err(|error| broken(format!("is not a server certificate ({error})")))?;
    if names.is_empty() && name != DEFAULT {
        return Err(broken("names no host (subjectAltName); only default.crt may do so".to_owned()));
    }
    let not_after = not_after(leaf);
    let key = PrivateKeyDer::from_pem_file(&key_path);
    let key = key.map_err(|error| broken(format!("{} is not a PEM key ({error})", key_path.display())))?;
    let key = CertifiedKey::from_der(chain, key, provider);
    let key = key.map_err(|error| broken(format!("does not go with {} ({error})", key_path.display())))?;
    Ok(Pair { key: Arc::new(key), names, not_after })
}

fn dns_names(leaf: &CertificateDer<'_>) -> Result<Vec<String>, webpki::Error> {
    let leaf = webpki::EndEntityCert::try_from(leaf)?;
    Ok(leaf.valid_dns_names().map(str::to_ascii_lowercase).collect())
}

fn fingerprint(folder: &Path) -> Option<Fingerprint> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        // Follows links, because deployments replace a certificate by replacing a link.
        if let Ok(data) = std::fs::metadata(entry.path()) {
            files.push((entry.path(), data.modified().ok(), data.len()));
        }
    }
    files.sort();
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::write_pair;

    fn loaded(pairs: &[(&str, &[&str])]) -> (tempfile::TempDir, Certificates) {
        let folder = tempfile::tempdir().unwrap();
        for (name, hosts) in pairs {
            write_pair(folder.path(), name, hosts);
        }
        let certificates = Certificates::load(folder.path()).unwrap();
        (folder, certificates)
    }

    fn chosen(certificates: &Certificates, host: Option<&str>) -> Option<Vec<String>> {
        certificates.table().choose(host).map(|pair| pair.names.clone())
    }

    #[test]
    fn an_exact_name_wins_over_a_wildcard_and_a_wildcard_over_the_default() {
        let (_folder, certificates) =
            loaded(&[("a", &["*.acme.test"]), ("b", &["Login.Acme.test"]), ("default", &["broker.test"])]);
        let first = |host| chosen(&certificates, host).unwrap().remove(0);
        assert_eq!(first(Some("login.acme.test")), "login.acme.test");
        assert_eq!(first(Some("mail.acme.test")), "*.acme.test");
        for host in [None, Some("acme.test"), Some("a.b.acme.test"), Some("other.test")] {
            assert_eq!(first(host), "broker.test", "{host:?}");
        }
    }

    #[test]
    fn an_unknown_name_gets_nothing_without_a_default() {
        let (_folder, certificates) = loaded(&[("a", &["acme.test"])]);
        assert_eq!(chosen(&certificates, Some("other.test")), None);
        assert_eq!(chosen(&certificates, None), None);
    }

    #[test]
    fn a_connection_carries_requests_for_what_its_certificate_covers_only() {
        let (_folder, certificates) =
            loaded(&[("a", &["acme.test", "*.acme.test"]), ("default", &["broker.test"])]);
        assert!(certificates.covers("acme.test", "mail.acme.test"));
        assert!(certificates.covers("unknown.test", "unknown.test"));
        assert!(certificates.covers("unknown.test", "broker.test"));
        assert!(!certificates.covers("acme.test", "broker.test"));
        assert!(!certificates.covers("broker.test", "mail.acme.test"));
    }

    #[test]
    fn an_empty_folder_a_missing_one_and_a_broken_pair_say_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let error = Certificates::load(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("no certificate; put a pair NAME.crt and NAME.key there"), "{error}");
        let error = Certificates::load(&folder.path().join("none")).unwrap_err().to_string();
        assert!(error.ends_with("create the folder, or set tls.certs_dir"), "{error}");
        write_pair(folder.path(), "a", &["a.test"]);
        std::fs::remove_file(folder.path().join("a.key")).unwrap();
        let error = Certificates::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("a.key is not a PEM key"), "{error}");
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        write_pair(folder.path(), "a", &["a.test"]);
        write_pair(folder.path(), "b", &["b.test"]);
        std::fs::copy(folder.path().join("b.key"), folder.path().join("a.key")).unwrap();
        let error = Certificates::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("does not go with"), "{error}");
    }

    #[test]
    fn a_reload_takes_good_pairs_and_keeps_the_old_one_of_a_broken_pair() {
        let (folder, certificates) = loaded(&[("a", &["a.test"]), ("b", &["b.test"])]);
        write_pair(folder.path(), "a", &["a.test", "new.test"]);
        std::fs::write(folder.path().join("b.crt"), "rubbish").unwrap();
        certificates.reload();
        assert_eq!(certificates.names(), ["a.test", "b.test", "new.test"]);
        for name in ["a.crt", "b.crt"] {
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
        certificates.reload();
        assert_eq!(
            certificates.names(),
            ["a.test", "b.test", "new.test"],
            "an emptied folder changes nothing"
        );
        write_pair(folder.path(), "b", &["b.test"]);
        certificates.reload();
        assert_eq!(certificates.names(), ["b.test"]);
    }

    #[tokio::test]
    async fn the_watcher_takes_changed_files_over() {
        let (folder, certificates) = loaded(&[("a", &["a.test"])]);
        let certificates = Arc::new(certificates);
        let watcher = tokio::spawn(Arc::clone(&certificates).watch(Duration::from_millis(5)));
        // Whatever the watcher saw first, a later write differs from it.
        let taken_over = || certificates.names().iter().any(|name| name.starts_with("round"));
        for round in 0..500 {
            if taken_over() {
                break;
            }
            write_pair(folder.path(), "b", &[&format!("round{round}.test")]);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(taken_over());
        watcher.abort();
    }
}
