//! The threads that hash passwords.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use argon2::Block;
use tokio::sync::oneshot;

use super::MAX_PASSWORD_BYTES;
use super::phc::{self, Cost, PhcError, SALT_LEN, StoredHash};
use super::queue::{self, Queue, Share};
use crate::model::{Random, Secret};

/// How passwords are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HasherSettings {
    /// The cost of a new hash. A cheaper stored hash is replaced at sign-in.
    pub cost: Cost,
    /// The most hashes computed at once. It is never more than the number of cores, since one more would slow down
    /// all. `None` means one per core.
    pub threads: Option<usize>,
    /// How many may wait in addition to those being computed. From four on, strangers and users who have signed in
    /// before leave each other a quarter.
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
    /// The queue is full, or does not move.
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

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the password matches the hash.
    pub matches: bool,
    /// Whether it should be hashed again, because the stored hash is weaker than the settings. It is true only after a
    /// match.
    pub needs_rehash: bool,
}

/// Hashes and checks passwords, a limited number at once. It is cheap to clone; the threads end with the last clone.
#[derive(Clone)]
pub struct PasswordHasher(Arc<Inner>);

struct Inner {
    queue: Arc<Queue<Job>>,
    cost: Cost,
    random: Arc<dyn Random>,
    patience: Duration,
}

/// A job for a hashing thread, which provides the memory. It returns whether there was work to do.
type Job = Box<dyn FnOnce(&mut Vec<Block>) -> bool + Send>;

/// A place for one password in the queue of the hashing threads. It is held until the password was hashed or this is
/// dropped.
pub struct Place(queue::Place<Job>);

/// The scheduling priority of the hashing threads: the lowest of an ordinary thread. They compute when no other thread
/// would, so that a crowd at the sign-in page slows down only itself. Where other threads keep all cores busy, they
/// get at most a seventieth of the time.
const NICENESS: i32 = 19;

/// How long a password waits for its turn: longer than a full queue takes, but shorter than a client waits for a
/// response.
const PATIENCE: Duration = Duration::from_secs(20);

impl PasswordHasher {
    /// Starts the threads. Their memory (19 MiB each by default) is allocated at the first hash.
    pub fn start(settings: HasherSettings, random: Arc<dyn Random>) -> Result<Self, PasswordError> {
        StoredHash::of_nobody(settings.cost)?;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = settings.threads.unwrap_or(cores).clamp(1, cores);
        let queue = Arc::new(Queue::new(
            settings.queue.saturating_add(threads),
            settings.queue / 4,
            u32::try_from(threads).unwrap_or(u32::MAX),
        ));
        // It is created before the threads, so that if one cannot start, the others end.
        let hasher = Self(Arc::new(Inner {
            queue: Arc::clone(&queue),
            cost: settings.cost,
            random,
            patience: PATIENCE,
        }));
        for number in 0..threads {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name(format!("argon2-{number}"))
                .spawn(move || work(&queue))
                .map_err(|_| PasswordError::Unavailable)?;
        }
        Ok(hasher)
    }

    /// Hashes `password`. Returns the PHC string to be stored.
    pub async fn hash(&self, share: Share, password: Secret) -> Result<String, PasswordError> {
        check_length(&password)?;
        let cost = self.0.cost;
        let mut salt = [0; SALT_LEN];
        self.0.random.fill(&mut salt);
        let hash = move |password: &[u8], memory: &mut Vec<Block>| phc::hash(password, salt, cost, memory);
        Ok(self.run(self.enter(share)?, password, hash).await??)
    }

    /// Checks a password against a stored PHC string. `None` stands for a name without a password: the same work is
    /// done and nothing matches, so that the time does not reveal which names exist.
    pub async fn verify(
        &self,
        share: Share,
        password: Secret,
        phc: Option<String>,
    ) -> Result<Verdict, PasswordError> {
        check_length(&password)?;
        self.verify_in(self.enter(share)?, password, phc).await
    }

