//! The configuration: TOML, then `COUNTERSIGN__SECTION__KEY` variables, read strictly.
//!
//! Each section has one file and is defined once by `section!`, which gives the struct, its defaults, its variables
//! and its part of `config/countersign.example.toml`. Unknown keys and all other errors are reported together, each
//! with file and line or with the variable's name. Only `app` reads a [`Config`]; the other rooms get settings of
//! their own.
//!
//! `node` holds the sections on the process, `rules` those on what holds for everybody.

mod node;
mod rules;
mod section;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::Path;

pub use node::database::{Database, Synchronous};
pub use node::limits::Limits;
pub use node::log::{Log, LogFormat, LogLevel};
pub use node::mail::{Mail, MailTls, MailTransport};
pub use node::outbound::Outbound;
pub use node::secrets::{MasterKeyError, Secrets};
pub use node::server::{PublicUrl, Server};
pub use node::tls::Tls;
pub use rules::audit::{Audit, Keep};
pub use rules::keys::Keys;
pub use rules::passwords::{PasswordPolicy, Passwords};
pub use rules::sessions::Sessions;
pub use rules::tokens::Tokens;

use crate::protocol::document::{Complaint, Document, Errors, Place, Problems, Table, nearest, unknown_name};
use section::{Kind, Reader, Section, Variables};

/// All problems of a configuration; displayed one per line.
pub type ConfigErrors = Errors;

macro_rules! config {
    ($($(#[$doc:meta])* $field:ident: $section:ty,)+) => {
        /// The whole configuration.
        #[derive(Debug, Clone)]
        pub struct Config {
            $($(#[$doc])* pub $field: $section,)+
        }

        impl Config {
            fn read(root: Option<&Table<'_>>, variables: &Variables, problems: &Problems) -> Option<Self> {
                $(let $field = read_section::<$section>(root, variables, problems);)+
                Some(Self { $($field: $field?),+ })
            }
        }

        /// Every section with its keys, for the reference and for suggestions.
        const SECTIONS: &[(&str, &[&str], &[section::Key])] = &[$((
            <$section as section::Keys>::NAME,
            <$section as section::Keys>::DOC,
            <$section as section::Keys>::KEYS,
        )),+];
    };
}

config! {
    /// The broker's public address, and where it listens.
    server: Server,
    /// The broker's certificates.
    tls: Tls,
    /// The database, which stores everything.
    database: Database,
    /// The master key.
    secrets: Secrets,
    /// Calls that the broker makes to others.
    outbound: Outbound,
    /// How mails leave.
    mail: Mail,
    /// What passwords must be like, and what hashing may cost.
    passwords: Passwords,
    /// How long somebody stays signed in.
    sessions: Sessions,
    /// Lifetimes of what apps get.
    tokens: Tokens,
    /// When the broker replaces its signing keys.
    keys: Keys,
    /// How much of each thing there may be.
    limits: Limits,
    /// How long the audit log stays in the database.
    audit: Audit,
    /// What the broker writes about itself.
    log: Log,
}

impl Config {
    /// Reads the file at `path` (none: the defaults) and then the `COUNTERSIGN__…` variables of `environment`, such as
    /// [`std::env::vars_os`]; a variable wins over the file.
    ///
    /// # Errors
    /// Everything that is wrong, together.
    pub fn load<K, V>(
        path: Option<&Path>,
        environment: impl Iterator<Item = (K, V)>,
    ) -> Result<Self, ConfigErrors>
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let problems = Problems::default();
        let name = path.map(|path| path.display().to_string()).unwrap_or_default();
        let text = path.map(std::fs::read_to_string).transpose().unwrap_or_else(|error| {
            let place = Place::File { name: name.clone(), line: 0 };
            problems.add(
                place,
                "",
                Complaint::with_remedy(format!("cannot be read: {error}"), "check --config"),
            );
            None
        });
        let config = {
            let variables = Variables::new(environment, &problems);
            let document = text.as_deref().map(|text| Document::parse(&name, text, &problems));
            let root = document.as_ref().map(|document| document.root(&problems));
            let config = Self::read(root.as_ref(), &variables, &problems);
            refuse_unknown(root, &variables, &problems);
            config
        };
        problems.finish(config)
    }
}

/// The text of `config/countersign.example.toml`: every key with its meaning and its default, the optional ones
/// commented out with an example.
pub fn example() -> String {
    let mut lines = vec![EXAMPLE_HEAD.to_owned()];
    for (section, doc, keys) in SECTIONS {
        lines.extend(doc.iter().map(|line| format!("#{line}")));
        lines.push(format!("[{section}]\n"));
        lines.extend(keys.iter().map(section::Key::example));
    }
    lines.join("\n")
}

const EXAMPLE_HEAD: &str = "\
# Every key of the configuration, with its meaning and its default. A key that is commented out is absent by default.
# This file is generated from src/config: make changes there.
#
# You can also set each key by an environment variable, which overrides the file: server.listen is
# COUNTERSIGN__SERVER__LISTEN. Separate the values of a list by commas. Paths are relative to the working directory.
";

fn read_section<S: Section>(
    root: Option<&Table<'_>>,
    variables: &Variables,
    problems: &Problems,
) -> Option<S> {
    let reader =
        Reader { section: S::NAME, table: root.and_then(|root| root.table(S::NAME)), variables, problems };
    let section = S::read(&reader);
    if let Some(section) = &section {
        section.check(&reader);
    }
    if let Some(table) = reader.table {
        table.finish_with(|key| unknown_key(&format!("{}.{key}", S::NAME)));
    }
    section
}

fn refuse_unknown(root: Option<Table<'_>>, variables: &Variables, problems: &Problems) {
    if let Some(root) = root {
        root.finish_with(|key| match nearest(key, SECTIONS.iter().map(|(name, ..)| *name)) {
            Some(section) => {
                Complaint::with_remedy("unknown section", format!("did you mean `[{section}]`?"))
            }
            None => unknown_key(key),
        });
    }
    variables.finish(problems);
}

/// An unknown key: either its name is near to one of its section, or the same name lives in another section.
fn unknown_key(path: &str) -> Complaint {
    let keys = SECTIONS.iter().flat_map(|(section, _, keys)| {
        let with_file =
            keys.iter().filter(|key| key.kind == Kind::Secret).map(|key| format!("{}_file", key.name));
        let names = keys.iter().map(|key| key.name.to_owned()).chain(with_file);
        names.map(move |name| format!("{section}.{name}"))
    });
    let keys: Vec<String> = keys.collect();
    let name = path.rsplit('.').next().unwrap_or(path);
    let elsewhere = keys.iter().find(|known| known.rsplit('.').next() == Some(name));
    match elsewhere {
        Some(known) => Complaint::with_remedy("unknown key", format!("did you mean `{known}`?")),
        None => unknown_name("key", path, keys.iter().map(String::as_str)),
    }
}
