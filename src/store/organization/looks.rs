//! How the pages of organizations look.

use crate::model::{Accent, Look, OrganizationId};
use crate::store::engine::row::{Row, text};
use crate::store::engine::tx::{execute, fetch_optional, row, statements};
use crate::store::{StoreError, Tx};

statements! {
    FIND = "SELECT accent_light, accent_dark, logo FROM organization_looks WHERE organization_id = $1";
    SAVE = "INSERT INTO organization_looks (organization_id, accent_light, accent_dark, logo) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (organization_id) DO UPDATE SET accent_light = excluded.accent_light, \
            accent_dark = excluded.accent_dark, logo = excluded.logo";
    DELETE = "DELETE FROM organization_looks WHERE organization_id = $1";
}

row! {
    struct LookRow {
        accent_light: Option<String>,
        accent_dark: Option<String>,
        logo: Option<String>,
    }
}

/// The look that an organization has chosen; the plain one if it has chosen nothing.
pub async fn find_look(tx: &mut Tx, organization: OrganizationId) -> Result<Look, StoreError> {
    let id = organization.to_string();
    let Some(row) = fetch_optional!(tx, LookRow, FIND, &id)? else { return Ok(Look::default()) };
    let at = Row { table: "organization_looks", id: &id };
    let light = at.parse_optional("accent_light", row.accent_light.as_deref())?;
    let dark = at.parse_optional("accent_dark", row.accent_dark.as_deref())?;
    Ok(Look {
        accent: light.zip(dark).map(|(light, dark)| Accent { light, dark }),
        logo: at.parse_optional("logo", row.logo.as_deref())?,
    })
}

/// Stores the look of an organization. A plain look is stored as no row.
pub async fn save_look(tx: &mut Tx, organization: OrganizationId, look: &Look) -> Result<(), StoreError> {
    let id = organization.to_string();
    if look.is_plain() {
        return execute!(tx, DELETE, id).map(drop);
    }
    let (light, dark) = (look.accent.map(|accent| accent.light), look.accent.map(|accent| accent.dark));
    execute!(tx, SAVE, id, text(light.as_ref()), text(dark.as_ref()), text(look.logo.as_ref())).map(drop)
}
