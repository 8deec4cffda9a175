//! The two sides of an entry of the ledger, with personal data: each is sealed under the key of its own account, and gone
//! when that key is destroyed. The rest of the entry stays.

use crate::crypto::seal::{Purpose, Unsealable};
use crate::flows::profile::Profiles;
use crate::flows::refusal::FlowError;
use crate::model::{AccountId, LedgerEntry, NamedSide};
use crate::store::{StoreError, Tx};

/// One side of a ledger entry, as it is stored.
#[derive(serde::Serialize, serde::Deserialize)]
struct SealedSide {
    /// The account whose key seals it.
    under: AccountId,
    sealed: String,
}

impl Profiles {
    /// Seals the sides of an entry, each under the key of its own account. A side without an account is sealed under
    /// the key of the account that the entry is about.
    pub(super) async fn seal_sides(
        &self,
        tx: &mut Tx,
        entry: &LedgerEntry,
        sides: &[NamedSide],
    ) -> Result<String, FlowError> {
        let unwritable = |_| FlowError::Unavailable("an entry of the ledger cannot be written".to_owned());
        let mut kept = Vec::with_capacity(sides.len());
        for (number, side) in sides.iter().enumerate() {
            let under = side.account.unwrap_or(entry.account);
            let sealer = self.core.personal_sealer(tx, under).await?;
            let text = serde_json::to_vec(side).map_err(unwritable)?;
            let sealed = sealer.seal_text(Purpose::PersonalData, &side_context(entry, number), &text)?;
            kept.push(SealedSide { under, sealed });
        }
        serde_json::to_string(&kept).map_err(unwritable)
    }

    /// The identities of an entry, as they were. If the key of a side was destroyed, only its account is known.
    pub(in crate::flows) async fn open_sides(
        &self,
        tx: &mut Tx,
        entry: &LedgerEntry,
    ) -> Result<Vec<NamedSide>, StoreError> {
        let broken = || StoreError::inconsistent("link_ledger", "sides_sealed", entry.id);
        let kept: Vec<SealedSide> = serde_json::from_str(&entry.sides_sealed).map_err(|_| broken())?;
        let mut sides = Vec::with_capacity(kept.len());
        for (number, side) in kept.iter().enumerate() {
            let opened = match self.core.find_personal_sealer(tx, side.under).await? {
                Some(sealer) => {
                    sealer.open_text(Purpose::PersonalData, &side_context(entry, number), &side.sealed)
                }
                None => Err(Unsealable::OtherKey),
            };
            sides.push(match opened {
                Ok(text) => serde_json::from_slice(&text).map_err(|_| broken())?,
                Err(Unsealable::OtherKey) => NamedSide::erased(side.under, entry.at),
                Err(_) => return Err(broken()),
            });
        }
        Ok(sides)
    }
}

fn side_context(entry: &LedgerEntry, number: usize) -> String {
    format!("link_ledger.sides:{}:{number}", entry.id)
}
