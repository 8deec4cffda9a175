//! The hashing threads.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use argon2::Block;
use tokio::sync::oneshot;

use super::MAX_PASSWORD_BYTES;
use super::phc::{self, Cost, PhcError, SALT_LEN, StoredHash};
use super::queue::Queue;
use crate::model::{Random, Secret};

/// When somebody who found the queue full should try again. The queue drains in less.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How passwords are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HasherSettings {
    /// What new hashes cost; older ones that cost less are made anew at sign-in.
    pub cost: Cost,
    /// The most hashes computed at once; never more than there are cores, since one more makes all slower. `None`
    /// is one a core.
    pub threads: Option<usize>,
    /// How many may wait besides those being computed.
    pub queue: usize,
}

impl Default for HasherSettings {
    fn default() -> Self {
        Self { cost: Cost::default(), threads: None, queue: 32 }
    }
}

/// Why a password was neither hashed nor checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Longer than [`MAX_PASSWORD_BYTES`].
    #[error("the password is too long")]
    TooLong,
    /// The queue is full.
    #[error("too many passwords are being checked")]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The stored hash cannot be checked, or the settings cannot be met.
    #[error(transparent)]
    Phc(#[from] PhcError),
    /// The hasher is shutting down, or could not start its threads.
    #[error("passwords cannot be checked now")]
    Unavailable,
}

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the password is the one that was hashed.
    pub matches: bool,
    /// Whether it should be hashed anew, since the stored hash is weaker than the settings; only after a match.
    pub needs_rehash: bool,
}

/// Hashes and checks passwords, a bounded number at once. Cheap to clone; the threads end with the last clone.
#[derive(Clone)]
pub struct PasswordHasher(Arc<Inner>);

struct Inner {
    queue: Arc<Queue<Job>>,
    cost: Cost,
    random: Arc<dyn Random>,
}

/// Work for a hashing thread; it brings the memory.
type Job = Box<dyn FnOnce(&mut Vec<Block>) + Send>;

impl PasswordHasher {
    /// Starts the threads. Their memory (19 MiB each by default) is taken at the first hash.
    pub fn start(settings: HasherSettings, random: Arc<dyn Random>) -> Result<Self, PasswordError> {
        StoredHash::of_nobody(settings.cost)?;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = settings.threads.unwrap_or(cores).clamp(1, cores);
        let queue = Arc::new(Queue::new(settings.queue.saturating_add(threads)));
        // Made before the threads, so that those which started end when one cannot.
        let hasher = Self(Arc::new(Inner { queue: Arc::clone(&queue), cost: settings.cost, random }));
        for number in 0..threads {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name(format!("argon2-{number}"))
                .spawn(move || work(&queue))
                .map_err(|_| PasswordError::Unavailable)?;
        }
        Ok(hasher)
    }

    /// The PHC string of `password`, to be stored.
    pub async fn hash(&self, password: Secret) -> Result<String, PasswordError> {
        let cost = self.0.cost;
        let mut salt = [0; SALT_LEN];
        self.0.random.fill(&mut salt);
        let phc = self.run(password, move |password, memory| phc::hash(password, salt, cost, memory)).await?;
        Ok(phc?)
    }

    /// Holds `password` against a stored PHC string. With `None`, for a name that has no password, the same work is
    /// done and nothing matches, so that the time taken tells nobody which names exist.
    pub async fn verify(&self, password: Secret, phc: Option<String>) -> Result<Verdict, PasswordError> {
        let cost = self.0.cost;
        let exists = phc.is_some();
        let stored = phc.map_or_else(|| StoredHash::of_nobody(cost), |phc| StoredHash::parse(&phc))?;
        let weaker = stored.is_weaker_than(cost);
        let same = self.run(password, move |password, memory| stored.matches(password, memory)).await?;
        let matches = same.map_err(|_| PhcError::Malformed)? && exists;
        Ok(Verdict { matches, needs_rehash: matches && weaker })
    }

    async fn run<T: Send + 'static>(
        &self,
        password: Secret,
        compute: impl FnOnce(&[u8], &mut Vec<Block>) -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        if password.expose().len() > MAX_PASSWORD_BYTES {
            return Err(PasswordError::TooLong);
        }
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |memory| {
            // Somebody who has left is owed no hash.
            if !reply.is_closed() {
                let _ = reply.send(compute(password.expose().as_bytes(), memory));
            }
        });
        self.0.queue.push(job).map_err(|_| PasswordError::Busy { retry_after: RETRY_AFTER })?;
        answer.await.map_err(|_| PasswordError::Unavailable)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl std::fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[password hasher]")
    }
}

fn work(queue: &Queue<Job>) {
    let mut memory = Vec::new();
    while let Some(job) = queue.next() {
        job(&mut memory);
        queue.done();
    }
}
