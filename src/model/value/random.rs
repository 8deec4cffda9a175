//! Randomness as a parameter.

/// A source of unpredictable bytes. The broker uses the operating system's through AWS-LC; tests pass a seeded one.
pub trait Random: Send + Sync {
    /// Fills `bytes` completely.
    fn fill(&self, bytes: &mut [u8]);
}

/// A predictable source for unit tests: counts upwards.
#[cfg(test)]
#[derive(Default)]
pub struct CountingRandom(std::sync::atomic::AtomicU8);

#[cfg(test)]
impl Random for CountingRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
}
