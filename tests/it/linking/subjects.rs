//! The subjects by which apps know accounts: fixed at first issue, the same after links, merges and undoings, and
//! never shared with another account.

use std::collections::BTreeMap;

use countersign::model::{AccountId, Caller};
use serde_json::Value;

use super::direct::{Links, Outcome, Place, Tab, code_of, connection};
use super::providers::person;
use crate::harness::database::Kind;
use crate::harness::relying_app::claims;
use crate::on_both_databases;

/// What an app has learned about a user.
#[derive(Debug, Clone)]
struct Known {
    subject: String,
    id_token: String,
    access_token: String,
    refresh_token: String,
}

/// The user in this browser goes to an app of alpha, which redeems the code.
async fn known_to(links: &Links, tab: &mut Tab, app: &str) -> Known {
    let code = code_of(tab.come_from_app(&format!("alpha-{app}"), &[]).await);
    let (status, answer) = links.relying_app(0, app).redeem(&code).await;
    assert_eq!(status, 200, "{answer}");
    known(&answer)
}

fn known(answer: &Value) -> Known {
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    let id_token = text("id_token");
    Known {
        subject: claims(&id_token)["sub"].as_str().unwrap().to_owned(),
        access_token: text("access_token"),
        refresh_token: text("refresh_token"),
        id_token,
    }
}

/// Asks an app's endpoints about a user: all name the same subject, or say that there is none.
async fn assert_endpoints_say(links: &Links, app: &str, known: &Known, living: bool) {
    let relying = links.relying_app(0, app);
    let (status, userinfo) = relying.userinfo(&known.access_token).await;
    let (_, access) = relying.post("/oauth2/introspect", &[("token", &known.access_token)]).await;
    let (_, refresh) = relying.post("/oauth2/introspect", &[("token", &known.refresh_token)]).await;
    assert_eq!([access["active"].clone(), refresh["active"].clone()], [living; 2].map(Value::from), "{app}");
    if living {
        for answer in [userinfo, access, refresh] {
            assert_eq!(answer["sub"], known.subject.as_str(), "{app}");
        }
        let form = [("grant_type", "refresh_token"), ("refresh_token", known.refresh_token.as_str())];
        let (status, answer) = relying.token(&form).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(self::known(&answer).subject, known.subject);
    } else {
        assert_eq!(status, 401, "{app}");
    }
}

/// Whether a session satisfies a request that names a user by an earlier ID token, without showing a page.
async fn answers_to(tab: &mut Tab, app: &str, hint: &Known) -> Outcome {
    tab.come_from_app(&format!("alpha-{app}"), &[("prompt", "none"), ("id_token_hint", &hint.id_token)]).await
}

/// Merges the account of `gone` into the one that is signed in.
async fn merge(tab: &mut Tab, gone: &str) {
    let page = tab.add_account(gone).await.unwrap();
    assert_eq!(tab.confirm(&page).await, Ok(Place::Account));
}

/// Each name that an app has heard, and whose account's id it is: it never becomes anybody else's.
#[derive(Default)]
struct Heard(BTreeMap<(String, String), AccountId>);

impl Heard {
    fn hear(&mut self, app: &str, known: &Known, first: AccountId) {
        let key = (app.to_owned(), known.subject.clone());
        let before = *self.0.entry(key).or_insert(first);
        assert_eq!(before, first, "{app} hears {} of somebody else", known.subject);
    }
}

on_both_databases! {
    async fn a_link_changes_no_name(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let id = links.account("ann").await.to_string();
        let mut ann = links.signed_in("ann", 0).await;
        assert_eq!(known_to(&links, &mut ann, "one").await.subject, id);
        ann.add_profile(connection(0, 3), &person("ann-at-work")).await.unwrap();
        let mut at_work = links.tab();
        at_work.sign_in(connection(0, 3), &person("ann-at-work")).await.unwrap();
        for app in ["one", "two"] {
            let known = known_to(&links, &mut at_work, app).await;
            assert_eq!(known.subject, id, "{app}");
            assert_endpoints_say(&links, app, &known, true).await;
        }
    }
}

on_both_databases! {
    async fn after_a_merge_each_app_hears_the_name_that_it_knows(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let (ann_id, bob_id) = (links.account("ann").await, links.account("bob").await);
        let mut heard = Heard::default();
        let mut ann = links.signed_in("ann", 0).await;
        let mut bob = links.signed_in("bob", 0).await;
        bob.add_profile(connection(0, 3), &person("bob-at-work")).await.unwrap();
        // One knows ann, two knows bob, three knows both, and none of beta's knows anybody.
        let of_ann = known_to(&links, &mut ann, "one").await;
        let of_bob = known_to(&links, &mut bob, "two").await;
        let both = [known_to(&links, &mut ann, "three").await, known_to(&links, &mut bob, "three").await];
        for (app, known, first) in
            [("one", &of_ann, ann_id), ("two", &of_bob, bob_id), ("three", &both[0], ann_id), ("three", &both[1], bob_id)]
        {
            heard.hear(app, known, first);
            assert_eq!(known.subject, first.to_string());
        }
        links.later(1);
        merge(&mut ann, "bob").await;
        // What was given for the account that went is dead; what was given in the session that merged lives.
        for (app, known, living) in [("one", &of_ann, true), ("two", &of_bob, false), ("three", &both[1], false)] {
            assert_endpoints_say(&links, app, known, living).await;
        }
        for (app, name) in [("one", ann_id), ("two", bob_id), ("three", ann_id)] {
            let known = known_to(&links, &mut ann, app).await;
            assert_eq!(known.subject, name.to_string(), "{app}");
            heard.hear(app, &known, name);
            assert_endpoints_say(&links, app, &known, true).await;
        }
        // The name that is left over still means the same person.
        for hint in &both {
            assert!(matches!(answers_to(&mut ann, "three", hint).await, Ok(Place::App(_))));
        }
        links.later(1);
        let entry = links.rows().await.entry("merged").await;
        links.app.broker.accounts.undo_link(Caller::Operator(None), entry).await.unwrap();
        let mut bob = links.tab();
        assert_eq!(bob.sign_in(connection(0, 3), &person("bob-at-work")).await, Ok(Place::Account));
        let mut tabs = [links.signed_in("ann", 0).await, bob];
        for (app, tab, name) in [
            ("one", 0, ann_id),
            ("two", 1, bob_id),
            ("three", 0, ann_id),
            ("three", 1, bob_id),
            // For the first time, each under their own name.
            ("two", 0, ann_id),
            ("one", 1, bob_id),
        ] {
            let known = known_to(&links, &mut tabs[tab], app).await;
            assert_eq!(known.subject, name.to_string(), "{app}");
            heard.hear(app, &known, name);
        }
        assert!(matches!(answers_to(&mut tabs[1], "three", &both[1]).await, Ok(Place::App(_))));
        assert_eq!(answers_to(&mut tabs[0], "three", &both[1]).await, Err("app:login_required".to_owned()));
        links.rows().await.assert_sound().await;
    }
}

