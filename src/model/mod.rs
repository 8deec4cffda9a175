//! The nouns of the broker: ids, names, typed records and their states.
//!
//! Nothing here performs I/O, and nothing here imports another room. The vocabulary is the one of the
//! product: an *organization* owns *domains*, *connections*, *apps* and *accounts*; an account has *profiles*;
//! a *flow* is one attempt of one browser to get from an app's request to a code.

pub mod id;
pub mod random;
pub mod secret;
pub mod time;

pub use id::{
    AccountId, AppId, AuditId, ConnectionId, FlowId, GrantId, IdError, KeyId, OrganizationId, ProfileId,
    SessionId,
};
pub use random::Random;
pub use secret::Secret;
pub use time::{Clock, SystemClock, Timestamp};
