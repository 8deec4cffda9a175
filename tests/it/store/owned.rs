//! What an organization owns is looked up under it. Every statement on such rows names the organization, or stands on a
//! list with its reason; and a look-up under another organization finds nothing.

use std::collections::BTreeSet;

use countersign::model::{
    Account, AccountId, Clock, ConnectionId, Organization, OrganizationId, OrganizationPolicy, Plan, Profile,
    ProfileId, Role, Timestamp,
};
use countersign::store::account::{accounts, profiles};
use countersign::store::link::expected::{self, ExpectedIdentity};
use countersign::store::link::{merging, replacing};
use countersign::store::organization::{apps, connections};
use countersign::store::{self, StoreError, Tx};

use super::session_ends::{APP, app};
use super::{Fixture, new_account};
use crate::harness::database::{Kind, SqliteConnection, TestDatabase};
use crate::on_both_databases;

/// The tables whose rows an organization owns.
const OWNED: [&str; 10] = [
    "account_roles",
    "apps",
    "connection_memory",
    "connections",
    "domain_connections",
    "domains",
    "expected_identities",
    "organization_looks",
    "profile_claims",
    "replaced_profiles",
];

/// The tables that name an organization too, but whose rows are reached by something else.
const REACHED_OTHERWISE: [(&str, &[&str]); 4] = [
    ("people, who may belong to no organization", &["accounts", "profiles"]),
    (
        "by the hash of a token, or an id that only its browser or app holds",
        &["grants", "interactions", "link_attempts", "sessions"],
    ),
    ("by their account", &["consents", "link_ledger"]),
    ("the broker's own", &["audit", "jobs", "mails"]),
];

/// The statements on what organizations own that name no organization, and why each may.
const EXEMPT: [(&str, &[&str]); 5] = [
    (
        "The name comes from outside, and whose it is, is the question",
        &[
            "apps::FIND_OF_ANY",
            "apps::FIND_OF_ANY_BY_CLIENT_ID",
            "connections::FIND_OF_ANY",
            "connections::LIST_OF_ANY_BY_HANDLE",
            "domains::FIND_OWNER",
            "domains::LIST_OWNED",
        ],
    ),
    (
        "A job that looks after all organizations",
        &[
            "apps::LIST_SETTINGS_OF_ALL",
            "connections::LIST_ENDING_SECRETS_OF_ALL",
            "housekeeping::DELETE_REPLACED",
        ],
    ),
    (
        "What a provider has published; the row belongs to a connection that was found before",
        &["connections::FIND_MEMORY", "connections::SAVE_MEMORY"],
    ),
    (
        "Whether the connection and the app are enabled on which an account or grant stands: its row names them, or its \
         proof does",
        &[
            "accounts::READ_STANDING",
            "standing::READ",
            "standing::READ_AGAIN",
            "standing::READ_OF_CODE",
            "standing::READ_OF_REFRESH",
        ],
    ),
    (
        "Whether the connection of a profile is enabled: the profile's row names it",
        &["profiles::LIST_HELD", "profiles::LIST_SHARING_EMAIL"],
    ),
];

/// A word of a statement, with how many parentheses are open around it.
struct Word {
    text: String,
    depth: usize,
}

fn words(statement: &str) -> Vec<Word> {
    let spaced = statement.replace('(', " ( ").replace(')', " ) ").replace(',', " , ");
    let mut depth = 0;
    let mut words = Vec::new();
    for text in spaced.split_whitespace() {
        depth -= usize::from(text == ")");
        words.push(Word { text: text.to_owned(), depth });
        depth += usize::from(text == "(");
    }
    words
}

/// The words of one `SELECT`, `INSERT`, `UPDATE` or `DELETE` that follow a word of it, without those of its own parts.
fn rest_of_query(words: &[Word], after: usize) -> Vec<&str> {
    let depth = words[after].depth;
    let goes_on = |word: &&Word| word.depth > depth || (word.depth == depth && word.text != "UNION");
    let rest = words[after + 1..].iter().take_while(goes_on);
    rest.filter(|word| word.depth == depth).map(|word| &*word.text).collect()
}

/// Whether a condition of `rest` binds the organization of a table to a parameter, or to a row that was found.
fn is_bound(rest: &[&str], names: &[String]) -> bool {
    rest.windows(4).any(|part| {
        let [before, column, "=", value] = part else { return false };
        let is_known = value.starts_with('$') || value.ends_with(".organization_id");
        ["WHERE", "AND", "ON"].contains(before) && names.iter().any(|name| name == column) && is_known
    }) && !rest.contains(&"OR")
}

