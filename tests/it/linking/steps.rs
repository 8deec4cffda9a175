//! Every step of an interaction, as far as the browser has come: neither a session nor a code exists before its time.
//! The steps come from `policy` itself, and a new one does not compile here until a case shows how to reach it.

use std::collections::BTreeMap;

use countersign::flows::account::AddWay;
use countersign::flows::link::OfferAnswer;
use countersign::model::{AccountId, Caller, FlowId};
use countersign::policy::sign_in::step::{
    AccountFacts, Facts, LinkDue, Stage, StageKind, Step, StepRefusal, SubjectFacts, Withdrawn, next_step,
};
use serde_json::Value;

use super::direct::{Links, Outcome, Place, connection};
use super::providers::{Person, person};
use crate::harness::database::Kind;
use crate::on_both_databases;

/// The sessions and codes that a browser has opened.
type Opened = (i64, i64);

fn refused(code: &str) -> Outcome {
    Err(code.to_owned())
}

/// Every step that `policy` can name, each once, by its name.
fn every_step() -> Vec<Step> {
    const LINKS: [LinkDue; 5] = [
        LinkDue::Nothing,
        LinkDue::Offer,
        LinkDue::ArrivingProof,
        LinkDue::ChosenProof,
        LinkDue::Confirmation,
    ];
    let accounts = (0..64u8).map(|bits| {
        SubjectFacts::Account(AccountFacts {
            account: AccountId::from_bytes([9; 16]),
            withdrawn: (bits & 1 != 0).then_some(Withdrawn::Account),
            is_expected: bits & 2 != 0,
            is_context_accepted: bits & 4 != 0,
            may_use_app: bits & 8 != 0,
            has_session: bits & 16 != 0,
            needs_consent: bits & 32 != 0,
        })
    });
    let interaction = FlowId::from_bytes([7; 16]);
    let mut steps = BTreeMap::new();
    for subject in accounts.chain([SubjectFacts::Identity]) {
        for link in LINKS {
            let step = next_step(Facts { interaction, subject, link });
            steps.insert(format!("{step:?}"), step);
        }
    }
    steps.into_values().collect()
}

/// A new user, who shares the email of ann's account.
fn newcomer(number: usize) -> Person {
    person(&format!("newcomer-{number}")).proven("ann@alpha.test")
}

/// Comes from an app to the sign-in page, and is asked for consent if `more` says so.
async fn from_app(links: &Links, more: &[(&str, &str)]) -> (super::direct::Tab, Place) {
    let mut tab = links.tab();
    let page = tab.come_from_app("alpha-one", more).await.unwrap();
    (tab, page)
}

/// Brings a browser to a step that refuses.
async fn stand_refused(links: &Links, refusal: StepRefusal) {
    match refusal {
        StepRefusal::Withdrawn(_) => {
            let (mut tab, page) = from_app(links, &[]).await;
            links
                .app
                .broker
                .accounts
                .set_account_enabled(Caller::Operator(None), "cyd", false)
                .await
                .unwrap();
            assert_eq!(tab.enter(&page, "cyd").await, refused("account_disabled"));
        }
        StepRefusal::OtherAccount => {
            let mut tab = links.signed_in("bob", 0).await;
            let before = links.rows().await.count("sessions WHERE ended_at IS NULL").await;
            links.later(3_600);
            let page = tab.add(AddWay::Password).await.unwrap();
            assert_eq!(tab.enter(&page, "ann").await, refused("other_account"));
            let after = links.rows().await.count("sessions WHERE ended_at IS NULL").await;
            assert_eq!(after, before, "the session is bob's as before");
        }
        StepRefusal::Access => {
            let (mut tab, page) = from_app(links, &[]).await;
            assert_eq!(tab.enter(&page, "ben").await, refused("app:access_denied"));
        }
        StepRefusal::Context => {
            let claims = r#"{"id_token":{"acr":{"essential":true,"values":["gold"]}}}"#;
            let (mut tab, page) = from_app(links, &[("claims", claims)]).await;
            assert_eq!(tab.enter(&page, "ann").await, refused("app:unmet_authentication_requirements"));
        }
    }
}

