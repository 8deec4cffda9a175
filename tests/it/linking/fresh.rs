//! Proofs are of now: what a provider answers without asking anybody proves nothing, on neither side of a link, nor for
//! what is sensitive on one's own page.

use countersign::flows::link::OfferAnswer;
use countersign::model::Clock;
use serde_json::Value;

use super::direct::{Links, Outcome, Place, Tab, UNFORCED, connection, connection_of};
use super::providers::{Person, person};
use crate::harness::database::Kind;
use crate::on_both_databases;

fn refused(code: &str) -> Outcome {
    Err(code.to_owned())
}

/// A new user, whom their identity provider remembers.
fn remembered() -> Person {
    person("newcomer").proven("ann@alpha.test").claiming("auth_time", Value::Null)
}

/// Comes silently, and wants to link an account that they can sign in to.
async fn offered(links: &Links, who: &Person, number: usize) -> (Tab, Outcome) {
    let mut tab = links.tab();
    let offer = tab.sign_in(connection(0, number), who).await.unwrap();
    let next = tab.answer(&offer, OfferAnswer::Existing).await;
    (tab, next)
}

on_both_databases! {
    async fn a_first_side_that_nobody_was_asked_for_is_proved_before_the_second(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let long_ago = links.app.clock.now().unix_seconds() - 301;
        for silent in [remembered(), remembered().claiming("auth_time", long_ago)] {
            let (mut tab, next) = offered(&links, &silent, 1).await;
            let Ok(Place::Upstream(url)) = &next else { panic!("{next:?}") };
            assert_eq!(connection_of(url), connection(0, 1));
            assert!(url.contains("prompt=login") && url.contains("max_age=1"), "{url}");
            // If it answers without asking, as before, that is not a proof.
            assert_eq!(tab.vouched(&next.unwrap(), &silent).await, refused("idp_answer_invalid"));
            assert_eq!(links.rows().await.ledger().await, [""; 0]);
        }
        let (mut tab, next) = offered(&links, &remembered(), 1).await;
        let asked = person("newcomer").proven("ann@alpha.test");
        let page = tab.vouched(&next.unwrap(), &asked).await.unwrap();
        let page = tab.enter(&page, "ann").await.unwrap();
        assert_eq!(tab.confirm(&page).await, Ok(Place::Account));
        let mut rows = links.rows().await;
        assert_eq!(rows.ledger().await, ["linked"]);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn the_first_side_is_proved_again_by_nobody_else(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let (mut tab, next) = offered(&links, &remembered(), 1).await;
        let next = next.unwrap();
        assert_eq!(tab.vouched(&next, &person("mallory")).await, refused("link_wrong_profile"));
        let mut rows = links.rows().await;
        assert_eq!(rows.count("interactions WHERE ended_at IS NULL").await, 0, "it is burned");
        // Nor in another browser, nor twice.
        let asked = person("newcomer").proven("ann@alpha.test");
        let (mut tab, next) = offered(&links, &remembered(), 1).await;
        let next = next.unwrap();
        assert_eq!(links.tab().vouched(&next, &asked).await, refused("flow_expired"));
        let mut again = tab.clone();
        let page = tab.vouched(&next, &asked).await.unwrap();
        assert_eq!(again.vouched(&next, &asked).await, refused("flow_finished"));
        assert!(matches!(page, Place::SignIn(_)), "{page:?}");
        assert_eq!(rows.ledger().await, [""; 0]);
        rows.assert_sound().await;
    }
}

on_both_databases! {
    async fn a_user_who_cannot_be_asked_again_goes_on_and_is_asked_once_more_by_the_page(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let (mut tab, next) = offered(&links, &remembered(), UNFORCED).await;
        let page = next.unwrap();
        assert!(matches!(page, Place::SignIn(_)), "{page:?}");
        let page = tab.enter(&page, "ann").await.unwrap();
        assert!(matches!(page, Place::Confirm(_)), "{page:?}");
        assert_eq!(tab.confirm(&page).await, Ok(Place::Account));
    }
}

on_both_databases! {
    async fn coming_back_silently_is_no_fresh_proof(kind: Kind) {
        let links = Links::new(kind, 6).await;
        let mut tab = links.signed_in("ann", 0).await;
        for number in [1, UNFORCED] {
            let at_work = person("ann-at-work");
            assert_eq!(tab.add_profile(connection(0, number), &at_work).await, Ok(Place::Account));
        }
        let mut rows = links.rows().await;
        let profile = rows.profile(connection(0, 1), "ann-at-work").await;
        links.later(3_600);
        // The provider remembers her, and says so or says nothing.
        let long_ago = links.app.clock.now().unix_seconds() - 3_600;
        for told in [Value::Null, long_ago.into()] {
            for number in [1, UNFORCED] {
                let silent = person("ann-at-work").claiming("auth_time", told.clone());
                assert_eq!(tab.sign_in(connection(0, number), &silent).await, Ok(Place::Account));
                let asked = tab.unlink(profile).await.unwrap();
                match number {
                    1 => assert!(matches!(asked, Place::Upstream(_)), "{asked:?}"),
                    // She has a password.
                    _ => assert!(matches!(asked, Place::SignIn(_)), "{asked:?}"),
                }
                let entry = rows.entry("linked").await;
                assert_ne!(tab.undo(entry).await, Ok(Place::SignedOut));
            }
        }
        assert_eq!(rows.ledger().await, ["linked", "linked"]);
        assert_eq!(tab.sign_in(connection(0, 1), &person("ann-at-work")).await, Ok(Place::Account));
        assert_eq!(tab.unlink(profile).await, Ok(Place::SignedOut), "she was asked a moment ago");
    }
}
