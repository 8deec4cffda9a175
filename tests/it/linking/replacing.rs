//! A connection replaces another one: a user who moves from one identity provider to the next is identified, once, and
//! no other user is.

use std::time::Duration;

use countersign::flows::account::AddWay;
use countersign::flows::link::OfferAnswer;
use countersign::model::{AccountId, Caller, Clock};

use super::direct::{Links, Outcome, Place, at_once, code_of, connection};
use super::providers::{CLIENT, Person, person};
use super::rows::Rows;
use crate::harness::database::Kind;
use crate::harness::relying_app::claims;
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

/// The same world, in which Bob has signed in through the old connection with the number 7, and will sign in through
/// the new one.
async fn replacing(kind: Kind) -> (Links, Rows, AccountId) {
    let links = world(kind).await;
    let bob = settled(&links, OLD, &employee("bob-old", "7")).await;
    links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
    let rows = links.rows().await;
    (links, rows, bob)
}

/// A user whose identity provider asserts their number.
fn employee(subject: &str, number: &str) -> Person {
    person(subject).claiming("employee", number)
}

/// Signs a user in through a connection for the first time, and returns their account.
async fn settled(links: &Links, number: usize, who: &Person) -> AccountId {
    let mut tab = links.tab();
    assert_eq!(tab.sign_in(connection(0, number), who).await, Ok(Place::Account));
    links.later(1);
    tab.account().await.unwrap()
}

fn lines(more: &[(usize, &str)]) -> Vec<String> {
    let mut lines: Vec<String> =
        more.iter().map(|(number, subject)| format!("{} {subject}", connection(0, *number))).collect();
    lines.sort_unstable();
    lines
}

on_both_databases! {
    async fn a_user_who_moves_to_a_new_provider_is_identified_by_a_kept_claim(kind: Kind) {
        let (links, mut rows, bob) = replacing(kind).await;
        assert_eq!(settled(&links, NEW, &employee("bob-new", "7")).await, bob);
        // From now on the identity is known, whatever the claim says.
        assert_eq!(settled(&links, NEW, &person("bob-new")).await, bob);
        assert_eq!(rows.profiles(bob).await, lines(&[(NEW, "bob-new")]));
        // A user who comes through the old connection is sent to the new one, and is asked nothing.
        for who in [person("bob-old"), person("bob-old").unproven("anybody@alpha.test")] {
            assert_eq!(links.tab().sign_in(connection(0, OLD), &who).await, refused("other_connection"));
        }
        assert_eq!(rows.ledger().await, ["replaced"]);
        let audit = links.app.audit().await;
        let told: Vec<_> = audit.iter().filter(|record| record.action == "link.replaced").collect();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].succeeded, told[0].connection), (true, Some(connection(0, NEW))));
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn nothing_else_identifies_a_user(kind: Kind) {
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
            // A subject at another identity provider is not a claim.
            person("bob-old"),
        ] {
            let account = settled(&links, NEW, &who).await;
            assert!(![bob, silent, elsewhere].contains(&account), "{who:?}");
        }
        // An email alone links no account, proven or not: its owner is asked.
        let mut tab = links.tab();
        let by_email = person("by-email").proven("bob.b@alpha.test");
        assert!(matches!(tab.sign_in(connection(0, NEW), &by_email).await, Ok(Place::Link(_))));
        // Through another connection than the one that replaces it, the claim says nothing.
        assert_ne!(settled(&links, 3, &employee("third", "7")).await, bob);
        // In another organization neither.
        let mut tab = links.tab();
        assert_eq!(tab.sign_in(connection(1, 1), &employee("beta", "7")).await, Ok(Place::Account));
        assert_ne!(tab.account().await, Some(bob));
        assert_eq!(rows.ledger().await, [""; 0]);
        // After its end the connection replaces nothing.
        links.app.clock.advance(Duration::from_hours(20 * 24));
        assert_ne!(settled(&links, NEW, &employee("too-late", "7")).await, bob);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn what_was_opened_by_the_old_way_ends(kind: Kind) {
        let links = world(kind).await;
        let mut before = links.tab();
        before.sign_in(connection(0, OLD), &employee("bob-old", "7")).await.unwrap();
        let code = code_of(before.come_from_app("alpha-one", &[]).await);
        let (_, tokens) = links.relying_app(0, "one").redeem(&code).await;
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        let bob = settled(&links, NEW, &employee("bob-new", "7")).await;
        assert_eq!(before.account().await, None);
        let form = [("grant_type", "refresh_token"), ("refresh_token", tokens["refresh_token"].as_str().unwrap())];
        let (status, answer) = links.relying_app(0, "one").token(&form).await;
        assert_eq!((status.as_u16(), answer["error"].as_str()), (400, Some("invalid_grant")));
        // Apps know him as before.
        let mut after = links.tab();
        after.sign_in(connection(0, NEW), &person("bob-new")).await.unwrap();
        assert_eq!(after.account().await, Some(bob));
        let code = code_of(after.come_from_app("alpha-one", &[]).await);
        let (_, again) = links.relying_app(0, "one").redeem(&code).await;
        let subject = |tokens: &serde_json::Value| claims(tokens["id_token"].as_str().unwrap())["sub"].clone();
        assert_eq!(subject(&again), subject(&tokens));
        links.rows().await.assert_sound().await;
    }
}

