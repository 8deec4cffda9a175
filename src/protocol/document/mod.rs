//! Strict reading of TOML documents: the configuration, and the files of `apply`.
//!
//! Code asks a [`Table`] for its keys by type. Every fault (syntax, a type, a word, a key that no code asked for)
//! becomes a [`Problem`] with file and line in one shared [`Problems`], and reading goes on, so that all errors are
//! reported together. No I/O: the caller supplies the text. `toml` gives the positions. serde is not used here,
//! because it stops at the first error and forgets where a value was.

mod problem;
mod setting;

use std::cell::RefCell;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use problem::{Complaint, Errors, Place, Problem, Problems, nearest, unknown_name};
pub use setting::{Notation, Setting, one_of};

/// A parsed document.
#[derive(Debug)]
pub struct Document<'t> {
    name: String,
    line_starts: Vec<usize>,
    root: DeTable<'t>,
}

impl<'t> Document<'t> {
    /// Parses `text`; `name` is the file name as the operator wrote it. Syntax errors go to `problems`, and everything
    /// that could be understood is read all the same.
    pub fn parse(name: &str, text: &'t str, problems: &Problems) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let (root, errors) = DeTable::parse_recoverable(text);
        let document = Self { name: name.to_owned(), line_starts, root: root.into_inner() };
        for error in errors {
            let line = error.span().map_or(0, |span| document.line_of(span.start));
            problems.add(document.place(line), "", Complaint::new(error.message().replace('\n', " ")));
        }
        document
    }

    /// The document's outermost table.
    pub fn root<'d>(&'d self, problems: &'d Problems) -> Table<'d> {
        Table::new(self, problems, String::new(), 0, &self.root)
    }

    fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    fn place(&self, line: usize) -> Place {
        Place::File { name: self.name.clone(), line }
    }
}

/// A table that is being read. [`Table::finish`] ends the reading and refuses every key that was not read.
#[derive(Debug)]
pub struct Table<'d> {
    document: &'d Document<'d>,
    problems: &'d Problems,
    path: String,
    line: usize,
    entries: &'d DeTable<'d>,
    known: RefCell<Vec<&'static str>>,
}

impl<'d> Table<'d> {
    fn new(
        document: &'d Document<'d>,
        problems: &'d Problems,
        path: String,
        line: usize,
        entries: &'d DeTable<'d>,
    ) -> Self {
        Self { document, problems, path, line, entries, known: RefCell::default() }
    }

    /// Where the table begins.
    pub fn place(&self) -> Place {
        self.document.place(self.line)
    }

    /// Where `key` is; the table's own place if it is absent.
    pub fn place_of(&self, key: &str) -> Place {
        match self.entries.get_key_value(key) {
            Some((name, _)) => self.document.place(self.document.line_of(name.span().start)),
            None => self.place(),
        }
    }

    /// The full name of `key`, from the root.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Whether `key` is present.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Refuses the value of `key` for a reason that the caller gives.
    pub fn refuse(&self, key: &str, complaint: Complaint) {
        self.problems.add(self.place_of(key), self.path_of(key), complaint);
    }

