//! Personal data that is kept for longer than the account that it is about. It is sealed under a key of that account.
//! Once the key is destroyed, the data cannot be read, and the records that hold them stay as they are.

use crate::crypto::MasterKey;
use crate::crypto::seal::{Purpose, Sealer};
use crate::flows::core::Core;
use crate::flows::refusal::FlowError;
use crate::model::AccountId;
use crate::store::account::accounts;
use crate::store::{StoreError, Tx};

impl Core {
    /// The sealer of an account's personal data. Its key is made when it is first needed.
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
        // If two requests make a key at once, the first one is kept.
        accounts::add_data_key(tx, account, &sealed).await?;
        let made = self.find_personal_sealer(tx, account).await?;
        made.ok_or_else(|| StoreError::inconsistent("accounts", "data_key_sealed", account).into())
    }

    /// The sealer of an account's personal data; `None` when there is no key.
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
