//! A connection replaces another one: whoever moves from one identity provider to the next is recognized, once, and
//! nobody else is.

use std::time::Duration;

use countersign::model::{AccountId, Clock};

use super::direct::{Links, Outcome, Place, Tab, at_once, connection};
use super::providers::{CLIENT, Person, person};
use crate::harness::database::Kind;
use crate::on_both_databases;

/// The connection that is replaced.
const OLD: usize = 0;

/// The one that replaces it.
const NEW: usize = 1;

/// The connection that has the issuer of the replaced one.
const TWIN: usize = 5;

/// A replacement by the claim `employee`, for twenty days.
const BY_EMPLOYEE: &str = r#"replaces = { connection = "c0", claim = "employee", until = "@" }"#;

fn refused(code: &str) -> Outcome {
    Err(code.to_owned())
}

/// Alpha, with more settings for some of its connections. `@` is a day that is twenty days ahead.
fn document(links: &Links, more: &[(usize, &str)]) -> String {
    let end = links.app.clock.now().after(Duration::from_hours(20 * 24));
    let mut document = "[[organizations]]\nhandle = \"alpha\"\nname = \"alpha\"\nlinking = true\n".to_owned();
    for (number, settings) in more {
        let issuer = links.idps.issuer(&format!("alpha{}", if *number == TWIN { 0 } else { *number }));
        document.push_str(&format!(
            "[[organizations.connections]]\nhandle = \"c{number}\"\nname = \"alpha {number}\"\nissuer = \"{issuer}\"\n\
             client_id = \"{CLIENT}\"\n{}\n",
            settings.replace('@', &end.to_string())
        ));
    }
    document
}

/// The old connection keeps the claim `employee`.
async fn world(kind: Kind) -> Links {
    let links = Links::new(kind, TWIN + 1).await;
    links.app.apply(&document(&links, &[(OLD, "kept_claims = [\"employee\"]")])).await;
    links
}

/// Somebody whose provider tells their number.
fn employee(subject: &str, number: &str) -> Person {
    person(subject).claiming("employee", number)
}

/// Signs somebody in through a connection for the first time, and gives their account.
async fn settled(links: &Links, number: usize, who: &Person) -> AccountId {
    let mut tab = links.tab();
    assert_eq!(tab.sign_in(connection(0, number), who).await, Ok(Place::Account));
    links.later(1);
    tab.account().await.unwrap()
}

/// Whose account somebody is in who signs in through a connection.
async fn whose(links: &Links, number: usize, who: &Person) -> AccountId {
    settled(links, number, who).await
}

fn lines(more: &[(usize, &str)]) -> Vec<String> {
    let mut lines: Vec<String> =
        more.iter().map(|(number, subject)| format!("{} {subject}", connection(0, *number))).collect();
    lines.sort_unstable();
    lines
}

