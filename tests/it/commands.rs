//! The program itself, as it is typed, on a fresh machine: an empty folder, and nothing in the environment.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::browser::{Browser, Network};

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

/// Runs a command to its end; gives its standard output when it succeeded, its standard error when not.
fn run(folder: &TempDir, arguments: &[&str]) -> Result<String, String> {
    let output = command(folder.path(), arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// A server; it is gone when this is dropped.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `serve` on free ports; gives what it says until it serves.
fn serve(folder: &TempDir) -> (Serving, Vec<String>) {
    let mut child = command(folder.path(), &["serve"])
        .env("COUNTERSIGN__SERVER__LISTEN", "127.0.0.1:0")
        .env("COUNTERSIGN__SERVER__MANAGEMENT_LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let serving = Serving(child);
    let mut said = Vec::new();
    for line in lines {
        said.push(line.unwrap());
        if said.last().is_some_and(|line| line.starts_with("Countersign serves")) {
            break;
        }
    }
    (serving, said)
}

#[tokio::test]
async fn serve_without_a_configuration_works_from_an_empty_folder() {
    let folder = tempfile::tempdir().unwrap();
    let checked = run(&folder, &["check"]).unwrap();
    assert!(checked.contains("ok   certificates: none yet"), "{checked}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "check makes nothing");

    let (serving, said) = serve(&folder);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].contains("one for localhost was made") && said[0].contains("data/certs/ca.pem"),
        "{said:?}"
    );
    let address = said[1].split_once(" on ").unwrap().1.split_once(';').unwrap().0;
    let authority = std::fs::read_to_string(folder.path().join("data/certs/ca.pem")).unwrap();
    let mut network = Network::new(&authority);
    network.add("localhost:8443", address.parse().unwrap());
    let page = Browser::new(&network).open("https://localhost:8443/.well-known/openid-configuration").await;
    assert!(page.body.contains("\"issuer\":\"https://localhost:8443\""), "{}", page.body);
    drop(serving);

    let certificate = std::fs::read(folder.path().join("data/certs/default.crt")).unwrap();
    let (serving, said) = serve(&folder);
    assert_eq!(said.len(), 1, "the second start makes nothing: {said:?}");
    drop(serving);
    assert_eq!(std::fs::read(folder.path().join("data/certs/default.crt")).unwrap(), certificate);
    let checked = run(&folder, &["check"]).unwrap();
    assert!(checked.contains("ok   certificate default: ends on"), "{checked}");
}

#[test]
fn a_certificate_is_made_for_nobody_who_names_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("countersign.toml"), "[log]\nlevel = \"warn\"\n").unwrap();
    let error = run(&folder, &["serve", "--config", "countersign.toml"]).unwrap_err();
    assert!(error.contains("data/certs"), "{error}");
    assert!(!folder.path().join("data/certs").exists());
}

#[test]
fn migrate_makes_the_folder_of_the_database_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(&folder, &["migrate"]).unwrap();
    assert_eq!(said, "the SQLite database is up to date\n");
    assert!(folder.path().join("data/countersign.db").exists());
    assert!(!folder.path().join("data/master.key").exists());
}

#[test]
fn apply_warns_of_a_setting_that_has_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let file = "[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\n[[organizations.connections]]\n\
                handle = \"idp\"\nname = \"IdP\"\nissuer = \"https://idp.acme.test\"\nclient_id = \"countersign\"\n\
                client_secret = \"a-secret-0123456789\"\nmfa = \"attested\"\n";
    std::fs::write(folder.path().join("acme.toml"), file).unwrap();
    let said = run(&folder, &["apply", "acme.toml"]).unwrap();
    assert!(said.contains("\nwarn connection acme/idp: mfa = \"attested\" has no effect yet"), "{said}");
}

#[test]
fn the_first_operator_is_made_and_shown_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(&folder, &["account", "create", "--operator", "--username", "ops"]).unwrap();
    assert!(said.contains(" ops - enabled operator\npassword "), "{said}");
    let said = run(&folder, &["account", "list"]).unwrap();
    assert!(said.trim_end().ends_with(" ops - enabled operator"), "{said}");
    let said = run(&folder, &["account", "show", "ops"]).unwrap();
    assert!(said.contains("organization none\nroles operator\n"), "{said}");
    let arguments = ["account", "create", "--operator", "--organization", "acme", "--username", "two"];
    let error = run(&folder, &arguments).unwrap_err();
    assert!(error.contains("cannot be used with"), "{error}");
}
