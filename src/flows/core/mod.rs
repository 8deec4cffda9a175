//! The parts that all services share: the database, the clock and randomness, the audit log, the directory, and the
//! sealer. This module knows none of the concerns.

pub mod credentials;
mod floods;
mod memory;
mod personal;
mod record;
mod settle;

use std::sync::Arc;

use prometheus_client::metrics::histogram::Histogram;

use crate::crypto::mac::MacKey;
use crate::crypto::seal::Sealer;
use crate::flows::directory::{Directory, DirectoryLoads};
use crate::flows::queue::Queue;
use crate::flows::refusal::FlowError;
use crate::model::{Clock, ConnectionId, IdSequence, Look, OrganizationId, Random};
use crate::store::Database;
use floods::Refusals;

pub(in crate::flows) use memory::StoreMemory;

/// The parts that all services share.
pub struct Core {
    pub(in crate::flows) database: Arc<Database>,
    pub(in crate::flows) clock: Arc<dyn Clock>,
    pub(in crate::flows) random: Arc<dyn Random>,
    pub(in crate::flows) directory: Directory,
    pub(in crate::flows) sealer: Sealer,
    pub(in crate::flows) queue: Queue,
    issuer: String,
    audit_ids: IdSequence,
    refusals: Refusals,
    network_mac: MacKey,
}

impl Core {
    /// The core of a deployment. `issuer` is its public URL, without a slash at the end.
    pub(in crate::flows) fn new(
        issuer: String,
        database: Arc<Database>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        sealer: Sealer,
        network_mac: MacKey,
    ) -> Self {
        Self {
            directory: Directory::new(Arc::clone(&database), &clock),
            audit_ids: IdSequence::default(),
            refusals: Refusals::new(),
            queue: Queue::new(Arc::clone(&database), sealer.clone(), Arc::clone(&clock), Arc::clone(&random)),
            issuer,
            database,
            clock,
            random,
            sealer,
            network_mac,
        }
    }

    /// The broker's issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// An address of the broker's own.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// The address that a connection's provider sends browsers back to.
    pub fn callback_url(&self, connection: ConnectionId) -> String {
        self.url(&format!("/sso/callback/{connection}"))
    }

    /// The durable queue.
    pub const fn queue(&self) -> &Queue {
        &self.queue
    }

    /// How an organization's pages look, for the stylesheet; the plain look if there is no such organization.
    pub async fn look(&self, organization: OrganizationId) -> Result<Arc<Look>, FlowError> {
        Ok(self.directory.look(organization).await?)
    }

    /// How often the directory's caches asked the database, for the operator's metrics.
    pub fn directory_loads(&self) -> DirectoryLoads {
        self.directory.loads()
    }

    /// How long calls to the database held the thread of a request, for the operator's metrics; `None` where no call
    /// does.
    pub fn statement_seconds(&self) -> Option<Histogram> {
        self.database.statement_seconds()
    }

    /// The number of changes of the directory that this node has seen.
    pub fn directory_generation(&self) -> u64 {
        self.directory.generation()
    }
}
