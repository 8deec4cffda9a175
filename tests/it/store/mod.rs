//! The store suite: the same statements, the same rules, on both databases.

mod owned;
mod schema;
mod session_ends;

use std::sync::Arc;
use std::time::Duration;

use countersign::model::{
    Account, AccountId, Clock, Connection, ConnectionId, ConnectionSettings, Contact, Organization,
    OrganizationId, OrganizationPolicy, Plan, Profile, ProfileId, ProfileKind, Random, Vendor,
};
use countersign::store::{self, Database, Statement, StoreError};
use tokio::sync::Barrier;

use crate::harness::database::{Kind, SqliteConnection, TestDatabase};
use crate::harness::time::{ManualClock, SeededRandom};
use crate::on_both_databases;

/// An open database with one organization, one account and as many connections as a test wants.
struct Fixture {
    database: Arc<Database>,
    files: TestDatabase,
    clock: ManualClock,
    random: SeededRandom,
    organization: OrganizationId,
    account: AccountId,
}

impl Fixture {
    async fn new(kind: Kind) -> Self {
        let files = TestDatabase::new(kind).await;
        let database = Arc::new(files.open().await);
        let (clock, random) = (ManualClock::new(), SeededRandom::new(1));
        let now = clock.now();
        let organization = Organization {
            id: OrganizationId::new(now, &random),
            handle: "acme".parse().unwrap(),
            name: "Acme".into(),
            plan: Plan::Trial,
            enabled: true,
            policy: OrganizationPolicy::default(),
            created_at: now,
        };
        let account = new_account(organization.id, "bob", &clock, &random);
        let mut tx = database.write().await.unwrap();
        store::organization::organizations::insert_organization(&mut tx, &organization).await.unwrap();
        store::account::accounts::insert_account(&mut tx, &account).await.unwrap();
        tx.commit().await.unwrap();
        Self { database, files, clock, random, organization: organization.id, account: account.id }
    }

    async fn connection(&self, handle: &str) -> ConnectionId {
        let connection = Connection {
            id: ConnectionId::new(self.clock.now(), &self.random),
            organization: self.organization,
            handle: handle.parse().unwrap(),
            name: handle.into(),
            enabled: true,
            issuer: format!("https://{handle}.test"),
            client_id: "countersign".into(),
            settings: ConnectionSettings::for_vendor(Vendor::Generic),
            created_at: self.clock.now(),
        };
        let mut tx = self.database.write().await.unwrap();
        store::organization::connections::insert_connection(&mut tx, &connection).await.unwrap();
        tx.commit().await.unwrap();
        connection.id
    }

    fn external(&self, connection: ConnectionId, issuer: &str, subject: &str) -> Profile {
        Profile {
            id: ProfileId::new(self.clock.now(), &self.random),
            account: self.account,
            kind: ProfileKind::External {
                connection,
                issuer: issuer.into(),
                subject: subject.into(),
                email: None,
                email_verified: false,
            },
            created_at: self.clock.now(),
            last_used_at: None,
        }
    }
}

fn new_account(organization: OrganizationId, name: &str, clock: &dyn Clock, random: &dyn Random) -> Account {
    Account {
        id: AccountId::new(clock.now(), random),
        organization: Some(organization),
        username: Some(name.parse().unwrap()),
        email: Some(format!("{name}@acme.test").parse().unwrap()),
        email_verified: true,
        email_from: None,
        contact: Contact { name: Some("Bob B.".into()), ..Contact::default() },
        roles: vec![countersign::model::Role::Administrator],
        enabled: true,
        break_glass: false,
        created_at: clock.now(),
        updated_at: clock.now(),
    }
}

on_both_databases! {
    async fn every_statement_prepares(kind: Kind) {
        let fixture = Fixture::new(kind).await;
        let mut tx = fixture.database.write().await.unwrap();
        let statements = store::all_statements();
        assert!(statements.len() > 60, "{}", statements.len());
        for Statement { file, name, text } in statements {
            if let Err(error) = store::prepare(&mut tx, text).await {
                panic!("{file}::{name}: {error:?}");
            }
        }
    }
}

on_both_databases! {
    async fn what_is_written_is_read_back_the_same(kind: Kind) {
        let fixture = Fixture::new(kind).await;
        let connection = fixture.connection("idp").await;
        let mut tx = fixture.database.read().await.unwrap();
        let bob = "BOB".parse().unwrap();
        let account = store::account::accounts::find_account_by_username(&mut tx, &bob).await.unwrap().unwrap();
        assert_eq!(account.id, fixture.account);
        assert_eq!(account.email.unwrap().as_str(), "bob@acme.test");
        assert_eq!(account.roles, [countersign::model::Role::Administrator]);
        let found = store::organization::connections::find_connection(&mut tx, fixture.organization, connection).await.unwrap().unwrap();
        assert_eq!(found.connection.settings, ConnectionSettings::for_vendor(Vendor::Generic));
    }
}

