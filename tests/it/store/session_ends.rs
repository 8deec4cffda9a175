//! Sessions end in one place: each selection ends what it names, with the grants that go with it, and tells what ended.

use std::collections::BTreeSet;
use std::time::Duration;

use countersign::model::{AccountId, AppId, Clock, GrantId, ProfileId, Proof, Session, SessionId, Timestamp};
use countersign::store::Tx;
use countersign::store::account::accounts::insert_account;
use countersign::store::provider::grants::{Grant, find_grant, insert_grant};
use countersign::store::session::session_ends::{END_PAGE, SessionsOf, end_sessions, revoke_grants_of};
use countersign::store::session::sessions::{NewSession, find_session, insert_session, lock_session};

use super::{Fixture, new_account};
use crate::harness::database::Kind;
use crate::on_both_databases;

pub(super) const APP: &str = "INSERT INTO apps (id, organization_id, client_id, name, enabled, settings, created_at, updated_at) \
                   SELECT 'app_01010101010101010101010101010101', id, 'notes', 'Notes', TRUE, '{}', 1, 1 FROM organizations";

/// A person of acme with sessions, each of which has a grant that ends with it and one that does not.
struct People {
    fixture: Fixture,
    other: AccountId,
    profile: ProfileId,
    since: Timestamp,
    /// An old session of another profile, an old and a new one of `profile`, and one of another account.
    sessions: [SessionId; 4],
    /// For each session, a grant that ends with it and one with `offline_access`.
    grants: [[GrantId; 2]; 4],
}

pub(super) fn app() -> AppId {
    AppId::from_bytes([1; 16])
}

impl People {
    async fn new(kind: Kind) -> Self {
        let fixture = Fixture::new(kind).await;
        fixture.files.run(APP).await;
        let other = new_account(fixture.organization, "eve", &fixture.clock, &fixture.random);
        let mut tx = fixture.database.write().await.unwrap();
        insert_account(&mut tx, &other).await.unwrap();
        let new_profile = || ProfileId::new(fixture.clock.now(), &fixture.random);
        let profile = new_profile();
        let mut sessions = Vec::new();
        let mut grants = Vec::new();
        let mut since = fixture.clock.now();
        for (account, profile) in [
            (fixture.account, new_profile()),
            (fixture.account, profile),
            (fixture.account, profile),
            (other.id, profile),
        ] {
            if sessions.len() == 2 {
                fixture.clock.advance(Duration::from_hours(1));
                since = fixture.clock.now();
            }
            let session = session(&fixture, account, profile);
            insert(&mut tx, &session).await;
            let mut of_session = Vec::new();
            for scopes in ["openid", "openid offline_access"] {
                let grant = grant(&fixture, &session, scopes);
                insert_grant(&mut tx, &grant).await.unwrap();
                of_session.push(grant.id);
            }
            sessions.push(session.id);
            grants.push(of_session.try_into().unwrap());
        }
        tx.commit().await.unwrap();
        let (sessions, grants) = (sessions.try_into().unwrap(), grants.try_into().unwrap());
        Self { fixture, other: other.id, profile, since, sessions, grants }
    }

    /// Ends a selection; gives which of the sessions live then, and which of the grants are good.
    async fn left(&self, which: SessionsOf, all: bool) -> (Vec<usize>, Vec<(usize, usize)>) {
        let now = self.fixture.clock.now();
        let mut tx = self.fixture.database.write().await.unwrap();
        let ended = end_sessions(&mut tx, which, now).await.unwrap();
        let revoked = revoke_grants_of(&mut tx, which, all, now).await.unwrap();
        assert!(end_sessions(&mut tx, which, now).await.unwrap().is_empty(), "nothing ends twice");
        assert!(revoke_grants_of(&mut tx, which, all, now).await.unwrap().is_empty());
        let (mut living, mut good) = (Vec::new(), Vec::new());
        for (number, session) in self.sessions.iter().enumerate() {
            if find_session(&mut tx, *session).await.unwrap().is_some() {
                living.push(number);
            }
            for (kind, grant) in self.grants[number].iter().enumerate() {
                if find_grant(&mut tx, *grant).await.unwrap().unwrap().revoked_at.is_none() {
                    good.push((number, kind));
                }
            }
        }
        // What is told is what ended.
        let told: BTreeSet<SessionId> = ended.iter().map(|ended| ended.session).collect();
        let gone: BTreeSet<SessionId> =
            (0..4).filter(|number| !living.contains(number)).map(|number| self.sessions[number]).collect();
        assert_eq!(told, gone);
        assert!(ended.iter().all(|ended| ended.organization == Some(self.fixture.organization)));
        assert!(
            ended.iter().all(|ended| ended.account == self.fixture.account && ended.connection.is_none())
        );
        assert_eq!(revoked.len(), 8 - good.len());
        assert!(revoked.iter().all(|grant| grant.app == app() && self.sessions.contains(&grant.session)));
        (living, good)
    }
}

fn session(fixture: &Fixture, account: AccountId, profile: ProfileId) -> Session {
    let now = fixture.clock.now();
    Session {
        id: SessionId::new(now, &fixture.random),
        account,
        organization: Some(fixture.organization),
        proof: Proof {
            profile,
            connection: None,
            authenticated_at: now,
            witnessed: true,
            amr: vec!["pwd".to_owned()],
            acr: None,
            upstream_sid: None,
        },
        confirmed_at: None,
        created_at: now,
        last_seen_at: now,
        idle_until: Timestamp::MAX,
        expires_at: Timestamp::MAX,
        user_agent: String::new(),
    }
}