on_both_databases! {
    async fn a_place_is_taken_once_whoever_says_the_same_at_once(kind: Kind) {
        let (links, mut rows, bob) = replacing(kind).await;
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
        let fair = |(outcome, _): &(Outcome, _)| *outcome == Ok(Place::Account) || *outcome == refused("flow_finished");
        assert!(outcomes.iter().all(fair), "{outcomes:?}");
        assert_eq!(rows.profiles(bob).await.len(), 1);
        assert_eq!(rows.ledger().await, ["replaced"]);
        // A user who comes later with the same value is another one.
        assert_ne!(settled(&links, NEW, &employee("one-more", "7")).await, bob);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn one_person_who_comes_many_times_at_once_is_nobody_else(kind: Kind) {
        let (links, mut rows, bob) = replacing(kind).await;
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
        assert_eq!(rows.profiles(bob).await, lines(&[(NEW, "bob-new")]));
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
        assert_eq!(tab.sign_in(connection(0, NEW), &employee("bob-new", "7")).await, refused("person_unclear"));
        assert_eq!(links.app.refusals().await.last().unwrap(), "replaced_claim_ambiguous");
        assert_eq!(rows.count("accounts").await, accounts);
        // The old provider corrects the one: the other is told apart.
        settled(&links, OLD, &employee("cyd-old", "8")).await;
        assert_eq!(tab.sign_in(connection(0, NEW), &employee("bob-new", "7")).await, Ok(Place::Account));
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn a_value_that_a_provider_takes_back_recognizes_nobody(kind: Kind) {
        let links = world(kind).await;
        let bob = settled(&links, OLD, &employee("bob-old", "7")).await;
        // Bob has left his number to Cyd, who has not come since.
        settled(&links, OLD, &person("bob-old")).await;
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        assert_ne!(settled(&links, NEW, &employee("cyd-new", "7")).await, bob);
        links.rows().await.assert_sound().await;
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
    async fn a_disabled_account_is_not_taken_over(kind: Kind) {
        let (links, mut rows, bob) = replacing(kind).await;
        links.app.broker.accounts.set_account_enabled(Caller::Operator(None), &bob.to_string(), false).await.unwrap();
        let mut tab = links.tab();
        assert_eq!(tab.sign_in(connection(0, NEW), &employee("bob-new", "7")).await, refused("account_disabled"));
        assert_eq!(rows.profiles(bob).await, lines(&[(OLD, "bob-old")]));
        links.app.broker.accounts.set_account_enabled(Caller::Operator(None), &bob.to_string(), true).await.unwrap();
        assert_eq!(settled(&links, NEW, &employee("bob-new", "7")).await, bob);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn what_was_replaced_is_given_back_and_not_taken_again(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        let bob = settled(&links, OLD, &employee("bob-old", "7").proven("bob.b@alpha.test")).await;
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        let mut wrong = links.tab();
        let mallory = employee("mallory", "7").proven("mallory@alpha.test");
        wrong.sign_in(connection(0, NEW), &mallory).await.unwrap();
        assert_eq!(wrong.account().await, Some(bob));
        links.later(1);
        links.app.broker.accounts.undo_link(Caller::Operator(None), rows.entry("replaced").await).await.unwrap();
        assert_eq!(wrong.account().await, None, "whoever came in by it is out");
        assert_eq!(rows.profiles(bob).await, lines(&[(OLD, "bob-old")]));
        let email = format!("SELECT email FROM accounts WHERE id = '{bob}' AND NOT email_verified");
        assert_eq!(rows.texts(&email).await, ["bob.b@alpha.test"]);
        assert_eq!(settled(&links, OLD, &person("bob-old")).await, bob);
        assert_ne!(settled(&links, NEW, &person("mallory")).await, bob);
        assert_eq!(rows.ledger().await, ["replaced", "undone"]);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn an_identity_that_took_over_a_profile_cannot_keep_it_by_linking_and_unlinking(kind: Kind) {
        let (links, mut rows, bob) = replacing(kind).await;
        let mut wrong = links.tab();
        wrong.sign_in(connection(0, NEW), &employee("mallory", "7")).await.unwrap();
        assert_eq!(wrong.add_profile(connection(0, 3), &person("mallory-too")).await, Ok(Place::Account));
        let taken = rows.profile(connection(0, NEW), "mallory").await;
        assert_eq!(wrong.unlink(taken).await, Ok(Place::SignedOut));
        links.later(1);
        links.app.broker.accounts.undo_link(Caller::Operator(None), rows.entry("replaced").await).await.unwrap();
        links.app.broker.accounts.undo_link(Caller::Operator(None), rows.entry("linked").await).await.unwrap();
        assert_eq!(rows.profiles(bob).await, lines(&[(OLD, "bob-old")]));
        assert_eq!(settled(&links, OLD, &person("bob-old")).await, bob);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn a_sign_in_beside_the_undo_opens_nothing_that_stays(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        for round in 0..6 {
            let number = format!("7-{round}");
            let (old, new) = (format!("bob-{round}"), format!("mallory-{round}"));
            let bob = settled(&links, OLD, &employee(&old, &number)).await;
            links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
            assert_eq!(settled(&links, NEW, &employee(&new, &number)).await, bob);
            let entry = rows.entry("replaced").await;
            let broker = links.broker(round);
            let undo = tokio::spawn(async move { broker.accounts.undo_link(Caller::Operator(None), entry).await.map(drop) });
            let tasks = (0..4).map(|node| {
                let (mut tab, who) = (links.tab_at(node), person(&new));
                async move {
                    let _ = tab.sign_in(connection(0, NEW), &who).await;
                    tab
                }
            });
            let tabs = at_once(tasks.collect()).await;
            undo.await.unwrap().unwrap();
            for tab in tabs {
                assert_ne!(tab.account().await, Some(bob));
            }
            assert_eq!(rows.profiles(bob).await, lines(&[(OLD, &old)]));
            rows.assert_sound().await;
            links.later(1);
        }
    }
}

on_both_databases! {
    async fn a_proof_by_an_identity_that_was_sent_away_links_nothing(kind: Kind) {
        let (links, mut rows, bob) = replacing(kind).await;
        settled(&links, NEW, &employee("mallory", "7")).await;
        // She proves the account as the second side of a link, and waits with her answer.
        let mut tab = links.tab();
        let offer = tab.sign_in(connection(0, 3), &person("x").unproven("x@alpha.test")).await.unwrap();
        let page = tab.answer(&offer, OfferAnswer::Existing).await.unwrap();
        let page = tab.through(&page, connection(0, NEW), &person("mallory")).await.unwrap();
        links.app.broker.accounts.undo_link(Caller::Operator(None), rows.entry("replaced").await).await.unwrap();
        assert_eq!(tab.confirm(&page).await, refused("link_profile_gone"));
        assert_eq!(rows.profiles(bob).await, lines(&[(OLD, "bob-old")]));
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn undoing_a_link_or_a_merge_also_removes_what_replaced_it(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        let (ann, bob) = (links.account("ann").await, links.account("bob").await);
        let mut tab = links.signed_in("ann", 0).await;
        tab.add_profile(connection(0, OLD), &employee("of-ann", "7")).await.unwrap();
        let mut tab = links.signed_in("bob", 0).await;
        tab.add_profile(connection(0, 3), &person("of-bob")).await.unwrap();
        tab.add_profile(connection(0, OLD), &employee("of-bob", "8")).await.unwrap();
        // Their claims are kept from the next sign-in on.
        for (subject, number) in [("of-ann", "7"), ("of-bob", "8")] {
            settled(&links, OLD, &employee(subject, number)).await;
        }
        links.later(1);
        let mut cyd = links.signed_in("cyd", 0).await;
        let page = cyd.add_account("bob").await.unwrap();
        assert_eq!(cyd.confirm(&page).await, Ok(Place::Account));
        let merged = rows.entry("merged").await;
        let linked = rows.texts(&format!("SELECT id FROM link_ledger WHERE account_id = '{ann}' AND kind = 'linked'")).await;
        links.later(1);
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        assert_eq!(settled(&links, NEW, &employee("ann-new", "7")).await, ann);
        assert_eq!(settled(&links, NEW, &employee("bob-new", "8")).await, links.account("cyd").await);
        links.app.broker.accounts.undo_link(Caller::Operator(None), linked[0].parse().unwrap()).await.unwrap();
        assert_eq!(rows.profiles(ann).await, ["local"]);
        links.app.broker.accounts.undo_link(Caller::Operator(None), merged).await.unwrap();
        let mut his = lines(&[(3, "of-bob"), (NEW, "bob-new")]);
        his.push("local".to_owned());
        assert_eq!(rows.profiles(bob).await, his);
        assert_eq!(rows.profiles(links.account("cyd").await).await, ["local"]);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn one_provider_that_is_registered_again_keeps_its_people(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        // The same subjects there; and a provider that makes up others for each client.
        for (settings, old, new) in [
            (BY_EMPLOYEE.replace("employee", "sub"), person("bob"), person("bob")),
            (BY_EMPLOYEE.to_owned(), employee("cyd-old", "8"), employee("cyd-new", "8")),
        ] {
            let bob = settled(&links, OLD, &old).await;
            links.app.apply(&document(&links, &[(TWIN, &settings)])).await;
            assert_eq!(settled(&links, TWIN, &new).await, bob);
            assert_eq!(rows.profiles(bob).await, lines(&[(TWIN, &new.subject)]));
            assert_eq!(links.tab().sign_in(connection(0, OLD), &old).await, refused("other_connection"));
            links.app.broker.accounts.undo_link(Caller::Operator(None), rows.entry("replaced").await).await.unwrap();
            assert_eq!(rows.profiles(bob).await, lines(&[(OLD, &old.subject)]));
            assert_eq!(settled(&links, OLD, &old).await, bob);
            rows.assert_sound().await;
            links.later(1);
        }
    }
}

on_both_databases! {
    async fn a_user_whose_profile_another_has_taken_over_is_told_so(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        let bob = settled(&links, OLD, &employee("bob", "7")).await;
        links.app.apply(&document(&links, &[(TWIN, BY_EMPLOYEE)])).await;
        // Mallory, at the same provider, says his number; then he comes himself.
        assert_eq!(settled(&links, TWIN, &employee("mallory", "7")).await, bob);
        let accounts = rows.count("accounts").await;
        let mut tab = links.tab();
        assert_eq!(tab.sign_in(connection(0, TWIN), &employee("bob", "7")).await, refused("person_unclear"));
        assert_eq!(links.app.refusals().await.last().unwrap(), "place_taken_by_another");
        assert_eq!(rows.count("accounts").await, accounts, "he has no second account that would be in the way");
        links.app.broker.accounts.undo_link(Caller::Operator(None), rows.entry("replaced").await).await.unwrap();
        assert_eq!(settled(&links, OLD, &person("bob")).await, bob);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn what_cannot_be_given_back_is_said_and_stays_as_it_is(kind: Kind) {
        let (links, mut rows, bob) = replacing(kind).await;
        let mut tab = links.tab();
        tab.sign_in(connection(0, NEW), &employee("bob-new", "7")).await.unwrap();
        let entry = rows.entry("replaced").await;
        let undo = || async { links.app.broker.accounts.undo_link(Caller::Operator(None), entry).await.unwrap_err().to_string() };
        // Merged into another account, that comes first.
        let mut ann = links.signed_in("ann", 0).await;
        let page = ann.add(AddWay::Connection(connection(0, NEW))).await.unwrap();
        let page = ann.vouched(&page, &person("bob-new")).await.unwrap();
        assert_eq!(ann.confirm(&page).await, Ok(Place::Account));
        let told = undo().await;
        assert!(told.contains("undo that merge first"), "{told}");
        links.later(1);
        links.app.broker.accounts.undo_link(Caller::Operator(None), rows.entry("merged").await).await.unwrap();
        assert_eq!(rows.profiles(bob).await, lines(&[(NEW, "bob-new")]));
        // Bob links another way and unlinks the new one. Then his old identity belongs to no account, and arrives as a
        // new user.
        let mut tab = links.tab();
        tab.sign_in(connection(0, NEW), &person("bob-new")).await.unwrap();
        assert_eq!(tab.add_profile(connection(0, 3), &person("bob-third")).await, Ok(Place::Account));
        assert_eq!(tab.unlink(rows.profile(connection(0, NEW), "bob-new").await).await, Ok(Place::SignedOut));
        let other = settled(&links, OLD, &person("bob-old")).await;
        assert_ne!(other, bob);
        let told = undo().await;
        assert!(told.contains("another account's by now"), "{told}");
        assert_eq!(rows.profiles(bob).await, lines(&[(3, "bob-third")]));
        assert_eq!(rows.profiles(other).await, lines(&[(OLD, "bob-old")]));
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn a_place_is_remembered_for_sixty_days(kind: Kind) {
        let (links, mut rows, _) = replacing(kind).await;
        settled(&links, NEW, &employee("bob-new", "7")).await;
        links.app.clock.advance(Duration::from_hours(60 * 24 - 1));
        links.app.broker.housekeeping.sweep().await.unwrap();
        assert_eq!(rows.count("replaced_profiles").await, 1);
        links.app.clock.advance(Duration::from_hours(2));
        links.app.broker.housekeeping.sweep().await.unwrap();
        assert_eq!(rows.count("replaced_profiles").await, 0);
    }
}

on_both_databases! {
    async fn a_user_who_has_undone_it_themselves_is_back_where_they_were(kind: Kind) {
        let (links, mut rows, bob) = replacing(kind).await;
        let mut tab = links.tab();
        tab.sign_in(connection(0, NEW), &employee("bob-new", "7")).await.unwrap();
        let entry = rows.entry("replaced").await;
        // Not where that would lock them out.
        links.app.apply(&document(&links, &[(OLD, "kept_claims = [\"employee\"]\nenabled = false")])).await;
        assert_eq!(tab.undo(entry).await, refused("undo_last"));
        links.app.apply(&document(&links, &[(OLD, "kept_claims = [\"employee\"]")])).await;
        assert_eq!(tab.undo(entry).await, Ok(Place::SignedOut));
        assert_eq!(settled(&links, OLD, &person("bob-old")).await, bob);
        assert_eq!(tab.undo(entry).await, refused("session_ended"));
        rows.assert_sound().await;
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
        // Another file that takes the claim away while it is needed is refused.
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        let file = |settings: &str| [("alpha.toml".to_owned(), document(&links, &[(OLD, settings)]))];
        let error = links.app.broker.organizations.apply(Caller::Operator(None), &file("kept_claims = [\"oid\"]"), false).await.unwrap_err().to_string();
        assert!(error.contains("connection alpha/c1: replaces: connection c0 does not keep"), "{error}");
        assert_eq!(rows.texts(kept).await, ["employee=7", "employee=9"]);
        links.app.apply(&document(&links, &[(NEW, "")])).await;
        links.app.apply(&document(&links, &[(OLD, "kept_claims = [\"oid\"]")])).await;
        assert_eq!(rows.texts(kept).await, [""; 0]);
    }
}

on_both_databases! {
    async fn what_cannot_be_replaced_is_refused_by_name_and_nothing_is_applied(kind: Kind) {
        let links = world(kind).await;
        let before = links.app.broker.organizations.export().await.unwrap();
        for (settings, told) in [
            (BY_EMPLOYEE.replace("c0", "c9"), "replaces: the organization has no connection c9"),
            (BY_EMPLOYEE.replace("c0", "c1"), "replaces: a connection cannot replace itself"),
            (BY_EMPLOYEE.replace("employee", "oid"), "connection c0 does not keep the claim \"oid\""),
            (BY_EMPLOYEE.replace("employee", "email"), "\"email\" cannot be used to recognize users"),
            (BY_EMPLOYEE.replace("until", "old_claim = \"upn\", until"), "\"upn\" cannot be used to recognize users"),
            (BY_EMPLOYEE.replace(", until = \"@\"", ""), "until"),
            (
                BY_EMPLOYEE.replace('@', &links.app.clock.now().after(Duration::from_hours(31 * 24)).to_string()),
                "until is more than 30 days after 20",
            ),
            (format!("{BY_EMPLOYEE}\nclaims = {{ name = \"employee\" }}"), "\"employee\" cannot be used to recognize users"),
            ("kept_claims = [\"sub\"]".to_owned(), "sub is known of everybody"),
            ("kept_claims = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\"]".to_owned(), "5 are allowed"),
        ] {
            let files = [("alpha.toml".to_owned(), document(&links, &[(NEW, &settings)]))];
            let error = links.app.broker.organizations.apply(Caller::Operator(None), &files, false).await.unwrap_err().to_string();
            assert!(error.contains(told), "{settings}: {error}");
        }
        assert_eq!(links.app.broker.organizations.export().await.unwrap(), before);
        // It is not renewed for ever: what goes on has begun when it began.
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        links.app.clock.advance(Duration::from_hours(15 * 24));
        let files = [("alpha.toml".to_owned(), document(&links, &[(NEW, BY_EMPLOYEE)]))];
        let error = links.app.broker.organizations.apply(Caller::Operator(None), &files, false).await.unwrap_err().to_string();
        assert!(error.contains("when it began"), "{error}");
        links.app.apply(&document(&links, &[(NEW, "")])).await;
        // What is applied is exported, and taken back as it was.
        links.app.apply(&document(&links, &[(NEW, BY_EMPLOYEE)])).await;
        let exported = links.app.broker.organizations.export().await.unwrap();
        assert!(exported.contains("kept_claims = [\"employee\"]") && exported.contains("old_claim = \"employee\""));
        let report = links.app.broker.organizations.apply(Caller::Operator(None), &[("export.toml".to_owned(), exported)], true).await.unwrap();
        assert!(report.to_string().starts_with("0 created, 0 changed"), "{report}");
    }
}
