//! The catalogue as a whole: `docs/security.md` and the sources say the same of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::house::rust_files;

/// How many rows the catalogue has.
const ROWS: u32 = 122;

/// The rows that have a test of their own, as far as what they attack exists: the first and the last of each run.
const TESTED: [(u32, u32); 12] = [
    (13, 14),
    (18, 18),
    (20, 25),
    (33, 44),
    (46, 53),
    (57, 62),
    (64, 77),
    (80, 83),
    (85, 92),
    (99, 101),
    (103, 107),
    (109, 122),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("docs/security.md")).unwrap()
}

/// The texts between backticks, each with the text after it.
fn spans(text: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = text.split('`').collect();
    parts[1..].chunks(2).filter(|pair| pair.len() == 2).map(|pair| (pair[0], pair[1])).collect()
}

/// The name of the test that begins at a line, if one does.
fn test_at<'a>(lines: &[&'a str], at: usize) -> Option<&'a str> {
    let name = |text: &'a str| {
        text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').find(|word| !word.is_empty())
    };
    if let Some(rest) = lines[at].strip_prefix("with_log!(") {
        return name(rest);
    }
    let rest = lines[at].trim_start_matches("async ").strip_prefix("fn ")?;
    // There may be attributes between the mark and the name.
    let above = lines[..at].iter().rev().find(|line| {
        line.starts_with("#[test]") || line.starts_with("#[tokio::test") || !line.starts_with("#[")
    });
    let marked = above.is_some_and(|line| line.starts_with("#[") || *line == "on_both_databases! {");
    if marked { name(rest) } else { None }
}

/// Every test of the package by its path, `tests` of a module in its own file left out.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["src", "tests/it"] {
        for source in rust_files(folder) {
            let module = source.path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
            let text = fs::read_to_string(root().join(folder).join(&source.path)).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            found.extend(
                (0..lines.len()).filter_map(|at| test_at(&lines, at)).map(|name| format!("{module}::{name}")),
            );
        }
    }
    found
}

/// The row that a test is named after.
fn row_of(test: &str) -> Option<u32> {
    test.rsplit("::").next()?.strip_prefix("row_")?.split_once('_')?.0.parse().ok()
}

/// The rows of the table: the tests that each names, and its remark.
fn table(page: &str) -> BTreeMap<u32, (BTreeSet<&str>, &str)> {
    let section =
        page.split("\n## ").find(|section| section.starts_with("The catalogue of attacks\n")).unwrap();
    let mut rows = BTreeMap::new();
    for line in section.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some(Ok(number)) = cells.get(1).map(|cell| cell.parse()) else { continue };
        assert_eq!(cells.len(), 6, "{line}");
        let named = spans(cells[3]).into_iter().map(|(test, _)| test).collect();
        assert!(rows.insert(number, (named, cells[4])).is_none(), "row {number} stands there twice");
    }
    rows
}

#[test]
fn every_row_has_its_line_with_all_its_tests_and_no_other_rows() {
    let page = page();
    let table = table(&page);
    assert!(table.keys().copied().eq(1..=ROWS), "{:?}", table.keys());
    let tests = tests();
    for (number, (named, remark)) in &table {
        let expected: BTreeSet<&str> = tests
            .iter()
            .map(String::as_str)
            .filter(|test| test.starts_with("attacks::") && row_of(test) == Some(*number))
            .collect();
        let rows: BTreeSet<&str> = named.iter().copied().filter(|test| row_of(test).is_some()).collect();
        assert_eq!(rows, expected, "row {number}");
        assert!(!named.is_empty() || !remark.is_empty(), "row {number} names no test and does not say why");
    }
}

#[test]
fn every_row_that_applies_has_a_test_under_its_name() {
    let rows: BTreeSet<u32> =
        tests().iter().filter(|test| test.starts_with("attacks::")).filter_map(|test| row_of(test)).collect();
    let missing: Vec<u32> =
        TESTED.into_iter().flat_map(|(first, last)| first..=last).filter(|row| !rows.contains(row)).collect();
    assert_eq!(missing, [0; 0]);
}

#[test]
fn every_test_that_the_security_page_names_exists() {
    let (page, tests) = (page(), tests());
    let mut named = 0;
    for (span, _) in spans(&page).into_iter().filter(|(span, _)| span.contains("::") && !span.contains(' ')) {
        // `attacks::session::…` says how names are read.
        if !span.ends_with("::…") {
            named += 1;
            assert!(tests.contains(span), "docs/security.md names {span}, which is no test");
        }
    }
    assert!(named > 200, "only {named} names were read");
}

#[test]
fn every_place_that_the_security_page_names_exists() {
    let page = page();
    let spans = spans(&page);
    let mut functions = 0;
    for (at, (span, after)) in spans.iter().enumerate() {
        if ["src/", "tests/", "benches/", "migrations/"].iter().any(|folder| span.starts_with(folder)) {
            assert!(root().join(span).exists(), "docs/security.md names {span}, which is not there");
        }
        let Some((file, _)) = spans.get(at + 1).filter(|_| *after == " in ") else { continue };
        if Path::new(file).extension().is_some_and(|ending| ending == "rs") {
            functions += 1;
            let text = fs::read_to_string(root().join(file)).unwrap();
            let there = ["(", "<"].iter().any(|next| text.contains(&format!("fn {span}{next}")));
            assert!(there, "docs/security.md names {span} in {file}, which is not there");
        }
    }
    assert!(functions > 40, "only {functions} places were read");
}