    /// The value of `key`, as `read` understands it; `None` if it is absent or refused.
    fn read<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Complaint>,
    ) -> Option<T> {
        self.known.borrow_mut().push(key);
        #[cfg(test)]
        self.problems.asked.borrow_mut().insert(self.path_of(key));
        match read(self.entries.get(key)?.get_ref()) {
            Ok(value) => Some(value),
            Err(complaint) => {
                self.refuse(key, complaint);
                None
            }
        }
    }

    /// An optional value; `None` if it is absent, or if it is refused and so recorded as a problem.
    pub fn optional<T: Setting>(&self, key: &'static str) -> Option<T> {
        self.read(key, T::from_value)
    }

    /// A required value.
    pub fn required<T: Setting>(&self, key: &'static str) -> Option<T> {
        self.require(key);
        self.optional(key)
    }

    /// A value with a default.
    pub fn or<T: Setting>(&self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// An optional text that `T` parses, such as an email address or a handle.
    pub fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, key: &'static str) -> Option<T> {
        self.read(key, parse_text)
    }

    /// A required text that `T` parses.
    pub fn required_parsed<T: FromStr<Err: std::fmt::Display>>(&self, key: &'static str) -> Option<T> {
        self.require(key);
        self.parsed(key)
    }

    /// A list of texts that `T` parses; empty if absent. Each refused item is recorded with its own line.
    pub fn parsed_list<T: FromStr<Err: std::fmt::Display>>(&self, key: &'static str) -> Vec<T> {
        let mut parsed = Vec::new();
        for (index, item) in self.items(key, "a list in brackets").enumerate() {
            match parse_text(item.get_ref()) {
                Ok(value) => parsed.push(value),
                Err(complaint) => {
                    let place = self.document.place(self.document.line_of(item.span().start));
                    self.problems.add(place, format!("{}[{index}]", self.path_of(key)), complaint);
                }
            }
        }
        parsed
    }

    /// A table whose keys the author of the document chooses, such as claim names; in the order of the keys.
    pub fn map<T: Setting>(&self, key: &'static str) -> Vec<(String, T)> {
        let Some(table) = self.table(key) else { return Vec::new() };
        let entries = table.entries.iter().filter_map(|(name, value)| match T::from_value(value.get_ref()) {
            Ok(value) => Some((name.get_ref().to_string(), value)),
            Err(complaint) => {
                table.refuse(name.get_ref(), complaint);
                None
            }
        });
        entries.collect()
    }

    /// A table inside this one.
    pub fn table(&self, key: &'static str) -> Option<Table<'d>> {
        self.read(key, |value| match value {
            DeValue::Table(_) => Ok(()),
            other => Err(setting::mismatch("a table", other)),
        })?;
        let value = self.entries.get(key)?;
        let entries = value.get_ref().as_table()?;
        let line = self.document.line_of(value.span().start);
        Some(Table::new(self.document, self.problems, self.path_of(key), line, entries))
    }

    /// The tables of an array (`[[key]]`, or inline tables in brackets); none if absent.
    pub fn tables(&self, key: &'static str) -> Vec<Table<'d>> {
        let mut tables = Vec::new();
        for (index, item) in self.items(key, "a list of tables").enumerate() {
            let line = self.document.line_of(item.span().start);
            let path = format!("{}[{index}]", self.path_of(key));
            match item.get_ref() {
                DeValue::Table(entries) => {
                    tables.push(Table::new(self.document, self.problems, path, line, entries));
                }
                other => {
                    self.problems.add(self.document.place(line), path, setting::mismatch("a table", other));
                }
            }
        }
        tables
    }

    /// The keys that are present, in alphabetical order.
    pub fn keys(&self) -> impl Iterator<Item = &'d str> {
        self.entries.keys().map(|key| key.get_ref().as_ref())
    }

    /// Ends the reading. Every key that was not read is refused, with the name that was probably meant.
    pub fn finish(self) {
        let known = self.known.borrow().clone();
        self.finish_with(|key| unknown_name("key", key, known.iter().copied()));
    }

    /// Like [`Table::finish`], with the caller's own complaint about an unknown key.
    pub fn finish_with(self, complaint: impl Fn(&str) -> Complaint) {
        let known = self.known.borrow();
        for key in self.keys().filter(|key| !known.contains(key)) {
            self.refuse(key, complaint(key));
        }
    }

    /// The items of an array; none if it is absent or not an array.
    fn items(&self, key: &'static str, expected: &str) -> impl Iterator<Item = &'d Spanned<DeValue<'d>>> {
        let is_array = self.read(key, |value| match value {
            DeValue::Array(_) => Ok(()),
            other => Err(setting::mismatch(expected, other)),
        });
        is_array.and(self.entries.get(key)).and_then(|value| value.get_ref().as_array()).into_iter().flatten()
    }

    fn require(&self, key: &str) {
        if !self.has(key) {
            self.problems.add(
                self.place(),
                self.path_of(key),
                Complaint::with_remedy("is missing", "add it"),
            );
        }
    }
}

fn parse_text<T: FromStr<Err: std::fmt::Display>>(value: &DeValue<'_>) -> Result<T, Complaint> {
    match value {
        DeValue::String(text) => text.parse().map_err(|error: T::Err| Complaint::new(error.to_string())),
        other => Err(setting::mismatch("text in quotes", other)),
    }
}

#[cfg(test)]
mod tests;
