//! The house holds itself to its rules: who may import whom, how long a file and how full a folder may be, that each file
//! says what it is, and that nothing is public in vain.
//!
//! Rust lets modules import each other in circles, so the compiler does not keep the rooms apart; these tests do. They
//! read the source as text. `docs/architecture.md` explains the table.

mod circles;
mod paths;
mod unused;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use paths::{first_name, named};

/// Who may import whom, downwards only: a room, then the rooms that it may name. What is not listed is forbidden.
/// `model`, `protocol` and `telemetry` are for everybody who is not below them.
const IMPORTS: [(&str, &[&str]); 16] = [
    ("main", &["cli"]),
    ("cli", &["app", "flows"]),
    (
        "app",
        &[
            "web", "proxy", "jobs", "net", "emulator", "config", "flows", "store", "upstream", "mail",
            "policy", "crypto",
        ],
    ),
    ("web", &["flows"]),
    ("proxy", &["flows"]),
    ("jobs", &["flows", "store"]),
    ("net", &["crypto"]),
    ("emulator", &["crypto"]),
    ("flows", &["store", "upstream", "mail", "policy", "crypto"]),
    ("store", &["crypto"]),
    ("upstream", &["crypto"]),
    ("mail", &["crypto"]),
    ("crypto", &[]),
    ("policy", &[]),
    ("config", &[]),
    ("telemetry", &[]),
];

/// Rooms that every room of [`IMPORTS`] may name besides.
const SHARED: [&str; 3] = ["model", "protocol", "telemetry"];

/// Macros at the root of the crate, and the room that owns each.
const ROOT_MACROS: [(&str, &str); 1] = [("setting_enum", "model")];

/// The most files of Rust that a folder of `src` may have.
const FULLEST_FOLDER: usize = 12;

/// Where functions may have more than 50 lines, because they are tables.
const LONG_TABLES: [&str; 1] = ["web/errors.rs"];

/// The longest that a file of `src` may be, without its tests.
const LONGEST_FILE: usize = 500;

/// A file of `src`, read.
pub struct Source {
    /// Its path below `src`, with `/`.
    pub path: String,
    text: String,
}

impl Source {
    /// The room that it belongs to: the first folder, or its own name.
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The segments of its module's path below the crate.
    fn module(&self) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs");
        let parts = path.split('/').filter(|part| !["mod", "lib", "main"].contains(part));
        parts.map(str::to_owned).collect()
    }

    /// One that a test makes up.
    fn made_up(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Whether all of it is compiled for tests alone.
    fn is_test(&self) -> bool {
        let stem = self.path.rsplit('/').next().unwrap();
        stem == "tests.rs" || stem == "testing.rs" || self.path.contains("/tests/")
    }

    /// Its lines before the tests module, with their numbers from 1.
    pub fn lines_without_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = if self.is_test() { Some(0) } else { tests_begin(&self.text) };
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line)).take(end.unwrap_or(usize::MAX))
    }
}

/// The number of lines before the tests module inside a file, if it has one.
fn tests_begin(text: &str) -> Option<usize> {
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().enumerate().position(|(at, line)| {
        *line == "#[cfg(test)]"
            && lines[at + 1..]
                .iter()
                .find(|next| !next.starts_with("#["))
                .is_some_and(|next| *next == "mod tests {")
    })
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The paths of the files below a folder that have this ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
    found
}

/// Every `.rs` file below a folder of the package, by path.
pub fn rust_files(folder: &str) -> Vec<Source> {
    let base = root().join(folder);
    let read = |path: PathBuf| Source {
        path: path.strip_prefix(&base).unwrap().to_str().unwrap().replace('\\', "/"),
        text: fs::read_to_string(&path).unwrap(),
    };
    let mut found: Vec<Source> = files(&base, "rs").into_iter().map(read).collect();
    found.sort_by(|left, right| left.path.cmp(&right.path));
    assert!(!found.is_empty(), "no source below {folder}");
    found
}

/// The code part of a line: the text before a comment.
pub fn code(line: &str) -> &str {
    if line.trim_start().starts_with("//") { "" } else { line.split(" // ").next().unwrap() }
}

/// The rooms that a file's own code names, with the number of a line where it does.
fn edges(source: &Source) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for named in named(source) {
        let Some(name) = named.path.into_iter().next() else { continue };
        let owner = ROOT_MACROS.iter().find(|(exported, _)| *exported == name).map(|(_, room)| *room);
        found.entry(owner.map_or(name, str::to_owned)).or_insert(named.line);
    }
    found.remove(source.room());
    found
}