async fn insert(tx: &mut Tx, session: &Session) {
    let new = NewSession {
        session: session.clone(),
        token_hash: session.id.to_string(),
        upstream_id_token_sealed: None,
    };
    insert_session(tx, &new).await.unwrap();
}

fn grant(fixture: &Fixture, session: &Session, scopes: &str) -> Grant {
    Grant {
        id: GrantId::new(session.created_at, &fixture.random),
        organization: fixture.organization,
        app: app(),
        account: session.account,
        session: session.id,
        subject: session.account.to_string(),
        scopes: scopes.split(' ').map(str::to_owned).collect(),
        resources: Vec::new(),
        proof: session.proof.clone(),
        created_at: session.created_at,
        expires_at: Timestamp::MAX,
        revoked_at: None,
    }
}

on_both_databases! {
    async fn each_selection_ends_its_sessions_and_what_goes_with_them(kind: Kind) {
        let people = People::new(kind).await;
        let (account, since) = (people.fixture.account, people.since);
        let all_but = |gone: &[(usize, usize)]| {
            let all = (0..4).flat_map(|session| [(session, 0), (session, 1)]);
            all.filter(|grant| !gone.contains(grant)).collect::<Vec<_>>()
        };
        let of = |sessions: &[usize]| sessions.iter().flat_map(|session| [(*session, 0), (*session, 1)]).collect::<Vec<_>>();
        let [_, old, new, foreign] = people.sessions;

        // Nothing of these transactions is kept, so that each selection finds everything.
        let one = SessionsOf::One { account, session: old };
        assert_eq!(people.left(one, false).await, (vec![0, 2, 3], all_but(&[(1, 0)])));
        assert_eq!(people.left(one, true).await, (vec![0, 2, 3], all_but(&of(&[1]))));
        let others = SessionsOf::AccountBut { account, keep: new };
        assert_eq!(people.left(others, false).await, (vec![2, 3], all_but(&[(0, 0), (1, 0)])));
        assert_eq!(people.left(SessionsOf::Account(account), false).await, (vec![3], all_but(&[(0, 0), (1, 0), (2, 0)])));
        assert_eq!(people.left(SessionsOf::Account(account), true).await, (vec![3], of(&[3])));
        let profile = SessionsOf::Profile { account, profile: people.profile };
        assert_eq!(people.left(profile, true).await, (vec![0, 3], of(&[0, 3])));
        assert_eq!(people.left(SessionsOf::Since { account, since }, true).await, (vec![0, 1, 3], of(&[0, 1, 3])));

        // Another account's session cannot be ended by this account.
        let mut tx = people.fixture.database.write().await.unwrap();
        let not_own = SessionsOf::One { account, session: foreign };
        assert!(end_sessions(&mut tx, not_own, people.fixture.clock.now()).await.unwrap().is_empty());
        let own = SessionsOf::One { account: people.other, session: foreign };
        assert_eq!(end_sessions(&mut tx, own, people.fixture.clock.now()).await.unwrap().len(), 1);
    }
}

on_both_databases! {
    async fn more_than_a_page_of_sessions_ends_in_pages(kind: Kind) {
        let people = People::new(kind).await;
        let (fixture, account) = (&people.fixture, people.fixture.account);
        let mut tx = fixture.database.write().await.unwrap();
        for _ in 0..END_PAGE {
            insert(&mut tx, &session(fixture, account, people.profile)).await;
        }
        let page = async |tx: &mut Tx| end_sessions(tx, SessionsOf::Account(account), fixture.clock.now()).await.unwrap().len();
        assert_eq!([page(&mut tx).await, page(&mut tx).await, page(&mut tx).await], [END_PAGE, 3, 0]);
        assert!(find_session(&mut tx, people.sessions[3]).await.unwrap().is_some());
    }
}

on_both_databases! {
    async fn a_session_that_is_over_is_not_held(kind: Kind) {
        let fixture = Fixture::new(kind).await;
        let now = fixture.clock.now();
        let (idle, end) = (now.after(Duration::from_mins(30)), now.after(Duration::from_hours(1)));
        let profile = ProfileId::new(now, &fixture.random);
        let session = Session { idle_until: idle, expires_at: end, ..session(&fixture, fixture.account, profile) };
        let mut tx = fixture.database.write().await.unwrap();
        insert(&mut tx, &session).await;
        let before = |time: Timestamp| time.before(Duration::from_micros(1));
        for (at, held) in [(now, true), (before(idle), true), (idle, false), (end, false)] {
            assert_eq!(lock_session(&mut tx, session.id, at).await.unwrap(), held, "{at:?}");
        }
        let used = Session { id: SessionId::new(now, &fixture.random), idle_until: Timestamp::MAX, ..session };
        insert(&mut tx, &used).await;
        assert!(lock_session(&mut tx, used.id, before(end)).await.unwrap());
        assert!(!lock_session(&mut tx, used.id, end).await.unwrap(), "used or not, it ends");
    }
}