    /// Takes a place for one password. A caller that gets none is told to come back before any other work is done for
    /// it.
    pub fn enter(&self, share: Share) -> Result<Place, PasswordError> {
        let place = self.0.queue.enter(share, Instant::now());
        place.map(Place).map_err(|retry_after| PasswordError::Busy { retry_after })
    }

    /// [`verify`](Self::verify), for a caller that has a place already.
    pub async fn verify_in(
        &self,
        place: Place,
        password: Secret,
        phc: Option<String>,
    ) -> Result<Verdict, PasswordError> {
        let cost = self.0.cost;
        let exists = phc.is_some();
        let stored = phc.map_or_else(|| StoredHash::of_nobody(cost), |phc| StoredHash::parse(&phc))?;
        let weaker = stored.is_weaker_than(cost);
        let same =
            self.run(place, password, move |password, memory| stored.matches(password, memory)).await?;
        let matches = same.map_err(|_| PhcError::Malformed)? && exists;
        Ok(Verdict { matches, needs_rehash: matches && weaker })
    }

    async fn run<T: Send + 'static>(
        &self,
        place: Place,
        password: Secret,
        compute: impl FnOnce(&[u8], &mut Vec<Block>) -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        check_length(&password)?;
        let (reply, answer) = oneshot::channel();
        let share = place.0.share().clone();
        let job: Job = Box::new(move |memory| {
            // A caller that has left needs no hash.
            let is_owed = !reply.is_closed();
            if is_owed {
                let computed = compute(password.expose().as_bytes(), memory);
                // Before the reply: the caller may send the next password as soon as it has the reply.
                drop(place);
                let _ = reply.send(computed);
            }
            is_owed
        });
        self.0.queue.push(&share, job).map_err(|_| PasswordError::Unavailable)?;
        match tokio::time::timeout(self.0.patience, answer).await {
            Ok(answer) => answer.map_err(|_| PasswordError::Unavailable),
            // The queue does not move, because the cores are busy with something else.
            Err(_) => Err(PasswordError::Busy { retry_after: self.0.patience }),
        }
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

fn check_length(password: &Secret) -> Result<(), PasswordError> {
    let fits = password.expose().len() <= MAX_PASSWORD_BYTES;
    fits.then_some(()).ok_or(PasswordError::TooLong)
}

fn work(queue: &Queue<Job>) {
    yield_to_everything_else();
    let mut memory = Vec::new();
    while let Some(job) = queue.next() {
        let began = Instant::now();
        if job(&mut memory) {
            queue.note_work(began.elapsed());
        }
    }
}

/// Lowers the priority of this thread. On Linux the priority belongs to the thread; elsewhere it would be that of the
/// whole program.
fn yield_to_everything_else() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "the priority of a hashing thread stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Barrier, mpsc};
    use std::task::Poll;

    use super::*;
    use crate::model::value::random::CountingRandom;

    /// The wait that a caller is told before any hash has been computed.
    const BUSY: PasswordError = PasswordError::Busy { retry_after: Duration::from_secs(1) };

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

    fn hasher(threads: usize, queue: usize) -> PasswordHasher {
        let settings = HasherSettings { cost: CHEAP, threads: Some(threads), queue };
        PasswordHasher::start(settings, Arc::new(CountingRandom::default())).unwrap()
    }

    /// A different client each time.
    fn who() -> Share {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        Share::Network(NUMBER.fetch_add(1, Ordering::SeqCst).to_string())
    }

    fn secret() -> Secret {
        Secret::new("correct horse battery staple")
    }

