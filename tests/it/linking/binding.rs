//! What a proof is bound to: the browser, the attempt and its last choice, the connection, the profile, the
//! organization, the time; and each is used once. The catalogue's rows 4 and 10.

use std::time::Duration;

use countersign::flows::account::AddWay;
use countersign::flows::link::OfferAnswer;
use countersign::flows::refusal::{PublicCode, Told};
use countersign::model::{Clock, LedgerKind};
use countersign::store::account::accounts;
use countersign::store::link::expected;

use super::direct::{Links, Outcome, Place, Tab, UNFORCED, at_once, connection, connection_of, password_of};
use super::providers::{Person, person};
use crate::harness::database::Kind;
use crate::on_both_databases;

/// The connection that has the issuer of the first.
const TWIN: usize = 5;

fn refused(code: &str) -> Outcome {
    Err(code.to_owned())
}

/// A new user whose email, which is proven, is ann's.
fn newcomer() -> Person {
    person("newcomer").proven("ann@alpha.test")
}

async fn world(kind: Kind) -> Links {
    Links::new(kind, TWIN + 1).await
}

/// Ann's account has a password and a profile at the fourth connection; a newcomer is offered both.
async fn offered(links: &Links) -> (Tab, Place) {
    let mut ann = links.signed_in("ann", 0).await;
    assert_eq!(ann.add_profile(connection(0, 3), &person("ann")).await, Ok(Place::Account));
    let mut tab = links.tab();
    let offer = tab.sign_in(connection(0, 1), &newcomer()).await.unwrap();
    assert_eq!(tab.offer(&offer).await.candidates.len(), 2);
    (tab, offer)
}

/// Nothing was linked to the newcomer, and no attempt of theirs is left.
async fn assert_burned(links: &Links, tab: &mut Tab, offer: &Place) {
    let mut rows = links.rows().await;
    assert_eq!(rows.count("interactions WHERE ended_at IS NULL").await, 0);
    assert_eq!(rows.count("profiles WHERE subject = 'newcomer'").await, 0);
    assert_eq!(tab.answer(offer, OfferAnswer::Existing).await, refused("flow_expired"));
    assert_eq!(tab.answer(offer, OfferAnswer::Skip).await, refused("flow_expired"));
    rows.assert_sound().await;
}

on_both_databases! {
    async fn another_subject_than_that_of_the_chosen_profile_proves_nothing(kind: Kind) {
        let links = world(kind).await;
        let (mut tab, offer) = offered(&links).await;
        let mut rows = links.rows().await;
        let chosen = rows.profile(connection(0, 3), "ann").await;
        let at_provider = tab.answer(&offer, OfferAnswer::Link(chosen)).await.unwrap();
        assert_eq!(tab.vouched(&at_provider, &person("mallory")).await, refused("link_wrong_profile"));
        assert_burned(&links, &mut tab, &offer).await;
        // Nor do another user's profile there, or another account's password.
        let mut bob = links.signed_in("bob", 0).await;
        assert_eq!(bob.add_profile(connection(0, 3), &person("bob")).await, Ok(Place::Account));
        let mut tab = links.tab();
        let offer = tab.sign_in(connection(0, 1), &newcomer()).await.unwrap();
        let at_provider = tab.answer(&offer, OfferAnswer::Link(chosen)).await.unwrap();
        assert_eq!(tab.vouched(&at_provider, &person("bob")).await, refused("link_wrong_profile"));
        assert_burned(&links, &mut tab, &offer).await;
        let ann = links.account("ann").await;
        let sql = format!("SELECT id FROM profiles WHERE account_id = '{ann}' AND connection_id IS NULL");
        let local = rows.texts(&sql).await[0].parse().unwrap();
        let mut tab = links.tab();
        let offer = tab.sign_in(connection(0, 1), &newcomer()).await.unwrap();
        let page = tab.answer(&offer, OfferAnswer::Link(local)).await.unwrap();
        assert_eq!(tab.enter(&page, "bob").await, refused("link_wrong_profile"));
        assert_burned(&links, &mut tab, &offer).await;
        // A profile that is not offered cannot be chosen.
        let other = rows.profile(connection(0, 3), "bob").await;
        let mut tab = links.tab();
        let offer = tab.sign_in(connection(0, 1), &newcomer()).await.unwrap();
        assert_eq!(tab.answer(&offer, OfferAnswer::Link(other)).await, refused("link_wrong_profile"));
        assert_burned(&links, &mut tab, &offer).await;
    }
}

