//! The services that apps call: authorization, tokens, userinfo, introspection, revocation, logout, metadata.

pub mod authorize;
mod client_guesses;
pub mod clients;
pub mod consent;
pub mod introspect;
pub mod logout;
pub mod metadata;
pub mod revoke;
pub mod token;
pub mod userinfo;

use std::sync::Arc;
use std::time::Duration;

use crate::crypto::mac::MacKey;
use crate::flows::core::Core;
use crate::flows::interaction::Interactions;
use crate::flows::keys::Keys;
use crate::flows::session::Sessions;
use crate::flows::sign_in::SignIn;
use crate::upstream::Upstream;
use client_guesses::ClientGuesses;
use token::access::VerifiedTokens;

/// The authorization endpoint, and the consent that it may need.
pub struct Authorization {
    core: Arc<Core>,
    keys: Arc<Keys>,
    interactions: Arc<Interactions>,
    sessions: Arc<Sessions>,
    sign_in: Arc<SignIn>,
    state_bytes: usize,
}

impl Authorization {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(
        core: &Arc<Core>,
        keys: &Arc<Keys>,
        interactions: &Arc<Interactions>,
        sessions: &Arc<Sessions>,
        sign_in: &Arc<SignIn>,
        state_bytes: usize,
    ) -> Self {
        Self {
            core: Arc::clone(core),
            keys: Arc::clone(keys),
            interactions: Arc::clone(interactions),
            sessions: Arc::clone(sessions),
            sign_in: Arc::clone(sign_in),
            state_bytes,
        }
    }
}

/// The authentication of apps.
pub struct Clients {
    core: Arc<Core>,
    client_guesses: ClientGuesses,
}

impl Clients {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(core: &Arc<Core>) -> Self {
        Self { core: Arc::clone(core), client_guesses: ClientGuesses::default() }
    }
}

/// How long codes and tokens live.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// A code.
    pub code_lifetime: Duration,
    /// An access token.
    pub access_token_lifetime: Duration,
    /// An ID token.
    pub id_token_lifetime: Duration,
    /// A refresh token that is not used.
    pub refresh_idle: Duration,
    /// A family of refresh tokens, at most.
    pub refresh_max: Duration,
}

/// Codes and tokens.
pub struct Tokens {
    core: Arc<Core>,
    keys: Arc<Keys>,
    code_mac: MacKey,
    verified: VerifiedTokens,
    settings: TokenSettings,
}

impl Tokens {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(
        core: &Arc<Core>,
        keys: &Arc<Keys>,
        code_mac: MacKey,
        settings: TokenSettings,
    ) -> Self {
        Self {
            core: Arc::clone(core),
            keys: Arc::clone(keys),
            code_mac,
            verified: VerifiedTokens::default(),
            settings,
        }
    }
}

/// Signing out, at an app's request or on the user's own page.
pub struct Logouts {
    core: Arc<Core>,
    keys: Arc<Keys>,
    interactions: Arc<Interactions>,
    sessions: Arc<Sessions>,
    upstream: Arc<Upstream>,
    state_bytes: usize,
}

impl Logouts {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(
        core: &Arc<Core>,
        keys: &Arc<Keys>,
        interactions: &Arc<Interactions>,
        sessions: &Arc<Sessions>,
        upstream: &Arc<Upstream>,
        state_bytes: usize,
    ) -> Self {
        Self {
            core: Arc::clone(core),
            keys: Arc::clone(keys),
            interactions: Arc::clone(interactions),
            sessions: Arc::clone(sessions),
            upstream: Arc::clone(upstream),
            state_bytes,
        }
    }
}

/// The broker's metadata and public keys.
pub struct Metadata {
    core: Arc<Core>,
    keys: Arc<Keys>,
}

impl Metadata {
    /// The service, on the shared core and the services that it calls.
    pub(in crate::flows) fn new(core: &Arc<Core>, keys: &Arc<Keys>) -> Self {
        Self { core: Arc::clone(core), keys: Arc::clone(keys) }
    }
}