/// Whether an `INSERT` says whose its row is, and changes none of another organization.
fn inserts_under_one(words: &[Word], at: usize) -> bool {
    let list = |from: usize| {
        let inside = words[from..].iter().skip_while(|word| word.text != "(").skip(1);
        inside.take_while(|word| word.text != ")").any(|word| word.text == "organization_id")
    };
    let conflict = words.iter().position(|word| word.text == "CONFLICT");
    let changes = words.windows(2).any(|pair| (&*pair[0].text, &*pair[1].text) == ("DO", "UPDATE"));
    let own = [format!("{}.organization_id", words[at].text)];
    let keeps = || conflict.is_some_and(list) || is_bound(&rest_of_query(words, at), &own);
    list(at) && (!changes || keeps())
}

/// The tables that a statement reads or changes without regard to the organization that owns the row.
fn reached_across(statement: &str) -> Vec<String> {
    let words = words(statement);
    let mut reached = Vec::new();
    for (at, word) in words.iter().enumerate().filter(|(_, word)| OWNED.contains(&&*word.text)) {
        let is_under_one = if at > 0 && words[at - 1].text == "INTO" {
            inserts_under_one(&words, at)
        } else {
            let alias = words.get(at + 1).map(|next| &*next.text);
            let alias = alias.filter(|text| text.chars().all(|letter| letter.is_ascii_lowercase()));
            let names = match alias {
                Some(alias) => vec![format!("{alias}.organization_id")],
                None => vec!["organization_id".to_owned(), format!("{}.organization_id", word.text)],
            };
            is_bound(&rest_of_query(&words, at), &names)
        };
        if !is_under_one {
            reached.push(word.text.clone());
        }
    }
    reached
}

#[test]
fn every_statement_on_what_an_organization_owns_names_it() {
    let statements = store::all_statements();
    let across = statements.iter().filter(|statement| !reached_across(statement.text).is_empty());
    let across: BTreeSet<String> =
        across.map(|statement| format!("{}::{}", statement.file, statement.name)).collect();
    let exempt: BTreeSet<String> =
        EXEMPT.iter().flat_map(|(_, names)| names.iter().map(|name| (*name).to_owned())).collect();
    let offenders: Vec<_> = across.difference(&exempt).collect();
    assert!(offenders.is_empty(), "these name no organization: {offenders:?}");
    let needless: Vec<_> = exempt.difference(&across).collect();
    assert!(needless.is_empty(), "these need no exemption, or are no statements any more: {needless:?}");
    for table in OWNED {
        let is_used = |text: &str| words(text).iter().any(|word| word.text == table);
        assert!(statements.iter().any(|statement| is_used(statement.text)), "no statement names {table}");
    }
}

#[tokio::test]
async fn every_table_that_names_an_organization_is_owned_or_reached_otherwise() {
    let database = TestDatabase::new(Kind::Sqlite).await;
    let opened = database.open().await;
    let mut connection = SqliteConnection::connect(&database.settings.url);
    let tables = "SELECT m.name FROM sqlite_schema m, pragma_table_info(m.name) c \
                  WHERE m.type = 'table' AND c.name = 'organization_id'";
    let mut tables: BTreeSet<String> = connection.rows(tables, |row| row.get(0)).await.into_iter().collect();
    tables.insert("connection_memory".to_owned());
    let otherwise = REACHED_OTHERWISE.iter().flat_map(|(_, tables)| tables.iter().copied());
    let known: BTreeSet<String> = OWNED.into_iter().chain(otherwise).map(str::to_owned).collect();
    assert_eq!(tables, known);
    opened.close().await;
}