on_both_databases! {
    async fn whoever_moves_to_a_new_provider_is_recognized_by_a_kept_claim(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        let bob = settled(&links, OLD, &employee("bob-old", "7")).await;
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        assert_eq!(whose(&links, NEW, &employee("bob-new", "7")).await, bob);
        // Known from now on, whatever the claim says; and the old way is still his.
        assert_eq!(whose(&links, NEW, &person("bob-new")).await, bob);
        assert_eq!(whose(&links, OLD, &person("bob-old")).await, bob);
        assert_eq!(rows.profiles(bob).await, lines(&[(OLD, "bob-old"), (NEW, "bob-new")]));
        assert_eq!(rows.ledger().await, ["replaced"]);
        let audit = links.app.audit().await;
        let told: Vec<_> = audit.iter().filter(|record| record.action == "link.replaced").collect();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].succeeded, told[0].connection), (true, Some(connection(0, NEW))));
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn nobody_is_recognized_by_anything_else(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        let bob = settled(&links, OLD, &employee("bob-old", "7").proven("bob.b@alpha.test")).await;
        let silent = settled(&links, OLD, &person("silent-old")).await;
        let elsewhere = settled(&links, 3, &employee("elsewhere", "8")).await;
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        for who in [
            person("nothing"),
            employee("another-number", "70"),
            employee("letters-differ", "7 "),
            person("a-number").claiming("employee", 7),
            person("a-list").claiming("employee", vec!["7"]),
            person("empty").claiming("employee", ""),
            // The old connection never kept it; a third one is not replaced.
            employee("of-a-third", "8"),
            // The subject that somebody had elsewhere is no claim.
            person("bob-old"),
        ] {
            let account = whose(&links, NEW, &who).await;
            assert!(![bob, silent, elsewhere].contains(&account), "{who:?}");
        }
        // An email links nobody, proven or not: its owner is asked.
        let mut tab = links.tab();
        let by_email = person("by-email").proven("bob.b@alpha.test");
        assert!(matches!(tab.sign_in(connection(0, NEW), &by_email).await, Ok(Place::Link(_))));
        // Through another connection than the one that replaces it, the claim says nothing.
        assert_ne!(whose(&links, 3, &employee("third", "7")).await, bob);
        // In another organization neither.
        let mut tab = links.tab();
        assert_eq!(tab.sign_in(connection(1, 1), &employee("beta", "7")).await, Ok(Place::Account));
        assert_ne!(tab.account().await, Some(bob));
        assert_eq!(rows.ledger().await, [""; 0]);
        // After its end the connection replaces nothing.
        links.app.clock.advance(Duration::from_hours(20 * 24));
        assert_ne!(whose(&links, NEW, &employee("too-late", "7")).await, bob);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn a_place_is_taken_once_whoever_says_the_same_at_once(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        let bob = settled(&links, OLD, &employee("bob-old", "7")).await;
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        let tasks = (0..8).map(|node| {
            let mut tab = links.tab_at(node);
            let who = employee(&format!("bob-{node}"), "7");
            async move {
                let outcome = tab.sign_in(connection(0, NEW), &who).await;
                (outcome, tab.account().await)
            }
        });
        let outcomes = at_once(tasks.collect()).await;
        let his = outcomes.iter().filter(|(_, account)| *account == Some(bob)).count();
        assert_eq!(his, 1, "{outcomes:?}");
        assert_eq!(rows.profiles(bob).await.len(), 2);
        assert_eq!(rows.ledger().await, ["replaced"]);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn one_person_who_comes_many_times_at_once_is_nobody_else(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        let bob = settled(&links, OLD, &employee("bob-old", "7")).await;
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        let tasks = (0..8).map(|node| {
            let mut tab = links.tab_at(node);
            async move { (tab.sign_in(connection(0, NEW), &employee("bob-new", "7")).await, tab.account().await) }
        });
        let outcomes = at_once(tasks.collect()).await;
        let fair = |(outcome, account): &(Outcome, Option<AccountId>)| match outcome {
            Ok(Place::Account) => *account == Some(bob),
            other => *other == refused("flow_finished"),
        };
        assert!(outcomes.iter().all(fair) && outcomes.iter().any(|(outcome, _)| outcome.is_ok()), "{outcomes:?}");
        assert_eq!(rows.profiles(bob).await, lines(&[(OLD, "bob-old"), (NEW, "bob-new")]));
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn a_value_that_two_people_have_recognizes_neither(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        for subject in ["bob-old", "cyd-old"] {
            settled(&links, OLD, &employee(subject, "7")).await;
        }
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        let accounts = rows.count("accounts").await;
        let mut tab = links.tab();
        assert_eq!(tab.sign_in(connection(0, NEW), &employee("bob-new", "7")).await, refused("no_account"));
        assert_eq!(links.app.refusals().await.last().unwrap(), "replaced_claim_ambiguous");
        assert_eq!(rows.count("accounts").await, accounts);
        // The old provider corrects the one: the other is told apart.
        settled(&links, OLD, &employee("cyd-old", "8")).await;
        assert_eq!(tab.sign_in(connection(0, NEW), &employee("bob-new", "7")).await, Ok(Place::Account));
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn an_account_that_has_a_profile_there_already_gets_no_second(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        let bob = settled(&links, OLD, &employee("bob-old", "7")).await;
        let mut tab = links.tab();
        tab.sign_in(connection(0, OLD), &employee("bob-old", "7")).await.unwrap();
        assert_eq!(tab.add_profile(connection(0, NEW), &person("bob-himself")).await, Ok(Place::Account));
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        let mut other = links.tab();
        let outcome = other.sign_in(connection(0, NEW), &employee("bob-new", "7")).await;
        assert_eq!(outcome, refused("link_same_provider"));
        assert_eq!(rows.profiles(bob).await, lines(&[(OLD, "bob-old"), (NEW, "bob-himself")]));
        assert_eq!(rows.count("replaced_profiles").await, 0, "nothing was used up");
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn whoever_is_disabled_takes_no_place(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        let bob = settled(&links, OLD, &employee("bob-old", "7")).await;
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        links.app.broker.set_account_enabled(&bob.to_string(), false).await.unwrap();
        let mut tab = links.tab();
        assert_eq!(tab.sign_in(connection(0, NEW), &employee("bob-new", "7")).await, refused("account_disabled"));
        assert_eq!(rows.profiles(bob).await, lines(&[(OLD, "bob-old")]));
        links.app.broker.set_account_enabled(&bob.to_string(), true).await.unwrap();
        assert_eq!(whose(&links, NEW, &employee("bob-new", "7")).await, bob);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn what_was_taken_over_is_given_back_and_not_taken_again(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        let bob = settled(&links, OLD, &employee("bob-old", "7")).await;
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        let mut wrong = links.tab();
        wrong.sign_in(connection(0, NEW), &employee("mallory", "7")).await.unwrap();
        assert_eq!(wrong.account().await, Some(bob));
        links.later(1);
        links.app.broker.undo_link(rows.entry("replaced").await).await.unwrap();
        assert_eq!(wrong.account().await, None, "whoever came in by it is out");
        assert_eq!(rows.profiles(bob).await, lines(&[(OLD, "bob-old")]));
        assert_ne!(whose(&links, NEW, &employee("mallory", "7")).await, bob);
        assert_eq!(rows.ledger().await, ["replaced", "undone"]);
        rows.assert_sound().await;
    }
}

/// Bob through the old connection and, once the twin replaces it, through that one; where he is then.
async fn moved(links: &Links, settings: &str, old: &Person, new: &Person) -> (AccountId, Tab) {
    let bob = settled(links, OLD, old).await;
    links.app.apply(&document(links, &[(TWIN, settings)])).await;
    let mut tab = links.tab();
    assert_eq!(tab.sign_in(connection(0, TWIN), new).await, Ok(Place::Account));
    assert_eq!(tab.account().await, Some(bob));
    (bob, tab)
}

on_both_databases! {
    async fn at_one_provider_the_profile_itself_moves_and_goes_back(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        // One client registered anew: the same subjects. And one for which the provider makes up others.
        for (settings, old, new) in [
            (BY_EMPLOYEE.replace("employee", "sub"), person("bob"), person("bob")),
            (BY_EMPLOYEE.to_owned(), employee("cyd-old", "8"), employee("cyd-new", "8")),
        ] {
            let (bob, mut tab) = moved(&links, &settings, &old, &new).await;
            assert_eq!(rows.profiles(bob).await, lines(&[(TWIN, &new.subject)]));
            // Whoever comes by the old way is shown the new one.
            let mut back = links.tab();
            assert_eq!(back.sign_in(connection(0, OLD), &old).await, refused("other_connection"));
            links.later(1);
            links.app.broker.undo_link(rows.entry("replaced").await).await.unwrap();
            assert_eq!(tab.account().await, None);
            assert_eq!(rows.profiles(bob).await, lines(&[(OLD, &old.subject)]));
            assert_eq!(whose(&links, OLD, &old).await, bob);
            // The place was taken once.
            let again = tab.sign_in(connection(0, TWIN), &new).await;
            assert!(again == refused("other_connection") || tab.account().await != Some(bob), "{again:?}");
            rows.assert_sound().await;
            links.later(1);
        }
    }
}

on_both_databases! {
    async fn what_a_connection_keeps_no_more_is_forgotten(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        settled(&links, OLD, &employee("bob-old", "7")).await;
        settled(&links, OLD, &employee("cyd-old", "8")).await;
        let kept = "SELECT claim || '=' || value FROM profile_claims ORDER BY 1";
        assert_eq!(rows.texts(kept).await, ["employee=7", "employee=8"]);
        settled(&links, OLD, &employee("cyd-old", "9")).await;
        assert_eq!(rows.texts(kept).await, ["employee=7", "employee=9"]);
        // A profile takes its claims along.
        let (_, mut tab) = moved(&links, BY_EMPLOYEE, &employee("dan", "10"), &employee("dan", "10")).await;
        assert_eq!(rows.texts(kept).await, ["employee=7", "employee=9"]);
        assert_eq!(tab.add_profile(connection(0, 3), &person("dan")).await, Ok(Place::Account));
        links.app.apply(&document(&links, &[(OLD, "kept_claims = [\"oid\"]")])).await;
        assert_eq!(rows.texts(kept).await, [""; 0]);
    }
}

on_both_databases! {
    async fn what_cannot_be_replaced_is_refused_by_name_and_nothing_is_applied(kind: Kind) {
        let links = world(kind).await;
        let before = links.app.broker.export().await.unwrap();
        for (settings, told) in [
            (BY_EMPLOYEE.replace("c0", "c9"), "replaces: the organization has no connection c9"),
            (BY_EMPLOYEE.replace("c0", "c1"), "replaces: a connection cannot replace itself"),
            (BY_EMPLOYEE.replace("employee", "oid"), "connection c0 does not keep the claim \"oid\""),
            (BY_EMPLOYEE.replace("employee", "email"), "nobody is recognized by \"email\""),
            (BY_EMPLOYEE.replace("until", "old_claim = \"upn\", until"), "nobody is recognized by \"upn\""),
            (BY_EMPLOYEE.replace(", until = \"@\"", ""), "until"),
            (
                BY_EMPLOYEE.replace('@', &links.app.clock.now().after(Duration::from_hours(31 * 24)).to_string()),
                "until is more than 30 days ahead",
            ),
            ("kept_claims = [\"sub\"]".to_owned(), "sub is known of everybody"),
            ("kept_claims = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\"]".to_owned(), "5 are allowed"),
        ] {
            let files = [("alpha.toml".to_owned(), document(&links, &[(NEW, &settings)]))];
            let error = links.app.broker.apply(&files, false).await.unwrap_err().to_string();
            assert!(error.contains(told), "{settings}: {error}");
        }
        assert_eq!(links.app.broker.export().await.unwrap(), before);
        // What is applied is exported, and taken back as it was.
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        let exported = links.app.broker.export().await.unwrap();
        assert!(exported.contains("kept_claims = [\"employee\"]") && exported.contains("old_claim = \"employee\""));
        let report = links.app.broker.apply(&[("export.toml".to_owned(), exported)], true).await.unwrap();
        assert!(report.to_string().starts_with("0 created, 0 changed"), "{report}");
    }
}
