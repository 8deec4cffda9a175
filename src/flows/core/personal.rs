//! Personal data that is kept for longer than the account that it is about. It is sealed under a key of that account.
//! Once the key is destroyed, the data cannot be read, and the records that hold them stay as they are.

use crate::crypto::MasterKey;
use crate::crypto::seal::{Purpose, Sealer, Unsealable};
use crate::flows::core::Core;
use crate::flows::refusal::FlowError;
use crate::model::{AccountId, LedgerEntry, NamedSide};
use crate::store::account::accounts;
use crate::store::{StoreError, Tx};

/// One side of a ledger entry, as it is stored.
#[derive(serde::Serialize, serde::Deserialize)]
struct SealedSide {
    /// The account whose key seals it.
    under: AccountId,
    sealed: String,
}

impl Core {
    /// Seals the sides of an entry, each under the key of its own account. A side without an account is sealed under
    /// the key of the account that the entry is about.
    pub(in crate::flows) async fn seal_sides(
        &self,
        tx: &mut Tx,
        entry: &LedgerEntry,
        sides: &[NamedSide],
    ) -> Result<String, FlowError> {
        let unwritable = |_| FlowError::Unavailable("an entry of the ledger cannot be written".to_owned());
        let mut kept = Vec::with_capacity(sides.len());
        for (number, side) in sides.iter().enumerate() {
            let under = side.account.unwrap_or(entry.account);
            let sealer = self.personal_sealer(tx, under).await?;
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
            let opened = match self.find_personal_sealer(tx, side.under).await? {
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

    /// The sealer of an account's personal data. Its key is made when it is first needed.
    async fn personal_sealer(&self, tx: &mut Tx, account: AccountId) -> Result<Sealer, FlowError> {
        if let Some(sealer) = self.find_personal_sealer(tx, account).await? {
            return Ok(sealer);
        }
        let key = MasterKey::generate(&*self.random).to_text();
        let sealed =
            self.sealer.seal_text(Purpose::DataKey, &key_context(account), key.expose().as_bytes())?;
        // If two requests make a key at once, the first one is kept.
        accounts::add_data_key(tx, account, &sealed).await?;
        let made = self.find_personal_sealer(tx, account).await?;
        made.ok_or_else(|| StoreError::inconsistent("accounts", "data_key_sealed", account).into())
    }

    /// The sealer of an account's personal data; `None` when there is no key.
    async fn find_personal_sealer(
        &self,
        tx: &mut Tx,
        account: AccountId,
    ) -> Result<Option<Sealer>, StoreError> {
        let Some(sealed) = accounts::find_data_key(tx, account).await? else { return Ok(None) };
        let broken = || StoreError::inconsistent("accounts", "data_key_sealed", account);
        let text = self.sealer.open_text(Purpose::DataKey, &key_context(account), &sealed);
        let text = text.map_err(|_| broken())?;
        let key = std::str::from_utf8(&text).ok().and_then(|text| MasterKey::from_text(text).ok());
        let sealer = Sealer::new(&key.ok_or_else(broken)?, &[], std::sync::Arc::clone(&self.random));
        sealer.map(Some).map_err(|_| broken())
    }
}

fn key_context(account: AccountId) -> String {
    format!("accounts.data_key:{account}")
}

fn side_context(entry: &LedgerEntry, number: usize) -> String {
    format!("link_ledger.sides:{}:{number}", entry.id)
}
