//! Whether a session satisfies an app's request, so that the user need not sign in again.

use std::time::Duration;

use super::context::is_accepted;
use crate::model::{AccountId, AuthorizationRequest, ConnectionId, Email, Prompt, Session, Timestamp};

/// The facts about a session when a request arrives.
#[derive(Debug, Clone, Copy)]
pub struct SessionFacts<'a> {
    /// The session, which has not ended.
    pub session: &'a Session,
    /// Whether the account, its organization and the connection are enabled now.
    pub active: bool,
    /// Whether the account may use the app.
    pub may_use_app: bool,
    /// The account's username, in its compared form.
    pub username_key: Option<&'a str>,
    /// The account that the app knows by the name in `login_hint`, if there is one.
    pub hinted: Option<AccountId>,
    /// The account's email.
    pub email: Option<&'a Email>,
    /// The connections that the app, `idp_hint` and `domain_hint` allow. `None` allows every connection, and
    /// passwords.
    pub allowed: Option<&'a [ConnectionId]>,
}

/// Why a session does not satisfy a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsatisfied {
    /// The app demands a new sign-in, or this one is too old for it.
    Stale,
    /// The app wants the user to choose the account.
    Selection,
    /// The account, its organization or the connection is disabled.
    Inactive,
    /// The request names another account.
    OtherAccount,
    /// The user signed in through a connection that the request does not allow.
    OtherConnection,
    /// The user signed in with an authentication context that the app does not accept.
    Context,
    /// The account may not use the app. Another account of the user might.
    NotAllowed,
}

/// Whether a session satisfies a request; if not, why.
pub fn satisfies(
    request: &AuthorizationRequest,
    facts: SessionFacts<'_>,
    now: Timestamp,
) -> Result<(), Unsatisfied> {
    // Order matters: the reasons that always ask the user come before those that `prompt=none` must not tell apart.
    if request.wants(Prompt::Login) || is_stale(request.max_age, facts.session.proof.authenticated_at, now) {
        return Err(Unsatisfied::Stale);
    }
    if request.wants(Prompt::SelectAccount) {
        return Err(Unsatisfied::Selection);
    }
    if !facts.active {
        return Err(Unsatisfied::Inactive);
    }
    if request.hinted_account.is_some_and(|hinted| hinted != facts.session.account)
        || !fits_login_hint(request.login_hint.as_deref(), facts)
    {
        return Err(Unsatisfied::OtherAccount);
    }
    let connection = facts.session.proof.connection;
    if let Some(allowed) = facts.allowed
        && connection.is_none_or(|used| !allowed.contains(&used))
    {
        return Err(Unsatisfied::OtherConnection);
    }
    if !is_accepted(&request.essential_acr, facts.session.proof.acr.as_deref()) {
        return Err(Unsatisfied::Context);
    }
    if facts.may_use_app { Ok(()) } else { Err(Unsatisfied::NotAllowed) }
}

/// Whether a sign-in is older than an app accepts. One in the future says nothing of its age: the clock was set back.
fn is_stale(max_age: Option<u32>, authenticated_at: Timestamp, now: Timestamp) -> bool {
    max_age.is_some_and(|seconds| {
        authenticated_at.is_ahead_of(now) || now.since(authenticated_at) > Duration::from_secs(seconds.into())
    })
}

