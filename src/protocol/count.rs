//! How many parts a message may have: the one place that counts parameters, words and members of lists.
//!
//! Clients choose how many they send. The broker counts here first and refuses what exceeds the limit, so that no
//! later step meets more.

/// The most parameters of a query or form, words in a list of words, and members of an array.
pub const MOST: usize = 100;

/// More than [`MOST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MOST} of what is counted")]
pub struct TooMany;

/// Collects at most [`MOST`] items. It stops reading at the first item beyond.
pub fn counted<T>(items: impl IntoIterator<Item = T>) -> Result<Vec<T>, TooMany> {
    let mut items = items.into_iter();
    let kept = items.by_ref().take(MOST).collect();
    if items.next().is_some() { Err(TooMany) } else { Ok(kept) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_pass_and_the_next_one_ends_the_reading() {
        assert_eq!(counted(0..100).map(|kept| kept.len()), Ok(100));
        let mut seen = 0;
        let endless = std::iter::repeat_with(|| seen += 1);
        assert_eq!(counted(endless), Err(TooMany));
        assert_eq!(seen, 101);
    }
}