    /// Polls once, which puts a password in the queue or shows that there is no place.
    async fn enter<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        let mut future = Some(future);
        std::future::poll_fn(move |context| {
            Poll::Ready(future.take().map_or(Poll::Pending, |future| future.poll(context)))
        })
        .await
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let hasher = hasher(1, 4);
        let phc = hasher.hash(who(), secret()).await.unwrap();
        let verdict = hasher.verify(who(), secret(), Some(phc.clone())).await;
        assert_eq!(verdict, Ok(Verdict { matches: true, needs_rehash: false }));
        let verdict = hasher.verify(who(), Secret::new("Correct horse battery staple"), Some(phc)).await;
        assert_eq!(verdict, Ok(Verdict { matches: false, needs_rehash: false }));
    }

    #[tokio::test]
    async fn each_hash_has_a_salt_of_its_own() {
        let hasher = hasher(1, 4);
        assert_ne!(hasher.hash(who(), secret()).await.unwrap(), hasher.hash(who(), secret()).await.unwrap());
    }

    #[tokio::test]
    async fn no_password_is_right_where_there_is_none() {
        let hasher = hasher(1, 4);
        for password in [secret(), Secret::new("")] {
            let verdict = hasher.verify(who(), password, None).await;
            assert_eq!(verdict, Ok(Verdict { matches: false, needs_rehash: false }));
        }
    }

    #[tokio::test]
    async fn a_weaker_hash_is_replaced_only_after_the_right_password() {
        let phc = hasher(1, 4).hash(who(), secret()).await.unwrap();
        let settings = HasherSettings { cost: Cost { passes: 2, ..CHEAP }, threads: Some(1), queue: 4 };
        let stronger = PasswordHasher::start(settings, Arc::new(CountingRandom::default())).unwrap();
        let verdict = stronger.verify(who(), secret(), Some(phc.clone())).await;
        assert_eq!(verdict, Ok(Verdict { matches: true, needs_rehash: true }));
        let verdict = stronger.verify(who(), Secret::new("wrong"), Some(phc)).await;
        assert_eq!(verdict, Ok(Verdict { matches: false, needs_rehash: false }));
    }

    #[tokio::test]
    async fn an_overlong_password_is_refused_before_it_is_hashed() {
        let hasher = hasher(1, 0);
        let release = occupy(&hasher, 1).await;
        let (long, longest) = ("é".repeat(MAX_PASSWORD_BYTES / 2) + "x", "é".repeat(MAX_PASSWORD_BYTES / 2));
        assert_eq!(hasher.hash(who(), Secret::new(long.clone())).await, Err(PasswordError::TooLong));
        assert_eq!(hasher.verify(who(), Secret::new(long), None).await, Err(PasswordError::TooLong));
        assert_eq!(hasher.hash(who(), Secret::new(longest.clone())).await, Err(BUSY));
        drop(release);
    }

    #[tokio::test]
    async fn a_hash_that_cannot_be_checked_is_an_error_and_no_refusal() {
        let hasher = hasher(1, 4);
        let verdict = hasher.verify(who(), secret(), Some("$argon2id$nonsense".to_owned())).await;
        assert_eq!(verdict, Err(PasswordError::Phc(PhcError::Malformed)));
        let settings = HasherSettings { cost: Cost { memory_kib: 1, ..CHEAP }, ..HasherSettings::default() };
        let refused = PasswordHasher::start(settings, Arc::new(CountingRandom::default())).err();
        assert_eq!(refused, Some(PasswordError::Phc(PhcError::Malformed)));
    }

    /// Keeps `threads` threads of `hasher` busy until the result is dropped.
    async fn occupy(hasher: &PasswordHasher, threads: usize) -> Vec<mpsc::Sender<()>> {
        let mut holds = Vec::new();
        for _ in 0..threads {
            let (release, released) = mpsc::channel::<()>();
            let (started, start) = oneshot::channel();
            let hasher = hasher.clone();
            tokio::spawn(async move {
                let hold = move |_: &[u8], _: &mut Vec<Block>| {
                    let _ = started.send(());
                    let _ = released.recv();
                };
                let _ = hasher.run(hasher.enter(who()).unwrap(), secret(), hold).await;
            });
            start.await.unwrap();
            holds.push(release);
        }
        holds
    }

    #[tokio::test]
    async fn a_caller_who_finds_the_queue_full_is_told_to_come_back() {
        let hasher = hasher(1, 2);
        let release = occupy(&hasher, 1).await;
        let (mut first, mut second) =
            (pin!(hasher.hash(who(), secret())), pin!(hasher.verify(who(), secret(), None)));
        assert!(enter(first.as_mut()).await.is_pending() && enter(second.as_mut()).await.is_pending());
        assert_eq!(hasher.hash(who(), secret()).await, Err(BUSY));
        assert_eq!(hasher.verify(who(), secret(), None).await, Err(BUSY));
        drop(release);
        assert!(first.await.is_ok() && second.await.is_ok());
        assert!(hasher.hash(who(), secret()).await.is_ok());
    }

    #[tokio::test]
    async fn a_caller_who_waits_while_the_queue_stands_still_is_told_to_come_back() {
        let mut hasher = hasher(1, 2);
        Arc::get_mut(&mut hasher.0).unwrap().patience = Duration::from_millis(1);
        let release = occupy(&hasher, 1).await;
        let told = hasher.verify(who(), secret(), None).await;
        assert_eq!(told, Err(PasswordError::Busy { retry_after: Duration::from_millis(1) }));
        drop(release);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_place_is_free_again_once_its_answer_has_arrived() {
        let hasher = hasher(1, 0);
        for number in 0..2_000 {
            let computed = hasher.run(hasher.enter(Share::Operator).unwrap(), secret(), move |_, _| number);
            assert_eq!(computed.await, Ok(number));
        }
    }

    #[tokio::test]
    async fn a_crowd_leaves_room_for_others_and_for_those_who_are_known() {
        let hasher = hasher(1, 8);
        let crowd = || hasher.enter(Share::Network("198.51.100.7".to_owned()));
        let held: Vec<_> = std::iter::from_fn(|| crowd().ok()).collect();
        assert!(held.len() < 8 && matches!(crowd(), Err(PasswordError::Busy { .. })), "{}", held.len());
        assert!(hasher.enter(who()).is_ok());
        let many: Vec<_> = std::iter::from_fn(|| hasher.enter(who()).ok()).collect();
        assert!(matches!(hasher.enter(who()), Err(PasswordError::Busy { .. })), "{}", many.len());
        assert!(hasher.enter(Share::Known("bob".to_owned())).is_ok());
        assert!(hasher.enter(Share::Operator).is_ok());
    }

    #[tokio::test]
    async fn no_hash_is_computed_for_a_caller_who_has_left() {
        let hasher = hasher(1, 2);
        let release = occupy(&hasher, 1).await;
        let computed = Arc::new(AtomicBool::new(false));
        {
            let computed = Arc::clone(&computed);
            let compute = move |_: &[u8], _: &mut Vec<Block>| computed.store(true, Ordering::SeqCst);
            let mut leaving = pin!(hasher.run(hasher.enter(who()).unwrap(), secret(), compute));
            assert!(enter(leaving.as_mut()).await.is_pending());
        }
        drop(release);
        assert!(hasher.hash(who(), secret()).await.is_ok());
        assert!(!computed.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn as_many_are_computed_at_once_as_there_are_threads_and_no_more() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let hasher = hasher(1_000, 1);
        // All threads meet here, which fewer threads could not; while all of them are held, one more password waits in
        // the queue.
        let barrier = Arc::new(Barrier::new(cores + 1));
        let mut at_work = Vec::new();
        for _ in 0..cores {
            let barrier = Arc::clone(&barrier);
            let compute = move |_: &[u8], _: &mut Vec<Block>| (barrier.wait(), barrier.wait());
            let mut task = Box::pin(hasher.run(hasher.enter(who()).unwrap(), secret(), compute));
            assert!(enter(task.as_mut()).await.is_pending());
            at_work.push(task);
        }
        barrier.wait();
        let mut waiting = pin!(hasher.hash(who(), secret()));
        assert!(enter(waiting.as_mut()).await.is_pending());
        assert_eq!(hasher.hash(who(), secret()).await, Err(BUSY));
        barrier.wait();
        for task in at_work {
            assert!(task.await.is_ok());
        }
        assert!(waiting.await.is_ok());
    }
}
