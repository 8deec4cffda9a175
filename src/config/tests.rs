use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::*;

const NO_VARIABLES: [(String, String); 0] = [];

fn defaults() -> Config {
    Config::load(None, NO_VARIABLES.into_iter()).unwrap()
}

struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn file(text: &str) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.toml");
    std::fs::write(&path, text).unwrap();
    File { _folder: folder, path }
}

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let file = file(text);
    let prefix = format!("{}:", file.path.display());
    Config::load(Some(&file.path), variables.iter().map(|(name, value)| (*name, *value)))
        .map_err(|errors| errors.to_string().replace(&prefix, "file:"))
}

fn errors(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    load(text, variables).unwrap_err().lines().map(str::to_owned).collect()
}

#[test]
fn without_a_file_the_defaults_serve_on_localhost_from_the_data_folder() {
    let config = defaults();
    assert_eq!(config.server.public_url.issuer(), "https://localhost:8443");
    assert_eq!(config.server.management_listen, "127.0.0.1:9090".parse::<SocketAddr>().unwrap());
    assert_eq!(config.server.http_listen, None);
    assert_eq!(config.server.drain_timeout, Duration::from_secs(30));
    assert_eq!(config.database.url.expose(), "sqlite://data/countersign.db");
    assert_eq!(config.database.synchronous, Synchronous::Full);
    assert_eq!(config.passwords.policy, PasswordPolicy::Classic);
    assert_eq!(config.limits.header_bytes, 16_384);
    assert_eq!(config.limits.body_bytes, 65_536);
    assert_eq!(config.limits.organization_connections, 25);
    assert_eq!(config.audit.keep, Keep::Forever);
}

#[test]
fn all_errors_of_file_and_variables_are_reported_together() {
    let text = "\
[server]
listn = \"[::]:443\"
public_url = \"http://login.example.com\"
trusted_proxies = [\"10.0.0.1/8\"]

[datbase]
url = \"sqlite://x\"

[tokens]
code = \"2m\"
access = 300
";
    let variables = [
        ("COUNTERSIGN__SERVER__LISTEN", "8443"),
        ("COUNTERSIGN__LOG__LEVL", "debug"),
        ("COUNTERSIGN__LOG__FORMAT", "xml"),
        ("PATH", "/bin"),
    ];
    assert_eq!(
        errors(text, &variables),
        [
            "file:2: server.listn: unknown key; did you mean `server.listen`?",
            "file:3: server.public_url: \"http://login.example.com\" is not https; write it like \"https://login.example.com\"",
            "file:4: server.trusted_proxies: \"10.0.0.1/8\" has host bits set; write \"10.0.0.0/8\"",
            "file:6: datbase: unknown section; did you mean `[database]`?",
            "file:11: tokens.access: expected text in quotes, found integer",
            "COUNTERSIGN__LOG__FORMAT: log.format: \"xml\" is not one of \"json\", \"text\"",
            "COUNTERSIGN__LOG__LEVL: unknown variable; did you mean `COUNTERSIGN__LOG__LEVEL`?",
            "COUNTERSIGN__SERVER__LISTEN: server.listen: \"8443\" is not a socket address; write address and port, like \"127.0.0.1:8443\" or \"[::]:8443\"",
        ]
    );
}

#[test]
fn a_key_in_the_wrong_section_is_told_the_right_one() {
    assert_eq!(
        errors("[server]\ncerts_dir = \"x\"\n", &[]),
        ["file:2: server.certs_dir: unknown key; did you mean `tls.certs_dir`?"]
    );
    assert_eq!(
        errors("listen = \"x\"\n", &[]),
        ["file:1: listen: unknown key; did you mean `server.listen`?"]
    );
}

#[test]
fn what_the_types_allow_and_the_meaning_does_not_is_refused() {
    let cases = [
        ("[tokens]\ncode = \"61s\"", "file:2: tokens.code: is too long; give at most \"60s\""),
        ("[tokens]\naccess = \"0s\"", "file:2: tokens.access: is too short; give at least \"1s\""),
        (
            "[tokens]\nrefresh_max = \"1d\"",
            "built-in default: tokens.refresh_idle: is longer than tokens.refresh_max; make it shorter",
        ),
        ("[sessions]\nidle = \"8d\"", "file:2: sessions.idle: is longer than sessions.max; make it shorter"),
        (
            "[keys]\npublish_before = \"90d\"",
            "file:2: keys.publish_before: is not shorter than keys.rotate_every; make it shorter",
        ),
        (
            "[database]\nurl = \"mysql://x\"",
            "file:2: database.url: names an unknown kind of database; begin it with sqlite:// or postgres://",
        ),
        ("[limits]\nheader_bytes = 100", "file:2: limits.header_bytes: 100 is too small; give at least 8192"),
        ("[passwords]\nmax_parallel = 0", "file:2: passwords.max_parallel: 0 is too small; give at least 1"),
        (
            "[secrets]\nmaster_key = \"short\"",
            "file:2: secrets.master_key: is not 32 bytes in base64url; make one with `openssl rand -base64 32 | tr '+/' '-_' | tr -d '='`",
        ),
        (
            "[audit]\nkeep = \"29d\"\nexport_folder = \"/x\"",
            "file:2: audit.keep: is too short; give at least \"30d\", or \"forever\"",
        ),
        (
            "[audit]\nkeep = \"400d\"",
            "file:2: audit.keep: needs a folder for the exported days; set audit.export_folder",
        ),
        (
            "[audit]\nkeep = \"400d\"\nexport_folder = \"days\"",
            "file:3: audit.export_folder: is not an absolute path; begin it with `/`",
        ),
        (
            "[audit]\nkeep = \"always\"",
            "file:2: audit.keep: \"always\" is neither \"forever\" nor a term; write \"forever\", or a term like \"400d\"",
        ),
        ("[limits]\nsockets = -1", "file:2: limits.sockets: expected a whole number that fits usize"),
    ];
    for (text, expected) in cases {
        assert_eq!(errors(text, &[]), [expected], "{text}");
    }
}

#[test]
fn a_variable_wins_over_the_file_and_a_list_is_separated_by_commas() {
    let text = "[server]\nlisten = \"127.0.0.1:1\"\ntrusted_proxies = [\"10.0.0.0/8\"]\n";
    let variables = [
        ("COUNTERSIGN__SERVER__LISTEN", "127.0.0.1:2"),
        ("COUNTERSIGN__SERVER__TRUSTED_PROXIES", "192.0.2.1, fd00::/8"),
    ];
    let config = load(text, &variables).unwrap();
    assert_eq!(config.server.listen.port(), 2);
    let proxies: Vec<String> = config.server.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["192.0.2.1/32", "fd00::/8"]);
}