on_both_databases! {
    async fn a_transaction_that_is_dropped_leaves_nothing(kind: Kind) {
        let fixture = Fixture::new(kind).await;
        let mut tx = fixture.database.write().await.unwrap();
        assert!(store::interaction::flows::spend(&mut tx, "one", fixture.clock.now()).await.unwrap());
        drop(tx);
        let mut tx = fixture.database.write().await.unwrap();
        assert!(store::interaction::flows::spend(&mut tx, "one", fixture.clock.now()).await.unwrap());
        tx.commit().await.unwrap();
        let mut tx = fixture.database.read().await.unwrap();
        assert!(store::interaction::flows::is_spent(&mut tx, "one").await.unwrap());
    }
}

on_both_databases! {
    async fn a_failed_transaction_takes_no_other_with_it(kind: Kind) {
        let fixture = Arc::new(Fixture::new(kind).await);
        let barrier = Arc::new(Barrier::new(20));
        let tasks: Vec<_> = (0..20)
            .map(|number| {
                let (fixture, barrier) = (Arc::clone(&fixture), Arc::clone(&barrier));
                tokio::spawn(async move {
                    barrier.wait().await;
                    let mut tx = fixture.database.write().await.unwrap();
                    let mark = format!("mark-{number}");
                    assert!(store::interaction::flows::spend(&mut tx, &mark, fixture.clock.now()).await.unwrap());
                    if number % 2 == 0 {
                        let taken = new_account(fixture.organization, "bob", &fixture.clock, &fixture.random);
                        let refused = store::account::accounts::insert_account(&mut tx, &taken).await;
                        assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
                    } else {
                        tx.commit().await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let mut tx = fixture.database.read().await.unwrap();
        for number in 0..20 {
            let spent = store::interaction::flows::is_spent(&mut tx, &format!("mark-{number}")).await.unwrap();
            assert_eq!(spent, number % 2 == 1, "{number}");
        }
    }
}

on_both_databases! {
    async fn a_hundred_that_spend_one_mark_leave_one_winner(kind: Kind) {
        let fixture = Arc::new(Fixture::new(kind).await);
        let barrier = Arc::new(Barrier::new(100));
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let (fixture, barrier) = (Arc::clone(&fixture), Arc::clone(&barrier));
                tokio::spawn(async move {
                    barrier.wait().await;
                    let mut tx = fixture.database.write().await.unwrap();
                    let won = store::interaction::flows::spend(&mut tx, "only", fixture.clock.now()).await.unwrap();
                    tx.commit().await.unwrap();
                    usize::from(won)
                })
            })
            .collect();
        let mut winners = 0;
        for task in tasks {
            winners += task.await.unwrap();
        }
        assert_eq!(winners, 1);
    }
}

on_both_databases! {
    async fn an_account_has_25_profiles_at_every_instant(kind: Kind) {
        let fixture = Arc::new(Fixture::new(kind).await);
        let mut connections = Vec::new();
        for number in 0..40 {
            connections.push(fixture.connection(&format!("idp-{number}")).await);
        }
        let barrier = Arc::new(Barrier::new(40));
        let tasks: Vec<_> = connections
            .into_iter()
            .enumerate()
            .map(|(number, connection)| {
                let (fixture, barrier) = (Arc::clone(&fixture), Arc::clone(&barrier));
                tokio::spawn(async move {
                    let profile = fixture.external(connection, &format!("https://idp-{number}.test"), "s");
                    barrier.wait().await;
                    let mut tx = fixture.database.write().await.unwrap();
                    let organization = Some(fixture.organization);
                    match store::account::profiles::insert_profile(&mut tx, organization, &profile).await {
                        Ok(()) => tx.commit().await.map(|()| 1),
                        Err(StoreError::Conflict) => Ok(0),
                        Err(error) => Err(error),
                    }
                    .unwrap()
                })
            })
            .collect();
        let mut added = 0;
        for task in tasks {
            added += task.await.unwrap();
        }
        let mut tx = fixture.database.read().await.unwrap();
        let profiles = store::account::profiles::list_profiles(&mut tx, fixture.account).await.unwrap();
        assert_eq!((added, profiles.len()), (25, 25));
    }
}

on_both_databases! {
    async fn a_second_profile_of_one_provider_is_refused(kind: Kind) {
        let fixture = Fixture::new(kind).await;
        let (one, two) = (fixture.connection("one").await, fixture.connection("two").await);
        let organization = Some(fixture.organization);
        let mut tx = fixture.database.write().await.unwrap();
        let first = fixture.external(one, "https://same.test", "a");
        store::account::profiles::insert_profile(&mut tx, organization, &first).await.unwrap();
        tx.commit().await.unwrap();
        for (connection, subject) in [(one, "b"), (two, "c"), (two, "a"), (one, "a")] {
            let mut tx = fixture.database.write().await.unwrap();
            let second = fixture.external(connection, "https://same.test", subject);
            let refused = store::account::profiles::insert_profile(&mut tx, organization, &second).await;
            assert!(matches!(refused, Err(StoreError::Conflict)), "{subject}: {refused:?}");
        }
    }
}

on_both_databases! {
    async fn what_was_acknowledged_is_there_after_reopening(kind: Kind) {
        let fixture = Fixture::new(kind).await;
        let mut tx = fixture.database.write().await.unwrap();
        store::interaction::flows::spend(&mut tx, "kept", fixture.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        fixture.database.close().await;
        let again = fixture.files.open().await;
        let mut tx = again.read().await.unwrap();
        assert!(store::interaction::flows::is_spent(&mut tx, "kept").await.unwrap());
    }
}

on_both_databases! {
    async fn refusals_in_a_flood_are_counted_in_one_record(kind: Kind) {
        use countersign::model::AuditId;
        use countersign::store::audit::{AuditRecord, AuditSelection, list_audit};
        use countersign::store::audit::floods::{Level, Source, SourceKind, insert_anonymous_refusal};
        let fixture = Fixture::new(kind).await;
        let refused_at = async |organization: Option<OrganizationId>, network: &str, reason: &str, times: usize| {
            for _ in 0..times {
                let record = AuditRecord {
            target: None,
                    id: AuditId::new(fixture.clock.now(), &fixture.random),
                    organization,
                    at: fixture.clock.now(),
                    actor: None,
                    action: "authorize".into(),
                    succeeded: false,
                    reason: Some(reason.into()),
                    receipt: None,
                    connection: None,
                    app: None,
                    detail: None,
                };
                let mut tx = fixture.database.write().await.unwrap();
                let levels = vec![Level { tag: network.to_owned(), room: 20 }];
                let source = Source { levels, kind: SourceKind::Network, all: 50 };
                insert_anonymous_refusal(&mut tx, &record, &source).await.unwrap();
                tx.commit().await.unwrap();
                fixture.clock.advance(Duration::from_millis(1));
            }
            let mut tx = fixture.database.read().await.unwrap();
            let records = list_audit(&mut tx, AuditSelection::All, "", 100).await.unwrap();
            (records.len(), records.last().unwrap().detail.clone())
        };
        let refused = async |network: &str, reason: &str, times: usize| {
            refused_at(None, network, reason, times).await
        };
        let counted = |count: usize, from: &str| Some(format!("{count} further refusals from {from} in this minute"));
        assert_eq!(refused("one", "unknown_client", 50).await, (21, counted(30, "this network")));
        // Another network has room of its own, and so has another reason.
        assert_eq!(refused("two", "unknown_client", 20).await, (41, None));
        assert_eq!(refused("two", "bad_redirect", 10).await, (51, None));
        // There is no room for any source: one record for each reason, from every network.
        for (at, network) in ["one", "two", "three", "four"].into_iter().enumerate() {
            assert_eq!(refused(network, "bad_redirect", 5).await, (52, counted(5 * (at + 1), "all networks")));
        }
        assert_eq!(refused("five", "unknown_client", 3).await, (53, counted(3, "all networks")));
        // A flood in one organization's log hides nothing in another's.
        assert_eq!(refused_at(Some(fixture.organization), "six", "unknown_client", 2).await, (55, None));
        fixture.clock.advance(Duration::from_mins(1));
        assert_eq!(refused("five", "unknown_client", 20).await, (75, None));
    }
}

/// The clean-up deletes these; a child of theirs that is not found by an index costs a whole table for each row.
const DELETED_PARENTS: [&str; 2] = ["grants", "sessions"];

#[tokio::test]
async fn every_child_of_what_the_clean_up_deletes_is_found_by_an_index() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    let opened = database.open().await;
    let mut connection = SqliteConnection::connect(&database.settings.url);
    let keys = "SELECT m.name, k.\"table\", k.\"from\" FROM sqlite_schema m, pragma_foreign_key_list(m.name) k \
                WHERE m.type = 'table'";
    let keys: Vec<(String, String, String)> =
        connection.rows(keys, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).await;
    let indexes = "SELECT m.name, c.name FROM sqlite_schema m, pragma_index_list(m.name) i, pragma_index_info(i.name) c \
                   WHERE m.type = 'table' AND c.seqno = 0 AND c.name IS NOT NULL";
    let indexed: Vec<(String, String)> = connection.rows(indexes, |row| Ok((row.get(0)?, row.get(1)?))).await;
    let children: Vec<_> =
        keys.into_iter().filter(|(_, parent, _)| DELETED_PARENTS.contains(&parent.as_str())).collect();
    assert!(children.len() >= 3, "{children:?}");
    for (table, parent, column) in children {
        assert!(indexed.contains(&(table.clone(), column.clone())), "{table}.{column} of {parent}");
    }
    opened.close().await;
}

on_both_databases! {
    async fn the_last_three_passwords_are_remembered_and_no_more(kind: Kind) {
        let fixture = Fixture::new(kind).await;
        let other = new_account(fixture.organization, "robert", &fixture.clock, &fixture.random);
        let (bob, robert) = (fixture.account, other.id);
        let mut tx = fixture.database.write().await.unwrap();
        store::account::accounts::insert_account(&mut tx, &other).await.unwrap();
        for (number, hash) in ["one", "two", "three", "four", "two"].into_iter().enumerate() {
            let now = fixture.clock.now().after(Duration::from_secs(u64::try_from(number).unwrap()));
            store::account::passwords::save_password(&mut tx, bob, hash, now).await.unwrap();
        }
        let now = fixture.clock.now();
        store::account::passwords::save_password(&mut tx, robert, "before", now).await.unwrap();
        store::account::passwords::delete_password(&mut tx, robert).await.unwrap();
        let past = store::account::passwords::list_past_passwords(&mut tx, robert).await.unwrap();
        assert_eq!(past, ["before"], "one that ended is not forgotten");
        // An account that gets the password may not choose the earlier ones again, and neither may its former owner.
        store::account::passwords::move_password(&mut tx, bob, robert).await.unwrap();
        for account in [bob, robert] {
            let past = store::account::passwords::list_past_passwords(&mut tx, account).await.unwrap();
            assert_eq!(past, ["two", "four", "three"]);
        }
        // A stronger hash takes the place of the weaker one here too.
        store::account::passwords::replace_password_hash(&mut tx, robert, "two", "stronger").await.unwrap();
        for account in [bob, robert] {
            let past = store::account::passwords::list_past_passwords(&mut tx, account).await.unwrap();
            assert_eq!(past, ["stronger", "four", "three"]);
        }
    }
}

on_both_databases! {
    async fn a_guess_that_was_no_failure_takes_its_wait_along_and_nobody_elses(kind: Kind) {
        use countersign::store::limits::guesses::{GuessCount, find_guesses, reserve_guess, return_guess};
        let fixture = Fixture::new(kind).await;
        let now = fixture.clock.now();
        let count = |failures, seconds| GuessCount {
            failures,
            blocked_until: now.after(Duration::from_secs(seconds)),
            updated_at: now,
        };
        let mut tx = fixture.database.write().await.unwrap();
        assert!(reserve_guess(&mut tx, "network", "office", None, count(1, 0)).await.unwrap());
        let mut seen = find_guesses(&mut tx, "network", "office").await.unwrap();
        assert!(reserve_guess(&mut tx, "network", "office", seen, count(301, 2)).await.unwrap());
        return_guess(&mut tx, "network", "office", now.after(Duration::from_secs(2))).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = fixture.database.write().await.unwrap();
        seen = find_guesses(&mut tx, "network", "office").await.unwrap();
        assert_eq!(seen.map(|seen| (seen.failures, seen.blocked_until.unix_micros())), Some((300, 0)));
        // Two at once, of which one was right: what the other left stays.
        assert!(reserve_guess(&mut tx, "network", "office", seen, count(301, 2)).await.unwrap());
        seen = find_guesses(&mut tx, "network", "office").await.unwrap();
        assert!(reserve_guess(&mut tx, "network", "office", seen, count(302, 4)).await.unwrap());
        return_guess(&mut tx, "network", "office", now.after(Duration::from_secs(2))).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = fixture.database.read().await.unwrap();
        let left = find_guesses(&mut tx, "network", "office").await.unwrap();
        assert_eq!(left, Some(count(301, 4)));
    }
}

on_both_databases! {
    async fn many_that_open_one_new_database_at_once_all_open_it(kind: Kind) {
        let files = TestDatabase::new(kind).await;
        let barrier = Arc::new(Barrier::new(6));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let (settings, barrier) = (files.settings.clone(), Arc::clone(&barrier));
            tasks.spawn(async move {
                barrier.wait().await;
                let database = Database::open(&settings).await.map_err(|error| error.to_string())?;
                database.close().await;
                Ok::<_, String>(())
            });
        }
        assert_eq!(tasks.join_all().await, vec![Ok(()); 6]);
    }
}
