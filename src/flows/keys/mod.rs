//! The broker's own signing keys. They are published before they are used, and kept until the last token has expired.

pub(in crate::flows) mod hint;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::crypto::CryptoError;
use crate::crypto::keys::{KeyRing, RingError, SigningKey};
use crate::crypto::seal::{Purpose, Unsealable};
use crate::flows::core::Core;
use crate::flows::evidence::Event;
use crate::model::{Caller, KeyId, KeyState, KeyTimes, SigningAlg, Timestamp};
use crate::policy::signing::{is_due, retired, stage};
use crate::store::jobs::changes;
use crate::store::organization::apps::find_longest_token_lifetime_of_all_organizations;
use crate::store::provider::keys::{
    SigningKeyRecord, delete_dead_keys, insert_key, list_keys, lock_keys, set_ends,
};
use crate::store::{StoreError, Tx};

/// The algorithms that every deployment has from the start: ID tokens by RS256, access tokens by ES256.
pub const FIRST_ALGORITHMS: [SigningAlg; 2] = [SigningAlg::RS256, SigningAlg::ES256];

/// The topic of a change of keys.
pub const KEYS_TOPIC: &str = "keys";

/// How far apart the clocks of two nodes may be.
const CLOCK_SKEW: Duration = Duration::from_mins(1);

/// The current ring of keys; replaced as a whole.
#[derive(Default)]
struct SigningKeys(RwLock<Option<KeyRing>>);

/// Why there is no ring of keys.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key cannot be made or read.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A key cannot be opened: the master key is not the one that sealed it.
    #[error("the signing keys do not open ({0}): is the master key the one of this database?")]
    Sealed(#[from] Unsealable),
    /// The keys do not form a ring.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The signing keys are not loaded yet.
    #[error("there are no signing keys yet")]
    NotReady,
}

impl SigningKeys {
    fn get(&self) -> Option<KeyRing> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, ring: KeyRing) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(ring);
    }
}

/// The keys that a rotation replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Every key that signs.
    All,
    /// The keys that have signed for `rotate_every`.
    Due,
}

/// How long the keys live, and the tokens that they sign.
#[derive(Debug, Clone)]
pub struct KeySettings {
    /// How long a signing key signs before the next one does.
    pub rotate_every: Duration,
    /// How long a key is published before it signs.
    pub publish_before: Duration,
    /// The longest life of a token whose app sets no other.
    pub token_lifetime: Duration,
    /// How long a session lives at most. An ID token is valid as a hint for as long.
    pub session_max: Duration,
}

/// The keys that sign tokens.
pub struct Keys {
    signing: SigningKeys,
    core: Arc<Core>,
    settings: KeySettings,
}

impl Keys {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(core: &Arc<Core>, settings: KeySettings) -> Self {
        Self { signing: SigningKeys::default(), core: Arc::clone(core), settings }
    }

    /// The current ring of keys.
    pub fn signing_keys(&self) -> Result<KeyRing, SigningError> {
        self.signing.get().ok_or(SigningError::NotReady)
    }

    /// Reads the keys again: after a change, and as time moves them to their next state.
    pub async fn reload_signing_keys(&self) -> Result<(), SigningError> {
        let records = list_keys(&mut self.core.database.read().await?).await?;
        let now = self.core.clock.now();
        let mut keys = Vec::with_capacity(records.len());
        for record in records {
            if let Some(state) = stage(&record.times, now) {
                keys.push((self.open_key(&record)?, state));
            }
        }
        self.signing.set(KeyRing::new(keys)?);
        Ok(())
    }

    fn open_key(&self, record: &SigningKeyRecord) -> Result<SigningKey, SigningError> {
        let context = format!("signing_keys.private:{}", record.id);
        let private = self.core.sealer.open_text(Purpose::PrivateKey, &context, &record.private_sealed)?;
        Ok(SigningKey::from_pkcs8(record.algorithm, record.id.to_string(), &private)?)
    }

    /// Makes a first key for each algorithm that has none, and loads the ring. Such a key signs at once. If several
    /// nodes do this at the same time, one key for each algorithm wins.
    pub async fn ensure_signing_keys(&self, algorithms: &[SigningAlg]) -> Result<(), SigningError> {
        let now = self.core.clock.now();
        let known = list_keys(&mut self.core.database.read().await?).await?;
        let missing = |alg: &&SigningAlg| {
            !known
                .iter()
                .any(|key| key.algorithm == **alg && stage(&key.times, now) == Some(KeyState::Active))
        };
        let mut made = Vec::new();
        for algorithm in algorithms.iter().filter(missing) {
            // A node whose clock is a little behind can sign with it too.
            made.push(self.make_key(*algorithm, now, now.before(CLOCK_SKEW))?);
        }
        if !made.is_empty() {
            let mut tx = self.core.database.write().await?;
            let mut inserted = false;
            for key in &made {
                inserted |= insert_key(&mut tx, key).await?;
            }
            if inserted {
                changes::insert_change(&mut tx, KEYS_TOPIC, now).await?;
                tx.commit().await?;
            }
        }
        self.reload_signing_keys().await
    }

