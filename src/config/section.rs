//! Each section has one definition, from which its struct, parsing, defaults, variables and part of the example file
//! derive.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::model::Secret;
use crate::protocol::document::{Complaint, Notation, Place, Problems, Setting, Table, unknown_name};

/// The beginning of every environment variable of the program.
pub(super) const PREFIX: &str = "COUNTERSIGN__";

/// How a key behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has a default.
    Key,
    /// It may be absent; its text is an example.
    Optional,
    /// It has a default, and the file that `<name>_file` names may hold it instead.
    Secret,
}

/// A key, as the reference shows it.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) kind: Kind,
    pub(super) notation: Notation,
    pub(super) text: &'static str,
}

impl Key {
    /// Its lines in the example file.
    pub(super) fn example(&self) -> String {
        let mut lines: Vec<String> = self.doc.iter().map(|line| format!("#{line}")).collect();
        let value = match self.notation {
            Notation::Bare => self.text.to_owned(),
            Notation::Text => format!("\"{}\"", self.text),
            Notation::List => {
                let items =
                    self.text.split(',').filter(|item| !item.is_empty()).map(|item| format!("\"{item}\""));
                format!("[{}]", items.collect::<Vec<_>>().join(", "))
            }
        };
        let absent = if self.kind == Kind::Optional { "# " } else { "" };
        lines.push(format!("{absent}{} = {value}", self.name));
        if self.kind == Kind::Secret {
            lines.push("# Or the file that holds it:".to_owned());
            lines.push(format!("# {}_file = \"/run/secrets/{}\"", self.name, self.name));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

/// A section's keys and how to read them; [`section!`](super::section!) implements it.
pub(super) trait Keys: Sized {
    const NAME: &'static str;
    const DOC: &'static [&'static str];
    const KEYS: &'static [Key];

    /// Reads all keys; nothing if any of them is refused, which is then on record.
    fn read(reader: &Reader<'_>) -> Option<Self>;
}

/// A section: its keys, and the rules between them.
pub(super) trait Section: Keys {
    /// Refuses values that the types allow and the meaning does not.
    fn check(&self, _reader: &Reader<'_>) {}
}

/// The variables that begin with [`PREFIX`].
#[derive(Debug)]
pub(super) struct Variables {
    values: BTreeMap<String, String>,
    known: RefCell<Vec<String>>,
}

impl Variables {
    /// Keeps what is ours; a value that is no UTF-8 goes to `problems`.
    pub(super) fn new<K: Into<OsString>, V: Into<OsString>>(
        environment: impl Iterator<Item = (K, V)>,
        problems: &Problems,
    ) -> Self {
        let mut values = BTreeMap::new();
        for (name, value) in environment {
            let Ok(name) = name.into().into_string() else { continue };
            if !name.starts_with(PREFIX) {
                continue;
            }
            match value.into().into_string() {
                Ok(value) => drop(values.insert(name, value)),
                Err(_) => problems.add(Place::Variable(name), "", Complaint::new("is not UTF-8 text")),
            }
        }
        Self { values, known: RefCell::default() }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.known.borrow_mut().push(name.to_owned());
        self.values.get(name).map(String::as_str)
    }

    /// Refuses every variable that no section has read.
    pub(super) fn finish(&self, problems: &Problems) {
        let known = self.known.borrow();
        for name in self.values.keys().filter(|name| !known.contains(name)) {
            let complaint = unknown_name("variable", name, known.iter().map(String::as_str));
            problems.add(Place::Variable(name.clone()), "", complaint);
        }
    }
}

/// Reads one section from its variables and its table. A variable wins over the file.
#[derive(Debug)]
pub(super) struct Reader<'d> {
    pub(super) section: &'static str,
    pub(super) table: Option<Table<'d>>,
    pub(super) variables: &'d Variables,
    pub(super) problems: &'d Problems,
}

impl Reader<'_> {
    fn variable(&self, key: &str) -> String {
        format!("{PREFIX}{}__{}", self.section.to_uppercase(), key.to_uppercase())
    }

    /// Whether the file or a variable sets `key`.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.variables.values.contains_key(&self.variable(key))
            || self.table.as_ref().is_some_and(|table| table.has(key))
    }

    fn place_of(&self, key: &str) -> Place {
        let variable = self.variable(key);
        match &self.table {
            _ if self.variables.values.contains_key(&variable) => Place::Variable(variable),
            Some(table) if table.has(key) => table.place_of(key),
            _ => Place::Default,
        }
    }

    /// Refuses the value of `key`.
    pub(super) fn refuse(&self, key: &str, complaint: Complaint) {
        self.problems.add(self.place_of(key), format!("{}.{key}", self.section), complaint);
    }

    fn kept<T>(&self, key: &str, value: Result<T, Complaint>) -> Option<T> {
        value.map_err(|complaint| self.refuse(key, complaint)).ok()
    }

    /// An optional key: absent, present, or (the outer `None`) refused.
    #[expect(clippy::option_option, reason = "refused and absent are two things")]
    pub(super) fn optional<T: Setting>(&self, key: &'static str) -> Option<Option<T>> {
        let in_file = self.table.as_ref().map(|table| (table.has(key), table.optional(key)));
        if let Some(text) = self.variables.get(&self.variable(key)) {
            return self.kept(key, T::from_text(text)).map(Some);
        }
        match in_file {
            Some((true, None)) => None,
            Some((_, value)) => Some(value),
            None => Some(None),
        }
    }

    /// A key with a default.
    pub(super) fn key<T: Setting>(&self, key: &'static str, default: &str) -> Option<T> {
        match self.optional(key)? {
            Some(value) => Some(value),
            None => self.kept(key, T::from_text(default)),
        }
    }

    /// A secret: itself, or in the file that `file_key` names, its last line break cut off.
    pub(super) fn secret(&self, key: &'static str, file_key: &'static str, default: &str) -> Option<Secret> {
        let value = self.optional::<Secret>(key);
        let file = self.optional::<PathBuf>(file_key);
        match (value?, file?) {
            (Some(_), Some(_)) => {
                self.refuse(
                    file_key,
                    Complaint::with_remedy(format!("{key} is given too"), "keep one of the two"),
                );
                None
            }
            (Some(secret), None) => Some(secret),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(&path).map(zeroize::Zeroizing::new);
                let text = text.map_err(|error| {
                    Complaint::with_remedy(
                        format!("cannot read {}: {error}", path.display()),
                        "make it readable for the broker",
                    )
                });
                let secret = text.and_then(|text| Secret::from_text(text.trim_end_matches(['\r', '\n'])));
                self.kept(file_key, secret)
            }
            (None, None) => self.kept(key, Secret::from_text(default)),
        }
    }
}

