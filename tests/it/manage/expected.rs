//! Expected identities and merged accounts in `apply` and `export`.

use countersign::flows::manage::Change;
use countersign::model::{AccountId, Caller};
use countersign::store::account::accounts;
use countersign::store::link::merging;

use super::{Office, changes};
use crate::harness::database::Kind;
use crate::on_both_databases;

const ACME: &str = r#"
[[organizations]]
handle = "acme"
name = "Acme"

[[organizations.connections]]
handle = "idp"
name = "Acme SSO"
issuer = "https://idp.acme.test"
client_id = "countersign"
client_secret = "secret"
"#;

/// Acme with one more account for each of these: a username, and its other keys.
fn acme(people: &[(&str, &str)]) -> String {
    let mut document = ACME.to_owned();
    for (username, more) in people {
        document.push_str(&format!("[[organizations.accounts]]\nusername = \"{username}\"\n{more}\n"));
    }
    document
}

fn expects(claim: &str, value: &str) -> String {
    format!("expects = {{ connection = \"idp\", claim = \"{claim}\", value = \"{value}\" }}")
}

on_both_databases! {
    async fn an_expected_identity_is_applied_exported_changed_and_removed(kind: Kind) {
        let office = Office::new(kind).await;
        let document = acme(&[("ann", &expects("oid", "o-1")), ("bob", &expects("email", "Bob@ACME.test"))]);
        office.apply(&document).await;
        assert_eq!(changes(&office.apply(&document).await), [Change::Unchanged; 4]);
        let exported = office.export().await;
        for text in ["claim = \"oid\"", "value = \"o-1\"", "value = \"bob@acme.test\"", "connection = \"idp\""] {
            assert!(exported.contains(text), "{text} in {exported}");
        }
        assert_eq!(changes(&office.apply(&exported).await), [Change::Unchanged; 4]);
        let other = acme(&[("ann", &expects("oid", "o-2"))]);
        assert_eq!(changes(&office.apply(&other).await), [Change::Unchanged, Change::Unchanged, Change::Changed]);
        assert!(!office.export().await.contains("o-1"));
        let nobody = acme(&[("ann", "")]);
        assert_eq!(changes(&office.apply(&nobody).await), [Change::Unchanged, Change::Unchanged, Change::Changed]);
        assert!(!office.export().await.contains("o-2"));
    }
}

on_both_databases! {
    async fn an_identity_that_cannot_be_expected_is_refused_with_the_reason(kind: Kind) {
        let office = Office::new(kind).await;
        let password = format!("{}\npassword = \"Tide4Marble\"", expects("oid", "o-1"));
        let elsewhere = expects("oid", "o-1").replace("idp", "none");
        for (people, reason) in [
            (vec![("ann", password.as_str())], "remove the password or expects"),
            (vec![("ann", expects("name", "Ann").as_str())], "\"sub\", \"oid\" or \"email\""),
            (vec![("ann", expects("email", "ann").as_str())], "value"),
            (vec![("ann", expects("oid", "").as_str())], "1 to 255"),
            (vec![("ann", elsewhere.as_str())], "has no connection none"),
            (vec![("ann", expects("oid", "o-1").as_str()), ("bob", expects("oid", "o-1").as_str())], "another account"),
        ] {
            let error = office.try_apply(&acme(&people)).await.unwrap_err().to_string();
            assert!(error.contains(reason), "{reason} in {error}");
        }
        assert!(!office.export().await.contains("acme"), "nothing is half applied");
        office.apply(&acme(&[("ann", "password = \"Tide4Marble\"")])).await;
        let error = office.try_apply(&acme(&[("ann", &expects("oid", "o-1"))])).await.unwrap_err().to_string();
        assert!(error.contains("a user can sign in to it already"), "{error}");
    }
}

on_both_databases! {
    async fn an_account_that_was_merged_is_changed_by_no_file_and_holds_no_other_up(kind: Kind) {
        let office = Office::new(kind).await;
        let document = acme(&[("ann", "name = \"Ann\""), ("bob", "name = \"Bob\"")]);
        office.apply(&document).await;
        let ann = merge(&office, "bob", "ann").await;
        assert_eq!(changes(&office.apply(&document).await), [Change::Unchanged; 4]);
        for more in ["name = \"Robert\"", "roles = [\"owner\"]", "name = \"Bob\"\npassword = \"Tide4Marble\""] {
            let report = office.apply(&acme(&[("ann", "name = \"Ann\""), ("bob", more)])).await;
            assert_eq!(changes(&report), [Change::Unchanged; 4], "{more}");
            let lines: Vec<String> = report.lines.iter().map(ToString::to_string).collect();
            assert!(lines.iter().any(|line| line.ends_with(&format!("merged into {ann}: left as it is"))), "{lines:?}");
        }
        let report = office.apply(&acme(&[("ann", "name = \"Anna\""), ("bob", "name = \"Robert\"")])).await;
        assert_eq!(changes(&report).iter().filter(|change| **change == Change::Changed).count(), 1);
        let view = office.broker.accounts.find_account("bob").await.unwrap();
        assert_eq!(view.merged_into, Some(ann));
        assert_eq!(view.account.contact.name.as_deref(), Some("Bob"));
        assert!(view.profiles.is_empty(), "{view:?}");
        // What is exported is taken back, without the account that is there for its names' sake alone.
        let exported = office.export().await;
        assert!(exported.contains("\"ann\"") && !exported.contains("\"bob\""), "{exported}");
        office.apply(&exported).await;
    }
}

on_both_databases! {
    async fn an_operator_who_disables_a_merged_account_is_told_where_its_user_is(kind: Kind) {
        let office = Office::new(kind).await;
        office.apply(&acme(&[("ann", ""), ("bob", "")])).await;
        let ann = merge(&office, "bob", "ann").await;
        let disabled = acme(&[("ann", ""), ("bob", "enabled = false")]);
        let by_file = office.try_apply(&disabled).await.unwrap_err().to_string();
        let by_name = office.broker.accounts.set_account_enabled(Caller::Operator(None), "bob", false).await.unwrap_err().to_string();
        for error in [by_file, by_name] {
            assert!(error.contains(&format!("merged into {ann}")), "{error}");
            assert!(error.contains(&format!("countersign account links {ann}")), "{error}");
        }
        assert!(office.broker.accounts.find_account("bob").await.unwrap().account.enabled);
    }
}

/// Marks an account that has no profile as merged.
async fn merge(office: &Office, gone: &str, kept: &str) -> AccountId {
    let database = countersign::store::Database::open(&office.database.settings).await.unwrap();
    let mut tx = database.write().await.unwrap();
    let mut id = async |name: &str| {
        let found = accounts::find_account_by_username(&mut tx, &name.parse().unwrap()).await;
        found.unwrap().unwrap().id
    };
    let (gone, kept) = (id(gone).await, id(kept).await);
    let now = countersign::model::Timestamp::from_unix_seconds(1_700_000_000);
    assert!(merging::mark_merged(&mut tx, gone, kept, now).await.unwrap());
    tx.commit().await.unwrap();
    kept
}
