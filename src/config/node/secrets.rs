//! `[secrets]`: the master key, under which secrets are sealed at rest.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::config::section::{Reader, Section, section};
use crate::model::{Random, Secret};
use crate::protocol::document::Complaint;

section! {
    /// The master key, which encrypts the secrets in the database. Without it the database cannot be used. Back it
    /// up, but not in the same place as the database.
    pub struct Secrets in "secrets" {
        /// The key itself, 32 bytes in base64url. It is best given as a variable.
        optional master_key: Secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        /// The file that holds the key. The broker creates it at the first start, readable by its own user only.
        key master_key_file: PathBuf = "data/master.key";
    }
}

impl Section for Secrets {
    fn check(&self, reader: &Reader<'_>) {
        let Some(key) = &self.master_key else { return };
        if reader.is_given("master_key_file") {
            let complaint = Complaint::with_remedy("master_key is given too", "keep one of the two");
            reader.refuse("master_key_file", complaint);
        }
        if decode(key.expose()).is_none() {
            let remedy = "make one with `openssl rand -base64 32 | tr '+/' '-_' | tr -d '='`";
            reader.refuse("master_key", Complaint::with_remedy("is not 32 bytes in base64url", remedy));
        }
    }
}

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The key in the configuration is not a master key.
    #[error("secrets.master_key is not 32 bytes in base64url")]
    Malformed,
    /// The file does not hold a key.
    #[error("{0} does not hold a master key (32 bytes in base64url); restore it from a backup")]
    MalformedFile(PathBuf),
    /// Others can read the file.
    #[error("{path} can be read by others (mode {mode:o}); run `chmod 600 {path}`", path = .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file can be neither read nor created.
    #[error("{path}: {error}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
}

impl Secrets {
    /// The master key that is there: the configured one, or the one in `master_key_file`.
    ///
    /// # Errors
    /// The file is readable by others, malformed, or out of reach.
    pub fn load(&self) -> Result<Option<Zeroizing<[u8; 32]>>, MasterKeyError> {
        if let Some(key) = &self.master_key {
            return decode(key.expose()).map(Some).ok_or(MasterKeyError::Malformed);
        }
        let path = &self.master_key_file;
        match File::open(path) {
            Ok(file) => read(path, file).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(MasterKeyError::Io { path: path.clone(), error }),
        }
    }

    /// The master key: the configured one, or the one in `master_key_file`, which is made from `random` when there is
    /// none (mode 0600, its folder 0700).
    ///
    /// # Errors
    /// The file is readable by others, malformed, or out of reach.
    pub fn load_or_create(&self, random: &dyn Random) -> Result<Zeroizing<[u8; 32]>, MasterKeyError> {
        if let Some(key) = self.load()? {
            return Ok(key);
        }
        let path = &self.master_key_file;
        let io = |error| MasterKeyError::Io { path: path.clone(), error };
        match create(path, random) {
            // Another process was faster, so its key is the one.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                read(path, File::open(path).map_err(io)?)
            }
            created => created.map_err(io),
        }
    }
}

fn decode(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(text.trim_end()).ok()?);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

fn read(path: &Path, mut file: File) -> Result<Zeroizing<[u8; 32]>, MasterKeyError> {
    let io = |error| MasterKeyError::Io { path: path.to_owned(), error };
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(MasterKeyError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(io)?;
    decode(&text).ok_or_else(|| MasterKeyError::MalformedFile(path.to_owned()))
}

/// Writes the key under a name of its own and links it to `path`, so that no process ever reads half of it and an
/// existing key is never replaced.
fn create(path: &Path, random: &dyn Random) -> std::io::Result<Zeroizing<[u8; 32]>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut key = Zeroizing::new([0; 32]);
    random.fill(&mut *key);
    let mut suffix = [0; 8];
    random.fill(&mut suffix);
    let draft = folder.join(format!(".master.key.{:016x}", u64::from_ne_bytes(suffix)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let text = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(key.as_slice()) + "\n");
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft)?;
    linked?;
    File::open(folder)?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};

    use super::*;
    use crate::model::value::random::CountingRandom;

    fn in_file(path: PathBuf) -> Secrets {
        Secrets { master_key: None, master_key_file: path }
    }

    #[test]
    fn the_first_start_makes_a_private_key_and_the_second_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/master.key");
        let random = CountingRandom::default();
        let first = in_file(path.clone()).load_or_create(&random).unwrap();
        let second = in_file(path.clone()).load_or_create(&random).unwrap();
        assert_eq!(first, second);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft stays behind");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        in_file(path.clone()).load_or_create(&CountingRandom::default()).unwrap();
        for mode in [0o640, 0o604, 0o622] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = in_file(path.clone()).load_or_create(&CountingRandom::default()).unwrap_err();
            assert!(error.to_string().ends_with(&format!("run `chmod 600 {}`", path.display())), "{error}");
        }
    }

    #[test]
    fn an_existing_file_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        std::fs::write(&path, "half a ke").unwrap();
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let error = in_file(path.clone()).load_or_create(&CountingRandom::default()).unwrap_err();
        assert!(matches!(error, MasterKeyError::MalformedFile(_)), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "half a ke");
        assert_eq!(create(&path, &CountingRandom::default()).unwrap_err().kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_configured_key_needs_no_file() {
        let secrets =
            Secrets { master_key: Some(Secret::new("A".repeat(43))), master_key_file: "/nowhere/key".into() };
        assert_eq!(*secrets.load_or_create(&CountingRandom::default()).unwrap(), [0; 32]);
    }
}
