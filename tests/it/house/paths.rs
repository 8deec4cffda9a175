//! The paths of the crate that a file names, read as text.

use std::collections::BTreeMap;

use super::{Source, code};

/// A path that a file names.
pub struct Named {
    /// Its segments below the crate.
    pub path: Vec<String>,
    /// The line where it stands, from 1.
    pub line: usize,
}

/// The code of a file without its tests; each line stays where it is.
pub fn code_of(source: &Source) -> String {
    source.lines_without_tests().flat_map(|(_, line)| [code(line), "\n"]).collect()
}

/// Every path of the crate that a file's own code names, in whichever way it is written.
pub fn named(source: &Source) -> Vec<Named> {
    let text = code_of(source);
    let mut found = Vec::new();
    for root in ["crate::", "countersign::", "super::"] {
        for (offset, _) in text.match_indices(root) {
            // Part of a longer path, which is met at its own start.
            if text[..offset].ends_with(|before: char| is_of_name(before) || before == ':') {
                continue;
            }
            let mut paths = Vec::new();
            read(&text[offset..], &source.module(), &mut paths);
            let line = text[..offset].matches('\n').count() + 1;
            found.extend(paths.into_iter().map(|path| Named { path, line }));
        }
    }
    found
}

/// The names that a module lends out (`use child::Name`), each with the path that it stands for.
pub fn lent(source: &Source) -> BTreeMap<String, Vec<String>> {
    let text = code_of(source);
    let mut paths = Vec::new();
    for (offset, word) in text.match_indices("use ") {
        let rest = &text[offset + word.len()..];
        let first = first_name(rest).unwrap_or_default();
        let of_crate = ["crate", "super", "self"].contains(&first);
        if of_crate || text.contains(&format!("mod {first};\n")) {
            read(rest, &source.module(), &mut paths);
        }
    }
    paths.into_iter().filter_map(|path| Some((path.last()?.clone(), path))).collect()
}

/// Reads the path, or the tree of paths, that a text begins with.
fn read(text: &str, base: &[String], found: &mut Vec<Vec<String>>) {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        for part in parts(group) {
            read(part, base, found);
        }
        return;
    }
    let mut path = base.to_vec();
    let Some(name) = first_name(text) else {
        // A star: everything in the module.
        found.push(path);
        return;
    };
    match name {
        "crate" | "countersign" => path.clear(),
        "self" => {}
        "super" => drop(path.pop()),
        _ => path.push(name.to_owned()),
    }
    match text[name.len()..].strip_prefix("::") {
        Some(rest) => read(rest, &path, found),
        None => found.push(path),
    }
}

/// The members of a group whose opening brace was read.
fn parts(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.retain(|part| !part.trim().is_empty());
    found
}

/// Whether a letter can stand in a name.
pub fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The name that a text begins with.
pub fn first_name(text: &str) -> Option<&str> {
    let end = text.find(|letter| !is_of_name(letter)).unwrap_or(text.len());
    (end > 0).then(|| &text[..end])
}
