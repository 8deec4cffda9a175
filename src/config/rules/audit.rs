//! `[audit]`: how long the audit log is kept in the database.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::section::{Reader, Section, section};
use crate::protocol::document::{Complaint, Notation, Setting};

/// How long records of the audit log stay in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// For ever.
    Forever,
    /// For this long. Then whole days are exported and removed.
    For(Duration),
}

/// The word for [`Keep::Forever`].
const FOREVER: &str = "forever";

impl Setting for Keep {
    const NOTATION: Notation = Notation::Text;

    fn from_text(text: &str) -> Result<Self, Complaint> {
        if text == FOREVER {
            return Ok(Self::Forever);
        }
        Duration::from_text(text).map(Self::For).map_err(|_| {
            let remedy = "write \"forever\", or a term like \"400d\"";
            Complaint::with_remedy(format!("\"{text}\" is neither \"forever\" nor a term"), remedy)
        })
    }
}

section! {
    /// How long the audit log stays in the database.
    pub struct Audit in "audit" {
        /// `forever`, or a term such as `400d`, of at least `30d`. When the term of a day (UTC) is over, the broker
        /// writes the day to a file in `export_folder` and removes it from the database. With several nodes, set a term
        /// on one of them, or give all of them the same folder.
        key keep: Keep = "forever";
        /// The folder for exported days, as an absolute path. It is needed with a term. The broker closes it to other
        /// users.
        optional export_folder: PathBuf = "/var/lib/countersign/audit";
    }
}

/// The shortest term. A link or a merge can be undone for 30 days, so its records stay in the database at least as long.
const SHORTEST: Duration = Duration::from_hours(30 * 24);

impl Section for Audit {
    fn check(&self, reader: &Reader<'_>) {
        let Keep::For(term) = self.keep else { return };
        if term < SHORTEST {
            reader.refuse(
                "keep",
                Complaint::with_remedy("is too short", "give at least \"30d\", or \"forever\""),
            );
        }
        match &self.export_folder {
            None => {
                let complaint =
                    Complaint::with_remedy("needs a folder for the exported days", "set audit.export_folder");
                reader.refuse("keep", complaint);
            }
            Some(folder) if !folder.is_absolute() => {
                let complaint = Complaint::with_remedy("is not an absolute path", "begin it with `/`");
                reader.refuse("export_folder", complaint);
            }
            Some(_) => {}
        }
    }
}