on_both_databases! {
    async fn another_browser_neither_proves_nor_confirms(kind: Kind) {
        let links = world(kind).await;
        let mut attacker = links.signed_in("bob", 0).await;
        let at_provider = attacker.add(AddWay::Connection(connection(0, 1))).await.unwrap();
        // The victim opens the attacker's address, and the provider knows her.
        let mut victim = links.tab();
        let victims = person("victim");
        assert_eq!(victim.vouched(&at_provider, &victims).await, refused("flow_expired"));
        // Even where the flow's own cookie was planted: the attempt's is the attacker's.
        let Place::Upstream(url) = &at_provider else { panic!("at no provider") };
        let last = attacker.visit.flows.iter().map(|(id, _)| *id).max().unwrap();
        victim.visit.flows = attacker.visit.flows.iter().filter(|(id, _)| *id == last).cloned().collect();
        let planted = victim.vouched(&at_provider, &victims).await;
        assert_eq!(planted, refused("flow_expired"), "{}", connection_of(url));
        // What the victim's response spent is spent. After a new start, it is confirmed where it began and nowhere
        // else.
        let page = attacker.add_until_confirmed(connection(0, 1), &person("bob")).await.unwrap();
        let mut other = links.signed_in("bob", 1).await;
        assert_eq!(other.confirm(&page).await, refused("session_ended"));
        assert_eq!(attacker.confirm(&page).await, Ok(Place::Account));
        let mut rows = links.rows().await;
        assert_eq!(rows.count("profiles WHERE subject = 'victim'").await, 0);
        assert_eq!(rows.ledger().await, ["linked"]);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn another_connection_of_the_same_issuer_proves_nothing(kind: Kind) {
        let links = world(kind).await;
        let mut ann = links.signed_in("ann", 0).await;
        ann.add_profile(connection(0, 0), &person("ann")).await.unwrap();
        let mut rows = links.rows().await;
        let chosen = rows.profile(connection(0, 0), "ann").await;
        let mut tab = links.tab();
        let offer = tab.sign_in(connection(0, 1), &newcomer()).await.unwrap();
        // The state of one connection at the callback of its twin.
        let Place::Upstream(url) = tab.answer(&offer, OfferAnswer::Link(chosen)).await.unwrap() else {
            panic!("at no provider")
        };
        let answer = links.idps.approve(&url, &person("ann"));
        let at_twin = tab.broker.sso.finish_upstream(&tab.visit, connection(0, TWIN), &answer).await;
        assert_eq!(tab.take(at_twin).await, refused("idp_answer_invalid"));
        // The same subject through the twin, where any account would do.
        let page = tab.answer(&offer, OfferAnswer::Existing).await.unwrap();
        let outcome = tab.through(&page, connection(0, TWIN), &person("ann")).await;
        assert_eq!(outcome, refused("other_connection"));
        assert_burned(&links, &mut tab, &offer).await;
    }
}

on_both_databases! {
    async fn ten_minutes_after_the_first_proof_nothing_is_linked(kind: Kind) {
        let links = world(kind).await;
        let minutes = |minutes: u64| Duration::from_mins(minutes);
        let (clock, mut rows) = (&links.app.clock, links.rows().await);
        let mut tab = links.signed_in("ann", 0).await;
        clock.advance(minutes(5));
        let page = tab.add_until_confirmed(connection(0, 1), &person("late")).await.unwrap();
        let at_provider = tab.add(AddWay::Connection(connection(0, 3))).await.unwrap();
        clock.advance(Duration::from_micros(5 * 60 * 1_000_000 - 1));
        let mut in_time = tab.clone();
        clock.advance(Duration::from_micros(1));
        assert_eq!(in_time.confirm(&page).await, refused("flow_expired"));
        assert_eq!(in_time.vouched(&at_provider, &person("late")).await, refused("flow_expired"));
        assert_eq!(rows.ledger().await, [""; 0]);
        // A moment earlier it is.
        let mut tab = links.signed_in("ann", 0).await;
        clock.advance(minutes(5));
        let page = tab.add_until_confirmed(connection(0, 1), &person("late")).await.unwrap();
        clock.advance(Duration::from_micros(5 * 60 * 1_000_000 - 1));
        assert_eq!(tab.confirm(&page).await, Ok(Place::Account));
        // After five minutes, a user who wants to add something must prove again who they are.
        let mut tab = links.signed_in("ann", 0).await;
        clock.advance(minutes(5) + Duration::from_micros(1));
        let Ok(page @ Place::SignIn(_)) = tab.add(AddWay::Connection(connection(0, 3))).await else {
            panic!("not asked anew")
        };
        assert_eq!(tab.enter(&page, "bob").await, refused("other_account"));
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn a_second_link_in_a_row_stands_on_no_older_proof(kind: Kind) {
        let links = world(kind).await;
        let clock = &links.app.clock;
        for (late, offered_next) in [(60, true), (301, false)] {
            let mut tab = links.tab();
            let subject = format!("both-{late}");
            let mut team = links.tab();
            let team_mail = format!("team-{late}@alpha.test");
            // Two accounts share an email with the newcomer.
            for (number, name) in [(1, "first"), (3, "second")] {
                let who = person(&format!("{name}-{late}")).proven(&team_mail);
                let outcome = team.sign_in(connection(0, number), &who).await.unwrap();
                if matches!(outcome, Place::Link(_)) {
                    assert_eq!(team.answer(&outcome, OfferAnswer::Skip).await, Ok(Place::Account));
                }
            }
            let hint = [("idp_hint", "c4"), ("prompt", "login")];
            let at_provider = tab.come_from_app("alpha-one", &hint).await.unwrap();
            let offer = tab.vouched(&at_provider, &person(&subject).proven(&team_mail)).await.unwrap();
            let mut rows = links.rows().await;
            let first = rows.profile(connection(0, 1), &format!("first-{late}")).await;
            let at_first = tab.answer(&offer, OfferAnswer::Link(first)).await.unwrap();
            let page = tab.vouched(&at_first, &person(&format!("first-{late}"))).await.unwrap();
            clock.advance(Duration::from_secs(late));
            let next = tab.confirm(&page).await.unwrap();
            assert_eq!(matches!(next, Place::Link(_)), offered_next, "{next:?}");
            if offered_next {
                let second = rows.profile(connection(0, 3), &format!("second-{late}")).await;
                clock.advance(Duration::from_secs(600 - late));
                assert_eq!(tab.answer(&next, OfferAnswer::Link(second)).await, refused("flow_expired"));
            }
            rows.assert_sound().await;
        }
    }
}

on_both_databases! {
    async fn a_proof_is_used_once_and_for_the_last_choice_alone(kind: Kind) {
        let links = world(kind).await;
        let (mut tab, offer) = offered(&links).await;
        let mut rows = links.rows().await;
        let chosen = rows.profile(connection(0, 3), "ann").await;
        let of_before = tab.answer(&offer, OfferAnswer::Link(chosen)).await.unwrap();
        let page = tab.answer(&offer, OfferAnswer::Existing).await.unwrap();
        // What was asked for before the last choice proves nothing, and burns nothing.
        assert_eq!(tab.vouched(&of_before, &person("ann")).await, refused("flow_expired"));
        assert_eq!(tab.enter(&page, "ann").await.map(|place| matches!(place, Place::Confirm(_))), Ok(true));
        assert_eq!(tab.enter(&page, "ann").await, refused("flow_finished"));
        // The same answer of a provider twice, also at once.
        let Place::Upstream(url) = tab.answer(&offer, OfferAnswer::Link(chosen)).await.unwrap() else {
            panic!("at no provider")
        };
        let answer = links.idps.approve(&url, &person("ann"));
        let tasks = (0..2).map(|node| {
            let (mut tab, answer) = (tab.at(links.broker(node)), answer.clone());
            async move {
                let outcome = tab.broker.sso.finish_upstream(&tab.visit, connection(0, 3), &answer).await;
                (tab.take(outcome).await, tab)
            }
        });
        let mut outcomes = at_once(tasks.collect()).await;
        outcomes.sort_by_key(|(outcome, _)| outcome.is_err());
        let (second, _) = outcomes.pop().unwrap();
        let (first, mut tab) = outcomes.pop().unwrap();
        assert_eq!(second, refused("flow_finished"));
        let page = first.unwrap();
        assert_eq!(tab.confirm(&page).await, Ok(Place::Account));
        assert!(tab.confirm(&page).await.is_err());
        assert_eq!(rows.ledger().await, ["linked", "linked"]);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn a_proof_signs_nobody_in_and_a_sign_in_proves_nothing(kind: Kind) {
        let links = world(kind).await;
        let (mut tab, offer) = offered(&links).await;
        let mut rows = links.rows().await;
        let chosen = rows.profile(connection(0, 3), "ann").await;
        let sessions = rows.count("sessions").await;
        let at_provider = tab.answer(&offer, OfferAnswer::Link(chosen)).await.unwrap();
        // A whole sign-in of hers beside it leaves the attempt where it is.
        let mut beside = tab.clone();
        assert_eq!(beside.sign_in(connection(0, 3), &person("ann")).await, Ok(Place::Account));
        let Place::Link(handle) = &offer else { panic!("no offer") };
        assert_eq!(tab.confirm(&Place::Confirm(handle.clone())).await, refused("flow_expired"));
        // The handle of the one is none of the other.
        let page = Place::SignIn(handle.clone());
        assert_eq!(tab.enter(&page, "ann").await, refused("flow_expired"));
        let own = tab.broker.sign_in.begin_own_sign_in(&tab.visit).await;
        let Place::SignIn(own) = tab.take(own).await.unwrap() else { panic!("no sign-in page") };
        assert_eq!(tab.answer(&Place::Link(own), OfferAnswer::Existing).await, refused("session_ended"));
        let page = tab.vouched(&at_provider, &person("ann")).await.unwrap();
        assert!(matches!(page, Place::Confirm(_)));
        assert_eq!(tab.account().await, None, "a proof is no session");
        assert_eq!(rows.count("sessions").await, sessions + 1);
        assert_eq!(tab.confirm(&page).await, Ok(Place::Account));
        assert_eq!(tab.account().await, Some(links.account("ann").await));
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn an_account_of_another_organization_cannot_be_the_second_side(kind: Kind) {
        let links = world(kind).await;
        let unnamed = person("newcomer").unproven("ada@beta.test");
        let mut ada = links.signed_in("ada", 0).await;
        ada.add_profile(connection(1, 1), &person("ada")).await.unwrap();
        for by_password in [true, false] {
            let mut tab = links.tab();
            let offer = tab.sign_in(connection(0, 1), &unnamed).await.unwrap();
            let page = tab.answer(&offer, OfferAnswer::Existing).await.unwrap();
            let outcome = if by_password {
                tab.enter(&page, "ada").await
            } else {
                tab.through(&page, connection(1, 1), &person("ada")).await
            };
            assert_eq!(outcome, refused("link_wrong_profile"));
            assert_burned(&links, &mut tab, &offer).await;
        }
    }
}

on_both_databases! {
    async fn a_silent_proof_is_refused_where_the_provider_can_be_forced(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        let mut tab = links.signed_in("ann", 0).await;
        let long_ago = links.app.clock.now().unix_seconds() - 3_600;
        let silent = person("ann-at-work").claiming("auth_time", long_ago);
        for number in [1, 3] {
            let outcome = tab.add_until_confirmed(connection(0, number), &silent).await;
            assert_eq!(outcome, refused("idp_answer_invalid"));
        }
        assert_eq!(rows.ledger().await, [""; 0]);
        // A provider that cannot be made to ask: the page after it asks once more.
        assert_eq!(tab.add_profile(connection(0, UNFORCED), &silent).await, Ok(Place::Account));
        assert_eq!(rows.ledger().await, ["linked"]);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn an_expected_identity_claims_its_account_once(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        // Dan has an account that no user has signed in to; his directory object is known.
        let dan = expect(&links, "dan", "oid", "object-of-dan").await;
        let tasks = (0..6).map(|node| {
            let mut tab = links.tab_at(node);
            let who = person(&format!("dan-{node}")).claiming("oid", "object-of-dan");
            async move {
                let outcome = tab.sign_in(connection(0, 1), &who).await;
                (outcome, tab.account().await)
            }
        });
        let outcomes = at_once(tasks.collect()).await;
        let his = outcomes.iter().filter(|(_, account)| *account == Some(dan)).count();
        assert_eq!(his, 1, "{outcomes:?}");
        assert_eq!(rows.profiles(dan).await.len(), 1);
        assert_eq!(rows.ledger().await, [LedgerKind::Expected.as_str()]);
        // An email that is not proven claims nothing.
        let eve = expect(&links, "eve", "email", "eve@alpha.test").await;
        let mut tab = links.tab();
        let offer = tab.sign_in(connection(0, 3), &person("mallory").unproven("eve@alpha.test")).await.unwrap();
        assert!(matches!(offer, Place::Link(_)));
        let mut tab = links.tab();
        let truly = person("eve").proven("eve@alpha.test");
        assert_eq!(tab.sign_in(connection(0, 3), &truly).await, Ok(Place::Account));
        assert_eq!(tab.account().await, Some(eve));
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn an_expected_user_who_comes_twice_at_once_is_sent_nowhere_else(kind: Kind) {
        let links = world(kind).await;
        for round in 0..6 {
            let (name, object) = (format!("dan{round}"), format!("object-{round}"));
            let dan = expect(&links, &name, "oid", &object).await;
            let tasks = (0..4).map(|node| {
                let mut tab = links.tab_at(node);
                let who = person(&name).claiming("oid", object.clone());
                async move { tab.sign_in(connection(0, 1), &who).await }
            });
            let outcomes = at_once(tasks.collect()).await;
            assert!(outcomes.contains(&Ok(Place::Account)), "{outcomes:?}");
            let fair = |outcome: &Outcome| *outcome == Ok(Place::Account) || *outcome == refused("flow_finished");
            assert!(outcomes.iter().all(fair), "{outcomes:?}");
            assert_eq!(links.rows().await.profiles(dan).await.len(), 1);
        }
        links.rows().await.assert_sound().await;
    }
}

/// Creates an account that no user can sign in to, and records which identity it expects.
async fn expect(links: &Links, name: &str, claim: &str, value: &str) -> countersign::model::AccountId {
    let database = links.app.evidence().await;
    let (clock, random) = (&links.app.clock, &links.app.random);
    let mut tx = database.write().await.unwrap();
    let ann = links.account("ann").await;
    let mut account = accounts::find_account(&mut tx, ann).await.unwrap().unwrap();
    account.id = countersign::model::AccountId::new(clock.now(), &**random);
    account.username = Some(name.parse().unwrap());
    account.email = None;
    account.email_verified = false;
    accounts::insert_account(&mut tx, &account).await.unwrap();
    let number = if claim == "oid" { 1 } else { 3 };
    let expected = expected::ExpectedIdentity {
        account: account.id,
        connection: connection(0, number),
        claim: claim.to_owned(),
        value: value.to_owned(),
    };
    let organization = account.organization.unwrap();
    expected::save_expected(&mut tx, organization, &expected, clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    account.id
}

on_both_databases! {
    async fn what_an_undone_merge_ended_opens_nothing(kind: Kind) {
        let links = world(kind).await;
        let mut rows = links.rows().await;
        let mut bob = links.signed_in("bob", 0).await;
        bob.add_profile(connection(0, 3), &person("bob")).await.unwrap();
        let mut tab = links.signed_in("ann", 0).await;
        let page = tab.add_account("bob").await.unwrap();
        links.later(1);
        assert_eq!(tab.confirm(&page).await, Ok(Place::Account));
        let mut old = links.tab();
        assert_eq!(old.sign_in_locally("bob").await, refused("bad_credentials"));
        let entry = rows.entry("merged").await;
        assert_eq!(tab.undo(entry).await, Ok(Place::SignedOut));
        assert_eq!(rows.count("sessions WHERE ended_at IS NULL").await, 0, "whoever asked is signed out too");
        // The profile is back, its password is not.
        let back = links.account("bob").await;
        assert_eq!(rows.profiles(back).await.len(), 2);
        let page = old.broker.sign_in.begin_own_sign_in(&old.visit).await;
        let page = old.take(page).await.unwrap();
        let outcome = old.enter_with(&page, "bob", &password_of("bob")).await;
        assert_eq!(outcome, refused("bad_credentials"));
        assert_eq!(old.sign_in(connection(0, 3), &person("bob")).await, Ok(Place::Account));
        assert_eq!(old.account().await, Some(back));
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn a_profile_that_was_unlinked_since_proves_nothing(kind: Kind) {
        let links = world(kind).await;
        let mut ann = links.signed_in("ann", 0).await;
        let mut rows = links.rows().await;
        for looks_first in [true, false] {
            assert_eq!(ann.add_profile(connection(0, 3), &person("ann")).await, Ok(Place::Account));
            let chosen = rows.profile(connection(0, 3), "ann").await;
            let mut tab = links.tab();
            let offer = tab.sign_in(connection(0, 1), &newcomer()).await.unwrap();
            let at_provider = tab.answer(&offer, OfferAnswer::Link(chosen)).await.unwrap();
            let page = tab.vouched(&at_provider, &person("ann")).await.unwrap();
            assert_eq!(ann.unlink(chosen).await, Ok(Place::Account));
            let Place::Confirm(handle) = &page else { panic!("nothing to confirm") };
            if looks_first {
                let view = tab.broker.links.view_link_confirmation(&tab.visit, handle).await;
                let Err(error) = view else { panic!("it is shown") };
                let told = tab.broker.core.settle(&tab.visit, error).await.unwrap();
                assert!(matches!(told, Told::Person(view) if view.code == PublicCode::LinkProfileGone));
            } else {
                assert_eq!(tab.confirm(&page).await, refused("link_profile_gone"));
            }
            assert_burned(&links, &mut tab, &offer).await;
        }
    }
}
