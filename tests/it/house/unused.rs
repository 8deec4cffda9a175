//! What is public has a user in another file.
//!
//! A name counts as used where another file says it, be it for another thing of that name: this finds what is certainly
//! unused, and nothing that is in use. A type that no other file names may still be part of what others call: of a public
//! function, field, variant or trait.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::paths::{code_of, first_name, is_of_name};
use super::{Source, code, files, root, rust_files};

/// What a public item is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A function, method, constant or static.
    Value,
    /// A struct, enum, union, trait or alias.
    Type,
}

/// The kind and name of the public item that a line defines.
fn item(line: &str) -> Option<(Kind, &str)> {
    let mut rest = public(line)?;
    loop {
        let word = first_name(rest)?;
        let after = rest[word.len()..].trim_start();
        let kind = match word {
            "async" | "unsafe" | "default" | "extern" => None,
            "const" if after.starts_with("fn ") || after.starts_with("unsafe ") => None,
            "fn" | "const" | "static" => Some(Kind::Value),
            "struct" | "enum" | "union" | "trait" | "type" => Some(Kind::Type),
            _ => return None,
        };
        match kind {
            Some(kind) => return Some((kind, first_name(after)?)),
            None => rest = after,
        }
    }
}

/// What follows `pub` and its reach on a line.
fn public(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub")?;
    match rest.strip_prefix('(') {
        Some(reach) => reach.split_once(") ").map(|(_, rest)| rest),
        None => rest.strip_prefix(' '),
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter| !is_of_name(letter)).filter(|word| !word.is_empty())
}

/// The lines, from 0, of each part of a file that says what others can reach: the heads of public items, the whole of
/// public enums and traits, associated types, and the traits that types have.
fn reachable(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        if public(line).is_none() && !trimmed.starts_with("type ") && !trimmed.starts_with("impl") {
            continue;
        }
        let block = ["enum", "trait"].map(|kind| public(line).and_then(first_name) == Some(kind));
        let end = if block.contains(&true) {
            let indent = &line[..line.len() - trimmed.len()];
            let last = format!("{indent}}}");
            lines[at..].iter().position(|line| *line == last)
        } else {
            let mut open = 0_i32;
            lines[at..].iter().position(|line| {
                open += line
                    .chars()
                    .map(|letter| i32::from(letter == '(') - i32::from(letter == ')'))
                    .sum::<i32>();
                open <= 0 && line.ends_with(['{', ';', ',', '}'])
            })
        };
        let end = at + end.unwrap_or(0);
        if !trimmed.starts_with("impl") || lines[at..=end].iter().any(|line| line.contains(" for ")) {
            found.push((at, end));
        }
    }
    found
}

/// Public items of some sources that no other file uses; `others` are the texts of files beside the sources.
fn unused(sources: &[Source], others: &[String]) -> Vec<String> {
    let whole = |source: &Source| source.text.lines().flat_map(|line| [code(line), "\n"]).collect::<String>();
    let texts: Vec<String> = sources.iter().map(whole).chain(others.iter().cloned()).collect();
    let mut users: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (file, text) in texts.iter().enumerate() {
        for word in words(text) {
            users.entry(word).or_default().insert(file);
        }
    }
    let mut found = Vec::new();
    for (file, source) in sources.iter().enumerate() {
        let text = code_of(source);
        let lines: Vec<&str> = text.lines().collect();
        let mut reach = None;
        for (at, line) in lines.iter().enumerate() {
            let Some((kind, name)) = item(line) else { continue };
            if users[name].iter().any(|user| *user != file) {
                continue;
            }
            let named_in = |(from, to): &(usize, usize)| {
                *from != at && lines[*from..=*to].iter().any(|line| words(line).any(|word| word == name))
            };
            let reach = reach.get_or_insert_with(|| reachable(&lines));
            if kind == Kind::Value || !reach.iter().any(named_in) {
                found.push(format!("src/{}:{}: {name}", source.path, at + 1));
            }
        }
    }
    found
}

#[test]
fn nothing_is_public_that_no_other_file_uses() {
    let mut others: Vec<String> =
        files(&root().join("src"), "html").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for folder in ["tests", "benches", "fuzz/fuzz_targets", "fuzz/src"] {
        let texts = rust_files(folder)
            .into_iter()
            .map(|source| source.text.lines().flat_map(|line| [code(line), "\n"]).collect::<String>());
        // What stands here as an example is no user.
        others.extend(texts.filter(|text| !text.contains("fn nothing_is_public_that_no_other_file_uses")));
    }
    let found = unused(&rust_files("src"), &others);
    assert!(found.is_empty(), "public, and used by no other file:\n{}", found.join("\n"));
}

#[test]
fn unused_items_are_found_whatever_they_are() {
    let found = |text: &str, others: &[&str]| {
        let sources = [Source::made_up("web/a.rs", text), Source::made_up("web/b.rs", "fn b() { used(); }")];
        let others: Vec<String> = others.iter().map(|text| (*text).to_owned()).collect();
        unused(&sources, &others)
            .iter()
            .map(|item| item["src/web/a.rs:".len()..].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(found("pub fn used() {}\npub fn forgotten() {}", &[]), ["2: forgotten"]);
    assert_eq!(found("pub fn forgotten() {}", &["{{ page.forgotten() }}"]), [""; 0]);
    // A comment is no user, and neither is the file itself.
    assert_eq!(
        found("// forgotten\npub async fn forgotten() {}\nfn a() { forgotten() }", &[]),
        ["2: forgotten"]
    );
    for item in
        ["pub(super) const fn x() {}", "pub(in crate::web) const x: u8 = 1;", "    pub static x: A = A;"]
    {
        assert_eq!(found(item, &[]), ["1: x"], "{item}");
    }
    for item in ["pub struct X;", "pub enum X {\n    A,\n}", "pub trait X {\n}", "pub(crate) type X = u8;"] {
        assert_eq!(found(item, &[]), ["1: X"], "{item}");
        assert_eq!(found(&format!("{item}\nfn a(x: &X) {{\n}}"), &[]), ["1: X"], "{item}");
        // Others reach it without its name.
        for reached in [
            "pub fn used(\n    x: &X,\n) {\n}",
            "pub used: Vec<X>,",
            "pub enum used {\n    A(X),\n}",
            "impl From<X> for u8 {",
            "    type Error = X;",
        ] {
            assert_eq!(found(&format!("{item}\n{reached}"), &[]), [""; 0], "{item} {reached}");
        }
    }
    // What is private, or for tests alone, is the compiler's concern.
    assert_eq!(found("fn x() {}\n#[cfg(test)]\nmod tests {\n    pub fn y() {}\n}", &[]), [""; 0]);
}
