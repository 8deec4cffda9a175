use std::collections::BTreeSet;

use crate::flows::manage::read::*;

const EXAMPLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/organizations.example.toml"));

/// Tables whose keys the writer of the file chooses.
const OPEN: [&str; 2] = ["required_claims", "acr_values"];

/// A path without the numbers of list items.
fn generic(path: &str) -> String {
    let mut parts = path.split(['[', ']']);
    parts.by_ref().filter(|part| part.parse::<usize>().is_err()).collect()
}

fn collect(path: &str, value: &toml::Value, keys: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                keys.insert(path.clone());
                if !OPEN.contains(&key.as_str()) {
                    collect(&path, value, keys);
                }
            }
        }
        toml::Value::Array(items) => {
            for item in items.iter().filter(|item| item.is_table()) {
                collect(path, item, keys);
            }
        }
        _ => {}
    }
}

/// The example, with the lines that are commented out, such as `# key = value`, put in.
fn with_all_keys() -> String {
    let lines = EXAMPLE.lines().map(|line| {
        let rest = line.strip_prefix("# ").unwrap_or(line);
        let is_key = rest
            .split_once(" = ")
            .is_some_and(|(key, _)| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        if is_key { rest } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_file_has_every_key_that_is_read_and_no_other() {
    let problems = Problems::default();
    let rules = Rules {
        passwords: PasswordRules::Classic,
        limits: Limits { accounts: 10, connections: 1, domains: 2, apps: 1, redirect_uris: 1 },
    };
    let wanted = read_file("organizations.example.toml", EXAMPLE, rules, &problems);
    assert_eq!(wanted.len(), 1);
    problems.finish(Some(())).unwrap();
    // The settings that are commented out must be read too, though they cannot all be given at once.
    let problems = Problems::default();
    read_file("organizations.example.toml", &with_all_keys(), rules, &problems);
    let read: BTreeSet<String> = problems.asked.borrow().iter().map(|path| generic(path)).collect();
    let mut shown = BTreeSet::new();
    let all: toml::Value = toml::from_str(&with_all_keys()).unwrap();
    collect("", &all, &mut shown);
    assert_eq!(shown.symmetric_difference(&read).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(read.len() > 90, "{read:?}");
    // The only errors are secrets and pictures, which an example cannot have, and settings that exclude each other.
    let wrong = problems.finish(Some(())).unwrap_err().to_string();
    let fair = ["secret", "password", "certificate", "private_key", "logo", "expects"];
    for line in wrong.lines() {
        let key = line.split(": ").nth(1).and_then(|path| path.rsplit('.').next()).unwrap();
        assert!(fair.iter().any(|word| key.contains(word)), "{line}");
    }
}
