//! What identity providers send: rows 22 to 24 and 64 to 77, each against a provider whose every byte is scripted.
//!
//! A [`Mutant`] is one broken answer with the reason under which the audit log has it. [`refuse_each`] plays them
//! through the whole broker: app, browser, provider, callback.

mod addresses;
mod answers;
mod callbacks;
mod keys;
mod neighbours;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::harness::beta::Beta;
use crate::harness::browser::Page;
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::hostile::{Change, Forgery};

/// One broken answer.
struct Mutant {
    /// What is broken: the claim, the header, the answer.
    kind: &'static str,
    /// How.
    name: String,
    /// The reason in the audit log.
    reason: &'static str,
    /// The provider's part.
    change: Change,
    /// The app's part.
    asked: &'static [(&'static str, &'static str)],
}

impl Mutant {
    fn new(
        kind: &'static str,
        name: impl Into<String>,
        reason: &'static str,
        change: impl Fn(&mut Forgery) + Send + Sync + 'static,
    ) -> Self {
        Self { kind, name: name.into(), reason, change: Arc::new(change), asked: &[] }
    }

    /// With these parameters in the app's request.
    fn asking(self, asked: &'static [(&'static str, &'static str)]) -> Self {
        Self { asked, ..self }
    }
}

/// Longer than a key set is believed.
const KEYS_OLD: Duration = Duration::from_mins(11);

/// Longer than a breaker stays open.
const BREAKER_CLOSES: Duration = Duration::from_secs(10);

/// Plays each mutant: no user is signed in, and nothing remains but a spent state and one record with its reason.
async fn refuse_each(kind: Kind, connection: &str, mutants: Vec<Mutant>) {
    refuse_each_of(kind, connection, |_| {}, mutants).await;
}

/// The same, where `good` makes the good answers.
async fn refuse_each_of(kind: Kind, connection: &str, good: fn(&mut Forgery), mutants: Vec<Mutant>) {
    reasons_tell_kinds_apart(&mutants);
    let beta = Beta::with(kind, connection).await;
    beta.idp.forge(good);
    beta.signs_in("before anything").await;
    let honest_keys = beta.idp.forgery().keys;
    for mutant in mutants {
        let change = Arc::clone(&mutant.change);
        beta.idp.forge(move |forgery| {
            good(forgery);
            change(forgery);
        });
        let other_keys = beta.idp.forgery().keys != honest_keys;
        beta.world.app.clock.advance(if other_keys { KEYS_OLD } else { BREAKER_CLOSES });
        refused(&beta, &mutant).await;
        if other_keys {
            beta.world.app.clock.advance(KEYS_OLD);
        }
    }
    beta.idp.forge(good);
    beta.world.app.clock.advance(KEYS_OLD);
    beta.signs_in("after everything").await;
}

async fn refused(beta: &Beta, mutant: &Mutant) {
    let name = format!("{} {}", mutant.kind, mutant.name);
    let before = Evidence::now(&beta.world.app).await;
    let redeemed = beta.idp.seen("/token").len();
    let mut browser = beta.browser();
    let start = beta.start(&mut browser, mutant.asked).await;
    let mut copy = browser.clone();
    let end = browser.follow(start).await;
    assert_eq!(beta.idp.seen("/token").len(), redeemed + 1, "{name}: {}", end.body);
    assert_refusal(&end, &name);
    assert!(!browser.cookies_of("id.test").contains_key("__Host-session"), "{name}");
    // The state is spent, whatever was wrong with the response.
    let again = copy.request(Method::GET, &end.url, None, "cross-site", None).await;
    assert_eq!(again.error().as_deref(), Some("flow_finished"), "{name}: {}", again.body);
    assert_eq!(beta.idp.seen("/token").len(), redeemed + 1, "{name}");
    let changes = before.changes(&beta.world.app).await;
    assert!(changes.rows.is_empty(), "{name}: {changes:?}");
    let expected = [format!("sign_in refused {}", mutant.reason), "sign_in refused state_spent".to_owned()];
    assert_eq!(changes.audit, expected, "{name}");
}

/// A page that refuses, or an error for the app; no code either way.
fn assert_refusal(end: &Page, name: &str) {
    assert_eq!(end.location_parameter("code"), None, "{name}");
    match end.location_parameter("error") {
        Some(error) => {
            let told = ["login_required", "temporarily_unavailable", "unmet_authentication_requirements"];
            assert!(told.contains(&&*error), "{name}: {error}");
        }
        None => {
            assert!(end.status.is_client_error() || end.status.is_server_error(), "{name}: {}", end.status);
            let error = end.error().unwrap_or_else(|| panic!("{name}: {}", end.body));
            assert!(
                ["idp_answer_invalid", "idp_refused", "idp_unreachable"].contains(&&*error),
                "{name}: {error}"
            );
            end.expect(end.status.as_u16(), "receipt");
        }
    }
}

/// What is wrong can be told from the reason: no two kinds share one.
fn reasons_tell_kinds_apart(mutants: &[Mutant]) {
    let mut kinds = BTreeMap::new();
    for mutant in mutants {
        let kind = *kinds.entry(mutant.reason).or_insert(mutant.kind);
        assert_eq!(kind, mutant.kind, "{} is the reason of two kinds", mutant.reason);
    }
}
