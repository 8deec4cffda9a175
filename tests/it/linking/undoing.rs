//! An undo gives identities back, whatever was done with them since, and never authority.

use countersign::flows::account::AddWay;
use countersign::flows::refusal::{Clashing, PublicCode};
use countersign::model::Caller;

use super::direct::{Links, Outcome, Place, Tab, connection, password_of};
use super::providers::person;
use crate::harness::database::Kind;
use crate::on_both_databases;

fn refused(code: &str) -> Outcome {
    Err(code.to_owned())
}

/// Ann has taken bob's account into hers, which is known at work and at home; she is signed in.
async fn merged(links: &Links) -> Tab {
    let mut bob = links.signed_in("bob", 0).await;
    for (number, name) in [(3, "bob-at-work"), (4, "bob-at-home")] {
        assert_eq!(bob.add_profile(connection(0, number), &person(name)).await, Ok(Place::Account));
    }
    let mut ann = links.signed_in("ann", 0).await;
    let page = ann.add_account("bob").await.unwrap();
    assert_eq!(ann.confirm(&page).await, Ok(Place::Account));
    links.later(1);
    ann
}

on_both_databases! {
    async fn unlinking_what_a_merge_brought_keeps_nothing_from_its_owner(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let bob = links.account("bob").await;
        let mut ann = merged(&links).await;
        let mut rows = links.rows().await;
        for (number, name) in [(3, "bob-at-work"), (4, "bob-at-home")] {
            let profile = rows.profile(connection(0, number), name).await;
            assert_eq!(ann.unlink(profile).await, Ok(Place::Account));
        }
        // One of them belongs to another account in the meantime.
        let mut cyd = links.signed_in("cyd", 0).await;
        assert_eq!(cyd.add_profile(connection(0, 4), &person("bob-at-home")).await, Ok(Place::Account));
        let entry = rows.entry("merged").await;
        links.app.broker.accounts.undo_link(Caller::Operator(None), entry).await.unwrap();
        let at_work = format!("{} bob-at-work", connection(0, 3));
        assert_eq!(rows.profiles(bob).await, [at_work, "local".to_owned()]);
        let mut tab = links.tab();
        assert_eq!(tab.sign_in(connection(0, 3), &person("bob-at-work")).await, Ok(Place::Account));
        assert_eq!(tab.account().await, Some(bob));
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn what_is_disabled_stays_so_on_both_sides(kind: Kind) {
        let links = Links::new(kind, 6).await;
        merged(&links).await;
        let mut rows = links.rows().await;
        links.app.broker.accounts.set_account_enabled(Caller::Operator(None), "ann", false).await.unwrap();
        let entry = rows.entry("merged").await;
        links.app.broker.accounts.undo_link(Caller::Operator(None), entry).await.unwrap();
        let mut tab = links.tab();
        assert_eq!(tab.sign_in(connection(0, 3), &person("bob-at-work")).await, refused("account_disabled"));
        assert_eq!(rows.count("accounts WHERE NOT enabled").await, 2);
        links.app.broker.accounts.set_account_enabled(Caller::Operator(None), "bob", true).await.unwrap();
        assert_eq!(tab.sign_in(connection(0, 3), &person("bob-at-work")).await, Ok(Place::Account));
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn an_emergency_keeps_its_password(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let mut ann = links.signed_in("ann", 0).await;
        let page = ann.add_account("bob").await.unwrap();
        let (own, other) = (links.account("ann").await, links.account("bob").await);
        assert_eq!(ann.confirm_keeping(&page, Some(own), Some(other)).await, Ok(Place::Account));
        links.later(1);
        let mut rows = links.rows().await;
        rows.run(&format!("UPDATE accounts SET break_glass = TRUE WHERE id = '{own}'")).await;
        let entry = rows.entry("merged").await;
        let error = links.app.broker.accounts.undo_link(Caller::Operator(None), entry).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("for emergencies"), "{error}");
        assert_eq!(ann.undo(entry).await, refused("link_emergency"));
        assert_eq!(rows.ledger().await, ["merged"]);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn consent_that_was_given_since_stays_where_it_was_given(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let (ann, bob) = (links.account("ann").await, links.account("bob").await);
        let mut rows = links.rows().await;
        let consents = |account| format!("consents WHERE account_id = '{account}'");
        let consent = |app: &str| {
            format!(
                "INSERT INTO consents (organization_id, account_id, app_id, scopes, given_at) \
                 SELECT organization_id, '{bob}', id, 'openid', 1 FROM apps WHERE client_id = 'alpha-{app}'"
            )
        };
        rows.run(&consent("one")).await;
        rows.run(&consent("two")).await;
        merged(&links).await;
        assert_eq!(rows.count(&consents(ann)).await, 2);
        // To one of the apps, more is consented to than before.
        rows.run(
            "UPDATE consents SET scopes = 'openid email', given_at = (SELECT MAX(at) + 1 FROM link_ledger) \
             WHERE app_id = (SELECT id FROM apps WHERE client_id = 'alpha-two')",
        )
        .await;
        let entry = rows.entry("merged").await;
        links.app.broker.accounts.undo_link(Caller::Operator(None), entry).await.unwrap();
        assert_eq!([rows.count(&consents(ann)).await, rows.count(&consents(bob)).await], [1, 1]);
        assert_eq!(rows.texts(&format!("SELECT scopes FROM {}", consents(bob))).await, ["openid"]);
    }
}

on_both_databases! {
    async fn what_cannot_be_undone_says_why(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let mut ann = merged(&links).await;
        let mut rows = links.rows().await;
        let first = rows.entry("merged").await;
        let page = ann.add_account("cyd").await.unwrap();
        assert_eq!(ann.confirm(&page).await, Ok(Place::Account));
        links.later(1);
        assert_eq!(ann.undo(first).await, refused("undo_later_first"));
        let second = rows.entry("merged").await;
        assert_eq!(ann.undo(second).await, Ok(Place::SignedOut));
        let mut ann = links.signed_in("ann", 0).await;
        let view = async |tab: &Tab, entry| {
            let shown = tab.broker.account.view_undo(&tab.visit, entry).await;
            match shown {
                Ok(_) => None,
                Err(countersign::flows::refusal::FlowError::Refused(refusal)) => Some(refusal.code.as_str()),
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(view(&ann, second).await, Some("undo_done"));
        assert_eq!(view(&ann, first).await, None);
        links.later(30 * 24 * 3_600);
        assert_eq!(ann.sign_in_locally("ann").await, Ok(Place::Account));
        assert_eq!(view(&ann, first).await, Some("undo_too_late"));
        assert_eq!(ann.undo(first).await, refused("undo_too_late"));
    }
}

on_both_databases! {
    async fn a_connection_that_was_closed_a_moment_ago_links_nothing(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let mut rows = links.rows().await;
        let mut ann = links.signed_in("ann", 0).await;
        let page = ann.add_until_confirmed(connection(0, 3), &person("ann-at-work")).await.unwrap();
        // Behind the back of this node, which still remembers it open.
        let closed = format!("UPDATE connections SET enabled = FALSE WHERE id = '{}'", connection(0, 3));
        rows.run(&closed).await;
        assert_eq!(ann.confirm(&page).await, refused("connection_disabled"));
        assert_eq!(rows.ledger().await, [""; 0]);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn a_proof_by_password_is_never_a_way_to_a_provider(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let mut ann = links.signed_in("ann", 0).await;
        let page = ann.add(AddWay::Password).await.unwrap();
        // The domain is routed; on a page that asks for a password it leads nowhere.
        let outcome = ann.enter_with(&page, "bob@alpha.test", &password_of("bob")).await;
        assert_eq!(outcome, refused("bad_credentials"));
        let page = ann.enter(&page, "bob").await.unwrap();
        assert!(matches!(page, Place::Confirm(_)), "the attempt still waits: {page:?}");
    }
}

on_both_databases! {
    async fn a_refused_merge_names_what_has_to_go_first(kind: Kind) {
        let links = Links::new(kind, 6).await;
        for (name, at_work) in [("ann", "ann-at-work"), ("bob", "bob-at-work")] {
            let mut tab = links.signed_in(name, 0).await;
            assert_eq!(tab.add_profile(connection(0, 3), &person(at_work)).await, Ok(Place::Account));
        }
        let mut ann = links.signed_in("ann", 0).await;
        let Ok(Place::Confirm(handle)) = ann.add_account("bob").await else { panic!("nothing to confirm") };
        let shown = ann.broker.links.view_link_confirmation(&ann.visit, &handle).await;
        let Err(error) = shown else { panic!("it is shown") };
        let told = ann.broker.core.settle(&ann.visit, error).await.unwrap();
        let countersign::flows::refusal::Told::Person(refusal) = told else { panic!("{told:?}") };
        let PublicCode::LinkSameProvider(Clashing(clashing)) = refusal.code else { panic!("{refusal:?}") };
        assert_eq!(clashing, ["alpha 3 · ann@alpha.test", "alpha 3 · bob@alpha.test"]);
        let mut rows = links.rows().await;
        assert_eq!(rows.count("interactions WHERE ended_at IS NULL").await, 0, "it is burned");
        assert_eq!(rows.ledger().await, ["linked", "linked"]);
    }
}