/// Whether `login_hint` names the account: by the subject under which the app knows it, its id, username or email. A
/// hint that looks like none of these names no account.
fn fits_login_hint(hint: Option<&str>, facts: SessionFacts<'_>) -> bool {
    let Some(hint) = hint else { return true };
    if let Ok(id) = hint.parse::<AccountId>() {
        return facts.hinted.unwrap_or(id) == facts.session.account;
    }
    if let Ok(email) = hint.parse::<Email>() {
        return facts.email.is_some_and(|own| own.canonical() == email.canonical());
    }
    facts.username_key.is_none_or(|own| own == hint.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppId, ProfileId, Proof, SessionId};

    const NOW: i64 = 1_700_000_000;

    fn session(connection: Option<ConnectionId>) -> Session {
        let now = Timestamp::from_unix_seconds(NOW);
        Session {
            confirmed_at: None,
            id: SessionId::from_bytes([1; 16]),
            account: AccountId::from_bytes([2; 16]),
            organization: None,
            proof: Proof {
                profile: ProfileId::from_bytes([3; 16]),
                connection,
                authenticated_at: now,
                witnessed: true,
                amr: vec!["pwd".into()],
                acr: None,
                upstream_sid: None,
            },
            created_at: now,
            last_seen_at: now,
            idle_until: now,
            expires_at: now,
            user_agent: String::new(),
        }
    }

    fn request(change: impl FnOnce(&mut AuthorizationRequest)) -> AuthorizationRequest {
        let mut request = AuthorizationRequest {
            app: AppId::from_bytes([4; 16]),
            redirect_uri: "https://app.test/cb".into(),
            scopes: vec!["openid".into()],
            state: None,
            nonce: None,
            code_challenge: None,
            prompt: Vec::new(),
            max_age: None,
            acr_values: Vec::new(),
            essential_acr: Vec::new(),
            login_hint: None,
            hinted_account: None,
            domain_hint: None,
            idp_hint: None,
            resources: Vec::new(),
            ui_locales: None,
        };
        change(&mut request);
        request
    }

    #[test]
    fn a_session_satisfies_only_what_it_fits() {
        let con = ConnectionId::from_bytes([5; 16]);
        let other = [ConnectionId::from_bytes([6; 16])];
        let session = session(Some(con));
        let email: Email = "bob@acme.test".parse().unwrap();
        let good = SessionFacts {
            session: &session,
            active: true,
            may_use_app: true,
            username_key: Some("bob"),
            email: Some(&email),
            hinted: None,
            allowed: None,
        };
        let later = |seconds| Timestamp::from_unix_seconds(NOW + seconds);
        let ask = |request: AuthorizationRequest, facts, now| satisfies(&request, facts, now);
        assert_eq!(ask(request(|_| ()), good, later(0)), Ok(()));
        assert_eq!(ask(request(|r| r.prompt = vec![Prompt::Login]), good, later(0)), Err(Unsatisfied::Stale));
        assert_eq!(ask(request(|r| r.max_age = Some(1)), good, later(1)), Ok(()));
        assert_eq!(ask(request(|r| r.max_age = Some(1)), good, later(2)), Err(Unsatisfied::Stale));
        let selects = request(|r| r.prompt = vec![Prompt::SelectAccount]);
        assert_eq!(ask(selects, good, later(0)), Err(Unsatisfied::Selection));
        let inactive = SessionFacts { active: false, ..good };
        assert_eq!(ask(request(|_| ()), inactive, later(0)), Err(Unsatisfied::Inactive));
        let hinted = request(|r| r.hinted_account = Some(AccountId::from_bytes([9; 16])));
        assert_eq!(ask(hinted, good, later(0)), Err(Unsatisfied::OtherAccount));
        for (hint, verdict) in [
            ("BOB@acme.test", Ok(())),
            ("Bob", Ok(())),
            ("eve@acme.test", Err(Unsatisfied::OtherAccount)),
            ("eve", Err(Unsatisfied::OtherAccount)),
        ] {
            let asked = request(|r| r.login_hint = Some(hint.to_owned()));
            assert_eq!(ask(asked, good, later(0)), verdict, "{hint}");
        }
        let [own, before] = [[2; 16], [8; 16]].map(|bytes| AccountId::from_bytes(bytes).to_string());
        let named = |r: &mut AuthorizationRequest| r.login_hint = Some(own.clone());
        assert_eq!(ask(request(named), good, later(0)), Ok(()));
        let former = |r: &mut AuthorizationRequest| r.login_hint = Some(before.clone());
        assert_eq!(ask(request(former), good, later(0)), Err(Unsatisfied::OtherAccount));
        // The subject under which the app has known the account since before it was merged.
        let called = SessionFacts { hinted: Some(good.session.account), ..good };
        assert_eq!(ask(request(former), called, later(0)), Ok(()));
        let elsewhere = SessionFacts { allowed: Some(&other), ..good };
        assert_eq!(ask(request(|_| ()), elsewhere, later(0)), Err(Unsatisfied::OtherConnection));
        let barred = SessionFacts { may_use_app: false, ..good };
        assert_eq!(ask(request(|_| ()), barred, later(0)), Err(Unsatisfied::NotAllowed));
    }

    #[test]
    fn a_session_in_another_context_does_not_satisfy_an_app_that_demands_one() {
        let mut reached = session(None);
        reached.proof.acr = Some("gold".to_owned());
        let facts = |session| SessionFacts {
            session,
            active: true,
            may_use_app: true,
            username_key: None,
            email: None,
            hinted: None,
            allowed: None,
        };
        let gold = request(|r| r.essential_acr = vec!["gold".to_owned()]);
        let ask = |facts| satisfies(&gold, facts, Timestamp::from_unix_seconds(NOW));
        let (lower, higher) = (session(None), facts(&reached));
        assert_eq!(ask(higher), Ok(()));
        assert_eq!(ask(facts(&lower)), Err(Unsatisfied::Context));
        // A new sign-in may reach the context, and with another account; so this reason comes first.
        assert_eq!(ask(SessionFacts { may_use_app: false, ..facts(&lower) }), Err(Unsatisfied::Context));
        assert_eq!(ask(SessionFacts { may_use_app: false, ..higher }), Err(Unsatisfied::NotAllowed));
    }

    #[test]
    fn a_password_does_not_satisfy_an_app_that_wants_a_connection() {
        let session = session(None);
        let allowed = [ConnectionId::from_bytes([5; 16])];
        let facts = SessionFacts {
            session: &session,
            active: true,
            may_use_app: true,
            username_key: None,
            email: None,
            hinted: None,
            allowed: Some(&allowed),
        };
        let verdict = satisfies(&request(|_| ()), facts, Timestamp::from_unix_seconds(NOW));
        assert_eq!(verdict, Err(Unsatisfied::OtherConnection));
    }
}
