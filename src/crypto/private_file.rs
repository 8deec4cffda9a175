//! Files and folders that only their owner may read: databases, keys, mails.
//!
//! The mode is set explicitly, whatever the umask of the process and the previous mode are. If the broker cannot close
//! a file or folder to others, it warns the operator and uses it: only the operator knows who else is on the machine.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;

/// The permissions of everyone except the owner.
const OTHERS: u32 = 0o077;

/// The bit of folders in which everyone may create files, such as `/tmp`.
const STICKY: u32 = 0o1000;

/// Folders of the system, with everything in them. Other programs need access to them, whoever owns them.
const OF_THE_SYSTEM: [&str; 10] =
    ["/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr"];

/// Folders in which many programs or users have one of their own.
const SHARED: [&str; 12] = [
    "/",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/run",
    "/srv",
    "/tmp",
    "/var",
    "/var/lib",
    "/var/spool",
];

/// Creates a folder with its parents, for its owner only. A folder that exists is closed to others, too, and the log
/// says so. It stays open if it belongs to another user or to the system, is a home directory, or is the working
/// directory.
///
/// # Errors
/// The folder cannot be created.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    DirBuilder::new().recursive(true).mode(FOLDER).create(folder)?;
    let found = fs::metadata(folder)?;
    if found.mode() & OTHERS == 0 {
        return Ok(());
    }
    let closed = if may_close(folder, &found) {
        fs::set_permissions(folder, Permissions::from_mode(FOLDER)).map_err(|error| error.to_string())
    } else {
        Err("it may belong to other programs or people too".to_owned())
    };
    if closed.is_ok() {
        tracing::info!(folder = %folder.display(), "this folder was closed to other users of this machine");
    }
    if let Err(why) = closed {
        let (folder, mode) = (folder.display(), format!("{:04o}", found.mode() & 0o7777));
        tracing::warn!(%folder, mode, why, "other users of this machine can enter this folder; give the broker a folder of its own");
    }
    Ok(())
}

/// Whether the broker may close a folder: it is the broker's own, and no other program needs it.
fn may_close(folder: &Path, found: &fs::Metadata) -> bool {
    let whole = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let is_here = std::env::current_dir().is_ok_and(|here| here == whole);
    found.uid() == rustix::process::geteuid().as_raw()
        && found.mode() & STICKY == 0
        && !is_here
        && whole.parent() != Some(Path::new("/home"))
        && !OF_THE_SYSTEM.iter().any(|shared| whole.starts_with(shared))
        && !SHARED.iter().any(|shared| whole == Path::new(shared))
}

/// Opens a file for writing, with access for its owner only. Creates the file if it does not exist.
///
/// # Errors
/// The file cannot be opened or created.
pub fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE).open(path)?;
    close(path)?;
    Ok(file)
}

/// Writes a whole file, with access for its owner only.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = open(path)?;
    file.set_len(0)?;
    file.write_all(bytes)
}

/// Closes a file to others, if it exists. A file of another user stays as it is, and the log says so.
///
/// # Errors
/// The file's mode cannot be read.
pub fn close(path: &Path) -> io::Result<()> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if found.mode() & OTHERS == 0 {
        return Ok(());
    }
    if let Err(error) = fs::set_permissions(path, Permissions::from_mode(FILE)) {
        let (file, mode) = (path.display(), format!("{:04o}", found.mode() & 0o7777));
        tracing::warn!(%file, mode, %error, "other users of this machine can read this file, and the broker cannot change that");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_others_could_read_is_closed_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, file) = (folder.path().join("a/b"), folder.path().join("a/b/c"));
        make_folder(&inner).unwrap();
        assert_eq!(mode(&inner), 0o700);
        fs::set_permissions(&inner, Permissions::from_mode(0o755)).unwrap();
        fs::write(&file, "longer than before").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        make_folder(&inner).unwrap();
        write(&file, b"short").unwrap();
        assert_eq!((mode(&inner), mode(&file)), (0o700, 0o600));
        assert_eq!(fs::read(&file).unwrap(), b"short");
        close(&folder.path().join("not there")).unwrap();
    }

    #[test]
    fn folders_that_others_need_stay_open() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
        make_folder(folder.path()).unwrap();
        assert_eq!(mode(folder.path()), 0o1777);
        for shared in ["/", "/etc", "/etc/ssl", "/usr/share", "/var/lib", "/usr/../var", "."] {
            assert!(!may_close(Path::new(shared), &fs::metadata(shared).unwrap()), "{shared}");
        }
    }
}
