//! The faults that an emulated identity provider can have, so that a rehearsal shows what users then see.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::model::value::words::word_enum;

word_enum! {
    /// A fault.
    Fault {
        /// Its endpoints respond after half a minute.
        Slow = "slow",
        /// Every page and endpoint responds with 503.
        Down = "down",
        /// Its endpoints respond with text that is not JSON.
        Garbage = "garbage",
        /// It signs with a key that it does not publish.
        RotatedKeys = "rotated-keys",
        /// Its ID tokens and UserInfo responses are about another user.
        WrongClaims = "wrong-claims",
        /// Its clock is an hour ahead.
        ClockOff = "clock-off",
    }
}

impl Fault {
    /// A sentence for the operator who chooses a fault.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Slow => "The endpoints for metadata, keys, tokens and userinfo answer after 30 seconds",
            Self::Down => "Every page and endpoint answers with status 503",
            Self::Garbage => {
                "The endpoints for metadata, keys, tokens and userinfo answer with something that is not JSON"
            }
            Self::RotatedKeys => "The provider signs ID tokens with a new key that it does not publish",
            Self::WrongClaims => "ID tokens are for another client, and userinfo is about another user",
            Self::ClockOff => "The provider's clock is an hour ahead, and so are the times in its ID tokens",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Slow => 1,
            Self::Down => 1 << 1,
            Self::Garbage => 1 << 2,
            Self::RotatedKeys => 1 << 3,
            Self::WrongClaims => 1 << 4,
            Self::ClockOff => 1 << 5,
        }
    }
}

/// The faults of the moment. Clones share them, so that a fault can begin and end while the identity provider runs.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<AtomicU8>);

impl Faults {
    /// Begins this fault.
    pub fn begin(&self, fault: Fault) {
        self.0.fetch_or(fault.bit(), Ordering::SeqCst);
    }

    /// Ends this fault.
    pub fn end(&self, fault: Fault) {
        self.0.fetch_and(!fault.bit(), Ordering::SeqCst);
    }

    /// Whether this fault is in effect.
    pub fn has(&self, fault: Fault) -> bool {
        self.0.load(Ordering::SeqCst) & fault.bit() != 0
    }
}

impl FromIterator<Fault> for Faults {
    fn from_iter<I: IntoIterator<Item = Fault>>(faults: I) -> Self {
        let set = Self::default();
        for fault in faults {
            set.begin(fault);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_begin_and_end_apart_from_each_other() {
        let faults: Faults = Fault::ALL.iter().copied().collect();
        for (number, fault) in Fault::ALL.iter().enumerate() {
            faults.clone().end(*fault);
            for (other, known) in Fault::ALL.iter().enumerate() {
                assert_eq!(faults.has(*known), other > number, "{known}");
            }
        }
        faults.begin(Fault::Down);
        assert!(faults.has(Fault::Down) && !faults.has(Fault::Slow));
    }
}