on_both_databases! {
    async fn a_chain_of_merges_is_undone_in_its_order_alone(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let ids = [links.account("ann").await, links.account("bob").await, links.account("cyd").await];
        let mut rows = links.rows().await;
        let mut heard = Heard::default();
        for (name, id, number) in [("bob", ids[1], 3), ("cyd", ids[2], 4)] {
            let mut tab = links.signed_in(name, 0).await;
            tab.add_profile(connection(0, number), &person(name)).await.unwrap();
            heard.hear("one", &known_to(&links, &mut tab, "one").await, id);
        }
        let of_cyd = known_to(&links, &mut links.signed_in("cyd", 0).await, "two").await;
        links.later(1);
        // Cyd into bob, bob into ann.
        let mut bob = links.signed_in("bob", 0).await;
        merge(&mut bob, "cyd").await;
        let first = rows.entry("merged").await;
        links.later(1);
        let mut ann = links.signed_in("ann", 0).await;
        merge(&mut ann, "bob").await;
        let second = rows.entry("merged").await;
        links.later(1);
        assert_eq!(rows.profiles(ids[0]).await.len(), 3);
        for (app, name) in [("one", ids[1]), ("two", ids[2]), ("three", ids[0])] {
            let known = known_to(&links, &mut ann, app).await;
            assert_eq!(known.subject, name.to_string(), "{app}");
            heard.hear(app, &known, name);
        }
        assert!(matches!(answers_to(&mut ann, "two", &of_cyd).await, Ok(Place::App(_))));
        let early = links.app.broker.accounts.undo_link(Caller::Operator(None), first).await.map(drop).unwrap_err();
        assert!(early.to_string().contains("undo that merge first"), "{early}");
        links.app.broker.accounts.undo_link(Caller::Operator(None), second).await.unwrap();
        links.later(1);
        rows.assert_sound().await;
        links.app.broker.accounts.undo_link(Caller::Operator(None), first).await.unwrap();
        assert_eq!(rows.ledger().await, ["linked", "linked", "merged", "merged", "undone", "undone"]);
        for (name, id, number) in [("bob", ids[1], 3), ("cyd", ids[2], 4)] {
            let mut tab = links.tab();
            tab.sign_in(connection(0, number), &person(name)).await.unwrap();
            assert_eq!(tab.account().await, Some(id), "{name}");
            for app in ["one", "two"] {
                let known = known_to(&links, &mut tab, app).await;
                assert_eq!(known.subject, id.to_string(), "{name} {app}");
                heard.hear(app, &known, id);
            }
        }
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn usernames_come_back_to_their_owners_in_the_order_of_the_merges(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let names = ["ann", "bob", "cyd"];
        let mut ids = Vec::new();
        for name in names {
            ids.push(links.account(name).await);
        }
        let mut rows = links.rows().await;
        // Each has another way in, so that an account is left with one.
        for (name, number) in names.into_iter().zip([1, 3, 4]) {
            let mut tab = links.signed_in(name, 0).await;
            tab.add_profile(connection(0, number), &person(name)).await.unwrap();
            links.later(1);
        }
        // Bob into ann, with bob's password; then cyd into ann, with cyd's.
        let mut tab = links.signed_in("ann", 0).await;
        let mut entries = Vec::new();
        for (gone, name) in [(ids[1], "bob"), (ids[2], "cyd")] {
            let page = tab.add_account(name).await.unwrap();
            assert_eq!(tab.confirm_keeping(&page, Some(ids[0]), Some(gone)).await, Ok(Place::Account));
            assert_eq!(links.account(name).await, ids[0], "whose password stays, whose name stays");
            entries.push(rows.entry("merged").await);
            links.later(1);
        }
        assert!(links.app.broker.accounts.undo_link(Caller::Operator(None), entries[0]).await.is_err(), "the later merge comes first");
        for (entry, name, back) in [(entries[1], "cyd", ids[2]), (entries[0], "bob", ids[1])] {
            links.app.broker.accounts.undo_link(Caller::Operator(None), entry).await.unwrap();
            assert_eq!(links.account(name).await, back);
            rows.assert_sound().await;
        }
        assert_eq!(links.account("ann").await, ids[0]);
        // Cyd's password was never ended; bob's had made room for it, and no password revives.
        let mut tab = links.tab();
        assert_eq!(tab.sign_in_locally("cyd").await, Ok(Place::Account));
        assert_eq!(tab.account().await, Some(ids[2]));
    }
}
