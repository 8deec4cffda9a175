//! The memory of the relying-party side: the last data that it read from each provider. They are kept in the database,
//! so that users can still sign in after a restart during a provider's outage.

use std::sync::Arc;

use crate::model::{Clock, ConnectionId};
use crate::store::organization::connections;
use crate::store::{Database, StoreError};
use crate::upstream::{BoxFuture, Memory, Remembered};

/// The database as the memory of the relying-party side.
pub(in crate::flows) struct StoreMemory {
    pub database: Arc<Database>,
    pub clock: Arc<dyn Clock>,
}

impl StoreMemory {
    async fn read(&self, connection: ConnectionId) -> Result<Option<String>, StoreError> {
        connections::find_memory(&mut self.database.read().await?, connection).await
    }

    async fn write(&self, connection: ConnectionId, text: &str) -> Result<(), StoreError> {
        let mut tx = self.database.write().await?;
        connections::save_memory(&mut tx, connection, text, self.clock.now()).await?;
        tx.commit().await
    }
}

impl Memory for StoreMemory {
    fn load(&self, connection: ConnectionId) -> BoxFuture<'_, Option<Remembered>> {
        Box::pin(async move {
            match self.read(connection).await {
                Ok(text) => text.and_then(|text| serde_json::from_str(&text).ok()),
                Err(error) => {
                    tracing::warn!(%error, %connection, "the stored documents of a provider could not be read");
                    None
                }
            }
        })
    }

    fn save(&self, connection: ConnectionId, remembered: Remembered) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let saved = match serde_json::to_string(&remembered) {
                Ok(text) => self.write(connection, &text).await,
                Err(_) => return,
            };
            if let Err(error) = saved {
                tracing::warn!(%error, %connection, "the documents of a provider could not be stored");
            }
        })
    }
}