#[test]
fn a_secret_may_stand_in_a_file_but_not_in_two_places() {
    let secret = file("postgres://u:p@db.test/x\n");
    let path = secret.path.display().to_string();
    let config = load("", &[("COUNTERSIGN__DATABASE__URL_FILE", &path)]).unwrap();
    assert_eq!(config.database.url.expose(), "postgres://u:p@db.test/x");
    let both = errors("[database]\nurl = \"sqlite://x\"\n", &[("COUNTERSIGN__DATABASE__URL_FILE", &path)]);
    assert_eq!(
        both,
        ["COUNTERSIGN__DATABASE__URL_FILE: database.url_file: url is given too; keep one of the two"]
    );
    let missing = errors("[database]\nurl_file = \"/nowhere/url\"\n", &[]);
    assert!(missing[0].starts_with("file:2: database.url_file: cannot read /nowhere/url: "), "{missing:?}");
}

#[test]
fn no_secret_is_shown_by_errors_or_debug() {
    let text = "[secrets]\nmaster_key = \"hunter2\"\n[database]\nurl = \"mysql://hunter2\"\n";
    assert!(!errors(text, &[]).join(" ").contains("hunter2"));
    let config = load("[database]\nurl = \"postgres://hunter2\"\n", &[]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_file_that_is_not_there_is_an_error_that_names_it() {
    let errors =
        Config::load(Some(Path::new("/nowhere/countersign.toml")), NO_VARIABLES.into_iter()).unwrap_err();
    assert!(errors.to_string().starts_with("/nowhere/countersign.toml: cannot be read: "), "{errors}");
}

/// Run with `UPDATE=1` to write the file again.
#[test]
fn the_example_file_is_the_one_that_the_sections_make() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/countersign.example.toml");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, example()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), example(), "run the tests with UPDATE=1");
}

#[test]
fn the_example_file_holds_the_defaults() {
    let read = load(&example(), &[]).unwrap();
    assert_eq!(format!("{read:?}"), format!("{:?}", defaults()));
}

#[test]
fn the_examples_of_optional_keys_are_accepted() {
    for (section, _, keys) in SECTIONS {
        for key in keys.iter().filter(|key| key.kind == Kind::Optional) {
            let line = key.example().lines().last().unwrap().trim_start_matches("# ").to_owned();
            load(&format!("[{section}]\n{line}\n"), &[]).unwrap();
        }
    }
}
