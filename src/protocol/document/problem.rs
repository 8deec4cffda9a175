//! Problems of a document: the fault, its place, and the remedy.
//!
//! Problems are collected rather than returned one by one, so that the operator can correct a file in one go.

use std::cell::RefCell;
use std::fmt::{self, Write as _};

/// Where something is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a file, named as the operator wrote it. Lines count from 1, and 0 means the file as a whole.
    File {
        /// The name of the file.
        name: String,
        /// The line.
        line: usize,
    },
    /// In the environment variable of this name.
    Variable(String),
    /// Built in: the default of a key.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line: 0 } | Self::Variable(name) => f.write_str(name),
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Default => f.write_str("built-in default"),
        }
    }
}

/// The fault of one value, without its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The fault. It must never contain a secret.
    pub what: String,
    /// The remedy, unless the fault already names it.
    pub remedy: Option<String>,
}

impl Complaint {
    /// A complaint that itself says what to do.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: None }
    }

    /// A complaint and what to do.
    pub fn with_remedy(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: Some(remedy.into()) }
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// The key that it is about, from the root (`server.listen`); empty if it is about no key.
    pub key: String,
    /// The fault, and its remedy.
    pub complaint: Complaint,
}

impl fmt::Display for Problem {
    /// `file:line: key: what is wrong; what to do`, always on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = format!("{}: ", self.place);
        if !self.key.is_empty() {
            line.push_str(&self.key);
            line.push_str(": ");
        }
        line.push_str(&self.complaint.what);
        if let Some(remedy) = &self.complaint.remedy {
            line.push_str("; ");
            line.push_str(remedy);
        }
        for character in line.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Collects problems while documents are read.
#[derive(Debug, Default)]
pub struct Problems {
    found: RefCell<Vec<Problem>>,
    /// Every key that code asked for, from the root, so that tests can compare reference files with the code.
    #[cfg(test)]
    pub asked: RefCell<std::collections::BTreeSet<String>>,
}

impl Problems {
    /// Adds a problem.
    pub fn add(&self, place: Place, key: impl Into<String>, complaint: Complaint) {
        self.found.borrow_mut().push(Problem { place, key: key.into(), complaint });
    }

    /// Ends the collection. Returns what was read if it is complete and there is no problem, otherwise all problems in
    /// the order of their places.
    pub fn finish<T>(self, read: Option<T>) -> Result<T, Errors> {
        let mut problems = self.found.into_inner();
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        match read {
            Some(read) if problems.is_empty() => Ok(read),
            _ => Err(Errors(problems)),
        }
    }
}

/// All problems of some documents. They are displayed one per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Errors(Vec<Problem>);

impl Errors {
    /// The problems, in the order of their places.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

/// The known name that `unknown` most probably stands for, if one is close. Case is ignored.
pub fn nearest<'n>(unknown: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    const CLOSE_ENOUGH: f64 = 0.65;
    let unknown = unknown.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(&unknown, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= CLOSE_ENOUGH)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// "is not known", with the name that was probably meant.
pub fn unknown_name<'n>(kind: &str, unknown: &str, known: impl IntoIterator<Item = &'n str>) -> Complaint {
    let what = format!("unknown {kind}");
    match nearest(unknown, known) {
        Some(name) => Complaint::with_remedy(what, format!("did you mean `{name}`?")),
        None => Complaint::with_remedy(what, "remove it, or look its name up in the reference"),
    }
}