#[test]
fn a_statement_that_names_no_organization_is_found() {
    let offenders = [
        "SELECT name FROM apps WHERE id = $1",
        "SELECT a.name FROM apps a WHERE a.id = $1",
        // Somebody else's organization.
        "SELECT p.name FROM apps p JOIN accounts a ON a.id = $1 WHERE a.organization_id = $2",
        "SELECT a.id FROM accounts a LEFT JOIN apps p ON p.id = $2 WHERE a.organization_id = $1",
        "SELECT a.id FROM accounts a, apps p WHERE a.organization_id = $1 AND p.id = $2",
        "SELECT name FROM apps WHERE id IN (SELECT app_id FROM grants WHERE organization_id = $1)",
        "SELECT (SELECT name FROM apps WHERE id = $2) FROM accounts WHERE organization_id = $1",
        "SELECT name FROM apps WHERE id = $2 UNION SELECT name FROM accounts WHERE organization_id = $1",
        // A choice is no guard.
        "SELECT name FROM apps WHERE organization_id = $1 OR id = $2",
        "SELECT name FROM apps WHERE organization_id <> $1",
        "SELECT name FROM apps WHERE NOT organization_id = $1",
        // To give it away is not to look under it.
        "UPDATE apps SET organization_id = $2 WHERE id = $1",
        "UPDATE apps SET name = $3, organization_id = $2 WHERE id = $1",
        "DELETE FROM account_roles WHERE account_id = $1",
        "DELETE FROM apps",
        "INSERT INTO account_roles (account_id, role) VALUES ($1, $2)",
        // The row that is there already may be another organization's.
        "INSERT INTO profile_claims (profile_id, organization_id, value) VALUES ($1, $2, $3) \
         ON CONFLICT (profile_id) DO UPDATE SET value = excluded.value",
    ];
    for offender in offenders {
        assert!(!reached_across(offender).is_empty(), "{offender}");
    }
    let good = [
        "SELECT name FROM apps WHERE organization_id = $1 AND id = $2",
        "SELECT p.name FROM apps p JOIN organizations o ON o.id = p.organization_id WHERE p.id = $2 AND p.organization_id = $1",
        "SELECT (SELECT string_agg(r.role, ' ') FROM account_roles r WHERE r.account_id = a.id \
         AND r.organization_id = a.organization_id) FROM accounts a WHERE a.id = $1",
        "UPDATE apps SET name = $3 WHERE id = $1 AND organization_id = $2",
        "DELETE FROM profile_claims WHERE organization_id = $1 AND profile_id IN (SELECT id FROM profiles WHERE subject = $2)",
        "INSERT INTO account_roles (organization_id, account_id, role) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        "INSERT INTO organization_looks (organization_id, logo) VALUES ($1, $2) \
         ON CONFLICT (organization_id) DO UPDATE SET logo = excluded.logo",
        "INSERT INTO profile_claims (profile_id, organization_id, value) VALUES ($1, $2, $3) \
         ON CONFLICT (profile_id) DO UPDATE SET value = excluded.value \
         WHERE profile_claims.organization_id = excluded.organization_id",
        "SELECT name FROM apps WHERE id IN (SELECT app_id FROM grants) AND organization_id = $1",
        "SELECT id FROM accounts WHERE id = $1",
    ];
    for statement in good {
        assert_eq!(reached_across(statement), Vec::<String>::new(), "{statement}");
    }
}

/// What one organization has, of each kind that a call finds by a name.
struct Belongings {
    connection: ConnectionId,
    /// An account that waits for an identity, and one that waits in vain.
    waiting: AccountId,
    in_vain: AccountId,
    /// An administrator with a profile, by which a claim is kept and which has the place of another profile.
    administrator: Account,
    profile: Profile,
    replaced: ProfileId,
    now: Timestamp,
}

/// The claim by which somebody is expected, and which is kept; and its value.
const CLAIM: (&str, &str) = ("employee", "7");

impl Belongings {
    async fn new(fixture: &Fixture) -> Self {
        let (organization, now) = (fixture.organization, fixture.clock.now());
        let connection = fixture.connection("idp").await;
        let in_vain = new_account(organization, "eve", &fixture.clock, &fixture.random);
        let administrator = new_account(organization, "ann", &fixture.clock, &fixture.random);
        let of_administrator = |subject: &str| Profile {
            account: administrator.id,
            ..fixture.external(connection, "https://idp.test", subject)
        };
        let (profile, replaced) = (of_administrator("new"), of_administrator("old"));
        let mut tx = fixture.database.write().await.unwrap();
        for account in [&in_vain, &administrator] {
            accounts::insert_account(&mut tx, account).await.unwrap();
        }
        profiles::insert_profile(&mut tx, Some(organization), &profile).await.unwrap();
        replacing::keep_claim(&mut tx, organization, profile.id, (CLAIM.0, Some(CLAIM.1))).await.unwrap();
        let places = (&replaced, profile.id);
        assert!(replacing::consume_place(&mut tx, organization, connection, places, now).await.unwrap());
        let (replaced, waiting, in_vain) = (replaced.id, fixture.account, in_vain.id);
        let it = Self { connection, waiting, in_vain, administrator, profile, replaced, now };
        for (account, value) in [(waiting, CLAIM.1), (in_vain, "8")] {
            expected::save_expected(&mut tx, organization, &it.expects(account, value), now).await.unwrap();
        }
        tx.commit().await.unwrap();
        it
    }