fn may_import(room: &str, other: &str) -> bool {
    match room {
        "lib" => true,
        "model" => false,
        "protocol" => other == "model",
        _ => IMPORTS
            .iter()
            .find(|(from, _)| *from == room)
            .is_some_and(|(_, to)| to.contains(&other) || SHARED.contains(&other)),
    }
}

#[test]
fn each_room_imports_only_what_the_table_lists() {
    let mut wrong = Vec::new();
    for source in rust_files("src") {
        for (other, line) in edges(&source) {
            if !may_import(source.room(), &other) {
                wrong.push(format!("src/{}:{line}: {} may not import {other}", source.path, source.room()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the import table:\n{}", wrong.join("\n"));
}

#[test]
fn each_room_stands_in_the_import_table() {
    let listed: BTreeSet<&str> =
        IMPORTS.iter().map(|(room, _)| *room).chain(["lib", "model", "protocol"]).collect();
    for source in rust_files("src") {
        assert!(listed.contains(source.room()), "src/{}: a room that the table does not know", source.path);
    }
}

#[test]
fn edges_are_read_from_every_way_to_write_them() {
    let named = |path: &str, text: &str| edges(&Source::made_up(path, text)).into_keys().collect::<Vec<_>>();
    assert_eq!(
        named("web/mod.rs", "use crate::flows::Broker;\nlet x = crate::store::open();"),
        ["flows", "store"]
    );
    assert_eq!(named("web/a.rs", "use crate::{\n    flows::{self, Broker},\n    net,\n};"), ["flows", "net"]);
    assert_eq!(named("web/a.rs", "use super::super::store::Tx;\nuse super::state::State;"), ["store"]);
    assert_eq!(named("web/mod.rs", "pub use super::crypto;"), ["crypto"]);
    assert_eq!(named("main.rs", "fn main() { countersign::cli::run() }"), ["cli"]);
    assert_eq!(named("model/a.rs", "$crate::store::x!()"), ["store"]);
    assert_eq!(named("policy/a.rs", "crate::setting_enum! {}"), ["model"]);
    assert_eq!(named("web/a.rs", "// crate::store\nuse crate::web::x;\nlet a = b; // crate::store"), [""; 0]);
    assert_eq!(named("web/a.rs", "#[cfg(test)]\nmod tests {\n    use crate::store::Tx;\n}"), [""; 0]);
}

#[test]
fn the_dispatcher_alone_asks_what_is_due() {
    for source in rust_files("src") {
        let may = source.path == "policy/sign_in/step.rs" || source.path.starts_with("flows/dispatch/");
        let asks = ["next_step(", " AccountFacts {"].iter().any(|word| source.text.contains(word));
        assert!(may || !asks, "{} asks policy what is due", source.path);
    }
}

/// Where forms are taken that our own pages did not send: what apps, providers and other sites post.
const UNCHECKED_FORMS: [&str; 6] = [
    "web/provider/app_request.rs",
    "web/provider/authorize.rs",
    "web/provider/logout.rs",
    "web/provider/oauth.rs",
    "web/sso/mod.rs",
    "web/sso/upstream_logout.rs",
];

#[test]
fn every_other_form_is_checked_by_its_type() {
    // These define and pass on what the handlers take.
    let own = [
        "web/browser/extract.rs",
        "web/browser/guard.rs",
        "web/browser/request.rs",
        "web/browser/respond.rs",
    ];
    let takes =
        |source: &Source| ["UncheckedForm", "TriedForm"].iter().any(|form| source.text.contains(form));
    let takers: Vec<String> = rust_files("src").into_iter().filter(takes).map(|source| source.path).collect();
    let takers: Vec<&str> = takers.iter().map(String::as_str).filter(|path| !own.contains(path)).collect();
    assert_eq!(takers, UNCHECKED_FORMS, "a page's form is a FlowForm, SessionForm or MailedLinkForm");
}

#[test]
fn the_table_has_no_circles() {
    fn walk<'a>(room: &'a str, path: &mut Vec<&'a str>) {
        assert!(!path.contains(&room), "a circle: {} → {room}", path.join(" → "));
        path.push(room);
        if let Some((_, below)) = IMPORTS.iter().find(|(from, _)| *from == room) {
            for other in *below {
                walk(other, path);
            }
        }
        path.pop();
    }
    for (room, _) in IMPORTS {
        walk(room, &mut Vec::new());
    }
}

#[test]
fn each_file_says_what_lives_in_it() {
    for (folder, source) in ["src", "tests/it"]
        .into_iter()
        .flat_map(|folder| rust_files(folder).into_iter().map(move |source| (folder, source)))
    {
        // The tests beside a module are explained by the module.
        if folder == "src" && source.is_test() && source.path.ends_with("tests.rs") {
            continue;
        }
        let first = source.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        assert!(first.starts_with("//! "), "{folder}/{}: does not begin with `//!`", source.path);
    }
}

#[test]
fn no_file_is_longer_than_a_reader_bears() {
    let mut wrong = Vec::new();
    for source in rust_files("src") {
        let lines = source.lines_without_tests().count();
        if lines > LONGEST_FILE {
            wrong.push(format!(
                "src/{}: {lines} lines without its tests, {LONGEST_FILE} at most",
                source.path
            ));
        }
    }
    assert!(wrong.is_empty(), "two things in one file:\n{}", wrong.join("\n"));
}

/// Folders with too many files of Rust, as a sentence each.
fn full_folders(sources: &[Source]) -> Vec<String> {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for source in sources {
        *folders.entry(source.path.rsplit_once('/').map_or("", |(folder, _)| folder)).or_default() += 1;
    }
    folders.retain(|_, files| *files > FULLEST_FOLDER);
    folders.iter().map(|(folder, files)| format!("src/{folder}: {files} files")).collect()
}

#[test]
fn no_folder_has_more_files_than_a_reader_keeps_in_mind() {
    let found = full_folders(&rust_files("src"));
    assert!(found.is_empty(), "more than {FULLEST_FOLDER} in one folder:\n{}", found.join("\n"));
}

#[test]
fn a_full_folder_is_found() {
    let sources = |files: usize| {
        let in_folder = (0..files).map(|at| Source::made_up(&format!("net/tls/f{at}.rs"), ""));
        in_folder.chain([Source::made_up("net/mod.rs", "")]).collect::<Vec<_>>()
    };
    assert_eq!(full_folders(&sources(FULLEST_FOLDER)), [""; 0]);
    assert_eq!(full_folders(&sources(FULLEST_FOLDER + 1)), ["src/net/tls: 13 files"]);
}

/// Places that let clippy's limit of 50 lines for a function pass.
fn long_functions(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !LONG_TABLES.contains(&source.path.as_str())) {
        for (at, line) in source.lines_without_tests() {
            if code(line).contains("clippy::too_many_lines") {
                found.push(format!("src/{}:{at}", source.path));
            }
        }
    }
    found
}

#[test]
fn no_function_escapes_the_limit_that_clippy_holds() {
    let clippy: toml::Table = fs::read_to_string(root().join("clippy.toml")).unwrap().parse().unwrap();
    assert_eq!(clippy["too-many-lines-threshold"].as_integer(), Some(50));
    let found = long_functions(&rust_files("src"));
    assert!(found.is_empty(), "functions of more than 50 lines:\n{}", found.join("\n"));
    let long = Source::made_up("web/a.rs", "\n#[allow(clippy::too_many_lines)]\nfn long() {}");
    assert_eq!(long_functions(&[long]), ["src/web/a.rs:2"]);
}

/// The tests in some files, by path: `module::name`, without the crate's name and without `tests` of their own file.
fn tests_in(folder: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in rust_files(folder) {
        let module = source.path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
        let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
        for pair in lines.windows(2) {
            let marked = ["#[test]", "#[tokio::test]", "on_both_databases! {"].contains(&pair[0]);
            let name = pair[1].trim_start_matches("async ").strip_prefix("fn ").and_then(first_name);
            if let Some(name) = name.filter(|_| marked) {
                found.insert(format!("{module}::{name}"));
            }
        }
    }
    found
}

#[test]
fn every_test_that_the_conformance_page_names_exists() {
    let tests: BTreeSet<String> = tests_in("tests/it").into_iter().chain(tests_in("src")).collect();
    let page = fs::read_to_string(root().join("docs/conformance.md")).unwrap();
    let mut rows = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && line.contains('`')) {
        rows += 1;
        let last = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let named: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty() || last == "*open*", "names no test and does not say *open*: {row}");
        for name in named {
            assert!(tests.contains(name), "docs/conformance.md names {name}, which is no test");
        }
    }
    assert!(rows >= 50, "only {rows} rows were read");
}

#[test]
fn every_dependency_is_explained() {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let page = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    for section in ["dependencies", "dev-dependencies"] {
        for name in manifest[section].as_table().unwrap().keys() {
            assert!(page.contains(&format!("`{name}`")), "docs/dependencies.md does not speak of {name}");
        }
    }
}

#[test]
fn every_link_between_the_pages_leads_somewhere() {
    let mut pages: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "certs/README.md"]
        .map(|page| root().join(page))
        .to_vec();
    pages.extend(fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    for page in pages.iter().filter(|page| page.extension().is_some_and(|ending| ending == "md")) {
        let text = fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") {
                let target = page.parent().unwrap().join(file);
                assert!(target.exists(), "{} links to {link}, which is not there", page.display());
            }
        }
    }
}