    fn make_key(
        &self,
        algorithm: SigningAlg,
        now: Timestamp,
        signs_from: Timestamp,
    ) -> Result<SigningKeyRecord, SigningError> {
        let id = KeyId::new(now, &*self.core.random);
        let key = SigningKey::generate(algorithm, id.to_string())?;
        let context = format!("signing_keys.private:{id}");
        let private_sealed = self.core.sealer.seal_text(Purpose::PrivateKey, &context, &key.to_pkcs8()?)?;
        Ok(SigningKeyRecord {
            id,
            algorithm,
            private_sealed,
            times: KeyTimes {
                created_at: now,
                signs_from,
                signs_until: None,
                published_until: None,
                verifies_until: None,
            },
        })
    }

    /// Makes successors of keys that sign. A successor is published now and signs after `publish_before`. Then the old
    /// key stops signing; it stays published while its tokens live, and verifies ID token hints for the longest
    /// session's life. Returns the new keys.
    pub async fn rotate_signing_keys(
        &self,
        caller: Caller,
        which: Rotation,
    ) -> Result<Vec<SigningKeyRecord>, SigningError> {
        let now = self.core.clock.now();
        let settings = &self.settings;
        let switch = now.after(settings.publish_before);
        // An RSA key takes a good part of a second to make, so it is made while no other writer waits.
        let mut spare = Vec::new();
        let records = list_keys(&mut self.core.database.read().await?).await?;
        for old in self.without_successor(&records, now, which) {
            spare.push(self.make_key(old.algorithm, now, switch)?);
        }
        let mut tx = self.core.database.write().await?;
        lock_keys(&mut tx).await?;
        let records = list_keys(&mut tx).await?;
        let mut made = Vec::new();
        for old in self.without_successor(&records, now, which) {
            // A key that came after the first read gets its successor at the next rotation.
            let Some(place) = spare.iter().position(|key| key.algorithm == old.algorithm) else { continue };
            let new = spare.swap_remove(place);
            let times = retired(&old.times, switch, self.longest_token(&mut tx).await?, settings.session_max);
            set_ends(&mut tx, old.id, &times).await?;
            if insert_key(&mut tx, &new).await? {
                made.push(new);
            }
        }
        delete_dead_keys(&mut tx, now).await?;
        if !made.is_empty() {
            changes::insert_change(&mut tx, KEYS_TOPIC, now).await?;
            let event = Event { actor: caller.actor(), ..Event::new("keys.rotate") };
            self.core.record_success(&mut tx, &event).await?;
        }
        tx.commit().await?;
        self.reload_signing_keys().await?;
        Ok(made)
    }

    /// The keys that sign and need a successor now: all without one, or only those that have signed for long enough.
    fn without_successor<'a>(
        &self,
        records: &'a [SigningKeyRecord],
        now: Timestamp,
        which: Rotation,
    ) -> impl Iterator<Item = &'a SigningKeyRecord> {
        let settings = &self.settings;
        let (every, publish) = (settings.rotate_every, settings.publish_before);
        records.iter().filter(move |old| {
            let succeeded =
                records.iter().any(|key| key.algorithm == old.algorithm && key.times.signs_from > now);
            let due = which == Rotation::All || is_due(&old.times, now, every, publish);
            old.times.signs_until.is_none() && !succeeded && due
        })
    }

    /// The longest life of a token of any app.
    async fn longest_token(&self, tx: &mut Tx) -> Result<Duration, StoreError> {
        let own = find_longest_token_lifetime_of_all_organizations(tx).await?;
        Ok(own.max(self.settings.token_lifetime))
    }

    /// Calls [`Self::extend_retired_keys`] at a start, which may have brought longer lifetimes.
    pub(in crate::flows) async fn extend_keys_at_start(&self) -> Result<(), SigningError> {
        let now = self.core.clock.now();
        let records = list_keys(&mut self.core.database.read().await?).await?;
        if records.iter().any(|key| key.times.signs_until.is_some_and(|end| now < end)) {
            let mut tx = self.core.database.write().await?;
            self.extend_retired_keys(&mut tx).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Lets the keys that have a successor and still sign live as long as the tokens that are issued now. Must be
    /// called in the transaction that may have made tokens live longer, after its last change of an app.
    pub(in crate::flows) async fn extend_retired_keys(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let now = self.core.clock.now();
        lock_keys(tx).await?;
        let mut records = list_keys(tx).await?;
        records.retain(|key| key.times.signs_until.is_some_and(|end| now < end));
        if records.is_empty() {
            return Ok(());
        }
        let longest = self.longest_token(tx).await?;
        for key in records {
            let end = key.times.signs_until.unwrap_or(now);
            let times = retired(&key.times, end, longest, self.settings.session_max);
            if times != key.times {
                set_ends(tx, key.id, &times).await?;
                changes::insert_change(tx, KEYS_TOPIC, now).await?;
            }
        }
        Ok(())
    }

    /// All keys with their times, for the operator.
    pub async fn list_signing_keys(&self) -> Result<Vec<(SigningKeyRecord, KeyState)>, SigningError> {
        let now = self.core.clock.now();
        let records = list_keys(&mut self.core.database.read().await?).await?;
        Ok(records.into_iter().filter_map(|key| stage(&key.times, now).map(|state| (key, state))).collect())
    }
}
