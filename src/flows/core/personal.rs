//! Personal data that is kept for longer than what it tells of: sealed under a key of the account that it is about. Where
//! that key is destroyed the data are gone, and what they stand in stays as it is.

use crate::crypto::MasterKey;
use crate::crypto::seal::{Purpose, Sealer};
use crate::flows::core::Core;
use crate::flows::refusal::FlowError;
use crate::model::AccountId;
use crate::store::account::accounts;
use crate::store::{StoreError, Tx};

impl Core {
    /// What seals an account's personal data. Its key is made when it is needed first.
    pub(in crate::flows) async fn personal_sealer(
        &self,
        tx: &mut Tx,
        account: AccountId,
    ) -> Result<Sealer, FlowError> {
        if let Some(sealer) = self.find_personal_sealer(tx, account).await? {
            return Ok(sealer);
        }
        let key = MasterKey::generate(&*self.random).to_text();
        let sealed =
            self.sealer.seal_text(Purpose::DataKey, &key_context(account), key.expose().as_bytes())?;
        // Of two that make it at once, the first one's is kept.
        accounts::add_data_key(tx, account, &sealed).await?;
        let made = self.find_personal_sealer(tx, account).await?;
        made.ok_or_else(|| StoreError::inconsistent("accounts", "data_key_sealed", account).into())
    }

    /// What opens an account's personal data; `None` when there is no key.
    pub(in crate::flows) async fn find_personal_sealer(
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