/// Brings a browser to a step of a link.
async fn stand_in_link(links: &Links, number: usize, who: Person) -> Place {
    let mut tab = links.tab();
    let at_provider = tab.come_from_app("alpha-one", &[("idp_hint", "c1"), ("prompt", "login")]).await;
    let offer = tab.vouched(&at_provider.unwrap(), &who).await.unwrap();
    assert!(matches!(offer, Place::Link(_)), "{offer:?}");
    match number {
        0 => offer,
        1 => tab.answer(&offer, OfferAnswer::Existing).await.unwrap(),
        _ => {
            let page = tab.answer(&offer, OfferAnswer::Existing).await.unwrap();
            tab.enter(&page, "ann").await.unwrap()
        }
    }
}

/// Brings browsers to a step, on the way to an app where there is one.
async fn stand_at(links: &Links, step: &Step, number: usize) {
    match step {
        Step::Refuse(refusal) => stand_refused(links, *refusal).await,
        // The identity signs in through another connection already: no account is made of it.
        Step::CreateAccount => {
            let mut tab = links.tab();
            let at_provider = tab.come_from_app("alpha-one", &[("idp_hint", "c5")]).await.unwrap();
            assert_eq!(tab.vouched(&at_provider, &person("known")).await, refused("other_connection"));
        }
        Step::Wait(Stage::LinkOffer) => {
            let page = stand_in_link(links, 0, newcomer(number)).await;
            assert!(matches!(page, Place::Link(_)), "{page:?}");
        }
        // Their provider had not asked them.
        Step::Wait(Stage::ProveArriving) => {
            let mut tab = links.tab();
            let remembered = newcomer(number).claiming("auth_time", Value::Null);
            let at_provider = tab.come_from_app("alpha-one", &[("idp_hint", "c1")]).await.unwrap();
            let offer = tab.vouched(&at_provider, &remembered).await.unwrap();
            let page = tab.answer(&offer, OfferAnswer::Existing).await.unwrap();
            assert!(matches!(page, Place::Upstream(_)), "{page:?}");
        }
        Step::Wait(Stage::ProveChosen) => {
            let page = stand_in_link(links, 1, newcomer(number)).await;
            assert!(matches!(page, Place::SignIn(_)), "{page:?}");
        }
        Step::Wait(Stage::ConfirmLink) => {
            let page = stand_in_link(links, 2, newcomer(number)).await;
            assert!(matches!(page, Place::Confirm(_)), "{page:?}");
        }
        // The same flow once more: its session is open already, and no second one opens.
        Step::OpenSession(_) => {
            let (mut tab, page) = from_app(links, &[]).await;
            let mut again = tab.clone();
            assert!(matches!(tab.enter(&page, "ann").await, Ok(Place::App(_))));
            assert_eq!(again.enter(&page, "ann").await, refused("flow_finished"));
        }
        Step::Wait(Stage::Consent) => {
            let (mut tab, page) = from_app(links, &[("prompt", "consent")]).await;
            let page = tab.enter(&page, "ann").await.unwrap();
            assert!(matches!(page, Place::Consent(_)), "{page:?}");
        }
        Step::Finish(_) => {
            let (mut tab, page) = from_app(links, &[("prompt", "consent")]).await;
            let page = tab.enter(&page, "ann").await.unwrap();
            assert!(matches!(tab.consent(&page).await, Ok(Place::App(_))));
        }
    }
}

/// What is open once browsers have reached a step.
fn expected(step: &Step) -> Opened {
    match step {
        Step::Refuse(_)
        | Step::CreateAccount
        | Step::Wait(Stage::LinkOffer | Stage::ProveArriving | Stage::ProveChosen | Stage::ConfirmLink) => {
            (0, 0)
        }
        // What was asked first has both; what came second has nothing.
        Step::OpenSession(_) | Step::Finish(_) => (1, 1),
        Step::Wait(Stage::Consent) => (1, 0),
    }
}