/// Defines a section. Each key is `key name: Type = "default"`, `optional name: Type = "example"` or
/// `secret name: Secret = "default"`, texts in the notation of variables; the documentation comments go into the
/// example file.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        pub struct $section:ident in $section_name:literal {
            $($(#[doc = $doc:literal])+ $kind:ident $key:ident : $type:ty = $text:literal;)+
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Debug, Clone)]
        pub struct $section {
            $($(#[doc = $doc])+ pub $key: section!(@type $kind $type),)+
        }

        impl $crate::config::section::Keys for $section {
            const NAME: &'static str = $section_name;
            const DOC: &'static [&'static str] = &[$($section_doc),+];
            const KEYS: &'static [$crate::config::section::Key] = &[$($crate::config::section::Key {
                name: stringify!($key),
                doc: &[$($doc),+],
                kind: section!(@kind $kind),
                notation: <$type as $crate::protocol::document::Setting>::NOTATION,
                text: $text,
            }),+];

            fn read(reader: &$crate::config::section::Reader<'_>) -> Option<Self> {
                $(let $key = section!(@read $kind $type, reader, $key, $text);)+
                Some(Self { $($key: $key?),+ })
            }
        }
    };
    (@type optional $type:ty) => { Option<$type> };
    (@type $kind:ident $type:ty) => { $type };
    (@kind key) => { $crate::config::section::Kind::Key };
    (@kind optional) => { $crate::config::section::Kind::Optional };
    (@kind secret) => { $crate::config::section::Kind::Secret };
    (@read key $type:ty, $reader:ident, $key:ident, $text:literal) => {
        $reader.key::<$type>(stringify!($key), $text)
    };
    (@read optional $type:ty, $reader:ident, $key:ident, $text:literal) => {
        $reader.optional::<$type>(stringify!($key))
    };
    (@read secret $type:ty, $reader:ident, $key:ident, $text:literal) => {
        $reader.secret(stringify!($key), concat!(stringify!($key), "_file"), $text)
    };
}

pub(super) use section;