    fn expects(&self, account: AccountId, value: &str) -> ExpectedIdentity {
        ExpectedIdentity {
            account,
            connection: self.connection,
            claim: CLAIM.0.to_owned(),
            value: value.to_owned(),
        }
    }

    /// Each call that looks for one of these under an organization, and whether it finds or changes anything there.
    /// `owner` is the organization that has them.
    async fn reach(
        &self,
        tx: &mut Tx,
        owner: OrganizationId,
        organization: OrganizationId,
    ) -> Result<Vec<(&'static str, bool)>, StoreError> {
        let Self { connection, waiting, in_vain, now, .. } = *self;
        let (administrator, profile) = (&self.administrator, self.profile.id);
        let of_owner = (owner, connection);
        let mut reached = vec![
            ("find_connection", connections::find_connection(tx, organization, connection).await?.is_some()),
            (
                "find_secrets_of_active_app",
                apps::find_secrets_of_active_app(tx, organization, app()).await?.is_some(),
            ),
            ("find_expected", expected::find_expected(tx, organization, waiting).await?.is_some()),
            (
                "list_expected_claims",
                !expected::list_expected_claims(tx, organization, connection).await?.is_empty(),
            ),
            ("was_taken", replacing::was_taken(tx, organization, connection, self.replaced).await?),
            (
                "find_here_or_successor",
                replacing::find_here_or_successor(tx, organization, self.replaced).await?.is_some(),
            ),
        ];
        let saved = expected::save_expected(tx, organization, &self.expects(in_vain, "9"), now).await;
        reached.push(("save_expected", saved.is_ok()));
        expected::delete_expected(tx, organization, in_vain).await?;
        reached.push(("delete_expected", expected::find_expected(tx, owner, in_vain).await?.is_none()));
        let claimed = expected::consume_expected(tx, organization, connection, CLAIM, now).await?;
        reached.push(("consume_expected", claimed.is_some()));
        replacing::keep_claim(tx, organization, profile, (CLAIM.0, Some("changed"))).await?;
        let changed = replacing::list_profiles_by_claim(tx, of_owner, (CLAIM.0, "changed")).await?;
        reached.push(("keep_claim of a value", !changed.is_empty()));
        replacing::keep_claim(tx, organization, profile, (CLAIM.0, None)).await?;
        let mut left = 0;
        for value in [CLAIM.1, "changed"] {
            left += replacing::list_profiles_by_claim(tx, of_owner, (CLAIM.0, value)).await?.len();
        }
        reached.push(("keep_claim of none", left == 0));
        merging::take_role(tx, organization, administrator.id, Role::Administrator).await?;
        let found = accounts::find_account(tx, administrator.id).await?;
        reached.push(("take_role", found.is_some_and(|account| account.roles.is_empty())));
        let renamed = Account {
            organization: Some(organization),
            username: Some("renamed".parse().unwrap()),
            ..administrator.clone()
        };
        let updated = accounts::update_account(tx, &renamed, now).await;
        let found = accounts::find_account(tx, administrator.id).await?;
        let is_renamed = found.is_some_and(|account| account.username == renamed.username);
        assert_eq!(updated.is_ok(), is_renamed);
        reached.push(("update_account", is_renamed));
        Ok(reached)
    }
}

on_both_databases! {
    async fn what_an_organization_owns_is_not_there_for_another(kind: Kind) {
        let fixture = Fixture::new(kind).await;
        // While there is one organization: the app is of each.
        fixture.files.run(APP).await;
        let belongings = Belongings::new(&fixture).await;
        let other = Organization {
            id: OrganizationId::new(fixture.clock.now(), &fixture.random),
            handle: "globex".parse().unwrap(),
            name: "Globex".into(),
            plan: Plan::Trial,
            enabled: true,
            policy: OrganizationPolicy::default(),
            created_at: fixture.clock.now(),
        };
        let mut tx = fixture.database.write().await.unwrap();
        store::organization::organizations::insert_organization(&mut tx, &other).await.unwrap();
        for (organization, is_there) in [(other.id, false), (fixture.organization, true)] {
            let reached = belongings.reach(&mut tx, fixture.organization, organization).await.unwrap();
            let wrong: Vec<_> = reached.iter().filter(|(_, found)| *found != is_there).collect();
            assert!(wrong.is_empty(), "under {organization}: {wrong:?}");
        }
        tx.commit().await.unwrap();
    }
}