on_both_databases! {
    async fn neither_a_session_nor_a_code_is_there_before_its_time(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let known = links.tab().sign_in(connection(0, 0), &person("known")).await;
        assert_eq!(known, Ok(Place::Account));
        let mut rows = links.rows().await;
        let steps = every_step();
        assert_eq!(steps.len(), 12, "{steps:?}");
        for (number, step) in steps.iter().enumerate() {
            let refuses_other = matches!(step, Step::Refuse(StepRefusal::OtherAccount));
            let before = (rows.count("sessions").await, rows.count("codes").await);
            Box::pin(stand_at(&links, step, number)).await;
            let after = (rows.count("sessions").await, rows.count("codes").await);
            let own = i64::from(refuses_other);
            let opened = (after.0 - before.0 - own, after.1 - before.1);
            assert_eq!(opened, expected(step), "{step:?}");
            let proves = matches!(step, Step::Wait(stage) if stage.kind() == StageKind::Proves);
            assert!(!proves || opened == (0, 0), "{step:?}");
        }
        rows.assert_sound().await;
    }
}

/// What the user answers after they have linked one account on the way to an app, when they are offered another one.
#[derive(Debug, Clone, Copy)]
enum NextAnswer {
    Skip,
    Choose,
    Cancel,
    Confirm,
}

on_both_databases! {
    async fn nothing_goes_on_in_a_session_that_has_ended(kind: Kind) {
        let links = Links::new(kind, 6).await;
        // Two accounts have the same email as every user who comes.
        for (number, name) in [(1, "first"), (3, "second")] {
            let who = person(name).proven("team@alpha.test");
            let mut tab = links.tab();
            if let Place::Link(handle) = tab.sign_in(connection(0, number), &who).await.unwrap() {
                assert_eq!(tab.answer(&Place::Link(handle), OfferAnswer::Skip).await, Ok(Place::Account));
            }
        }
        let mut rows = links.rows().await;
        let second = rows.profile(connection(0, 3), "second").await;
        for (number, answer) in [NextAnswer::Skip, NextAnswer::Choose, NextAnswer::Cancel, NextAnswer::Confirm].into_iter().enumerate() {
            // After six minutes no further account is offered: what is left is the app.
            for late in [0, 360] {
                let who = person(&format!("comer-{number}-{late}")).proven("team@alpha.test");
                let mut tab = links.tab();
                let hint = [("idp_hint", "c4"), ("prompt", "login")];
                let at_provider = tab.come_from_app("alpha-one", &hint).await.unwrap();
                let offer = tab.vouched(&at_provider, &who).await.unwrap();
                let at_provider = tab.answer(&offer, OfferAnswer::Existing).await.unwrap();
                let page = tab.through(&at_provider, connection(0, 1), &person("first")).await.unwrap();
                let mut next = tab.confirm(&page).await.unwrap();
                assert!(matches!(next, Place::Link(_)), "{next:?}");
                if matches!(answer, NextAnswer::Cancel | NextAnswer::Confirm) {
                    let at_provider = tab.answer(&next, OfferAnswer::Link(second)).await.unwrap();
                    next = tab.vouched(&at_provider, &person("second")).await.unwrap();
                    assert!(matches!(next, Place::Confirm(_)), "{next:?}");
                }
                links.later(late);
                let codes = rows.count("codes").await;
                // Signed out in another tab; this one still holds its cookies.
                tab.broker.logouts.sign_out(&tab.visit).await.unwrap();
                let outcome = match answer {
                    NextAnswer::Skip => tab.answer(&next, OfferAnswer::Skip).await,
                    NextAnswer::Choose => tab.answer(&next, OfferAnswer::Existing).await,
                    NextAnswer::Cancel => tab.cancel(&next).await,
                    NextAnswer::Confirm => tab.confirm(&next).await,
                };
                match (answer, late) {
                    // What follows is a page of the link still.
                    (NextAnswer::Choose, _) => assert!(matches!(outcome, Ok(Place::SignIn(_))), "{outcome:?}"),
                    (NextAnswer::Cancel, 0) => assert!(matches!(outcome, Ok(Place::Link(_))), "{outcome:?}"),
                    _ => assert_eq!(outcome, refused("session_ended"), "{answer:?} {late}"),
                }
                assert_eq!(rows.count("codes").await, codes, "{answer:?} {late}");
                // The next user finds the accounts as before.
                let linked = rows.entry("linked").await;
                links.app.broker.accounts.undo_link(Caller::Operator(None), linked).await.unwrap();
                links.later(1);
            }
        }
        rows.assert_sound().await;
    }
}
