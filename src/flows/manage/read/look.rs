//! How an organization's pages look, in a file of `apply`.

use std::fs;
use std::path::PathBuf;

use crate::model::{Color, Logo, Look};
use crate::policy::look::{DARK_PAPER, LEAST_CONTRAST, LIGHT_PAPER, accent, check};
use crate::protocol::document::{Complaint, Table};

/// Reads `accent`, `accent_dark`, and `logo_file` or `logo`.
pub(in crate::flows) fn look(table: &Table<'_>) -> Look {
    let light = color(table, "accent", LIGHT_PAPER);
    let dark = color(table, "accent_dark", DARK_PAPER);
    if table.has("accent_dark") && !table.has("accent") {
        table.refuse("accent_dark", Complaint::new("needs accent, the colour on light paper, beside it"));
    }
    if table.has("logo") && table.has("logo_file") {
        table.refuse("logo", Complaint::new("give only one of logo and logo_file"));
    }
    let logo = logo_file(table).or_else(|| table.parsed("logo"));
    Look { accent: light.map(|light| accent(light, dark)), logo }
}

fn color(table: &Table<'_>, key: &'static str, paper: Color) -> Option<Color> {
    let color: Color = table.parsed(key)?;
    if let Err(unreadable) = check(color, paper) {
        let what = format!(
            "{color} on {paper}, the paper of the pages, has a contrast of {:.2}:1, and {LEAST_CONTRAST}:1 is the least",
            unreadable.contrast
        );
        let remedy = format!("write {key} = \"{}\", the nearest colour that passes", unreadable.nearest);
        table.refuse(key, Complaint::with_remedy(what, remedy));
    }
    Some(color)
}

fn logo_file(table: &Table<'_>) -> Option<Logo> {
    let path: PathBuf = table.optional("logo_file")?;
    let read = fs::read(&path).map_err(|error| error.to_string());
    let logo = read.and_then(|bytes| Logo::from_bytes(bytes).map_err(|error| error.to_string()));
    logo.map_err(|error| {
        table.refuse("logo_file", Complaint::new(format!("{}: {error}", path.display())));
    })
    .ok()
}
