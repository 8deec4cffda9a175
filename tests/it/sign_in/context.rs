//! What the parameter `claims` demands of a sign-in: an authentication context (`acr`), a person (`sub`).

use serde_json::json;

use crate::harness::beta::Beta;
use crate::harness::browser::Page;
use crate::harness::database::Kind;
use crate::harness::relying_app::{RelyingApp, claims};
use crate::harness::world::{PASSWORD, World};
use crate::on_both_databases;

/// The provider's words for what the apps call so; `gold` and `shiny` are the same to it.
const WORDS: &str = "acr_values = { gold = \"urn:loa:3\", shiny = \"urn:loa:3\", silver = \"urn:loa:2\" }";

const GOLD: &str = r#"{"id_token":{"acr":{"essential":true,"value":"gold"}}}"#;

/// What an app is told, and in which words its ID token has the context.
async fn outcome(board: &RelyingApp, end: &Page) -> String {
    if let Some(error) = end.location_parameter("error") {
        return error;
    }
    let (_, tokens) = board.redeem(&board.code(end)).await;
    let acr = claims(tokens["id_token"].as_str().unwrap())["acr"].clone();
    acr.as_str().map_or_else(|| "none".to_owned(), str::to_owned)
}

on_both_databases! {
    async fn a_context_that_is_essential_is_reached_or_nobody_is_signed_in(kind: Kind) {
        let beta = Beta::with(kind, WORDS).await;
        let unmet = "unmet_authentication_requirements";
        for (stated, wanted, expected, reason) in [
            (Some("urn:loa:3"), GOLD, "gold", None),
            (Some("urn:loa:3"), r#"{"id_token":{"acr":{"essential":true,"value":"shiny"}}}"#, "shiny", None),
            (Some("urn:loa:2"), r#"{"id_token":{"acr":{"essential":true,"values":["gold","silver"]}}}"#, "silver", None),
            (Some("urn:loa:2"), r#"{"id_token":{"acr":{"values":["gold"]}}}"#, "silver", None),
            (None, r#"{"id_token":{"acr":{"value":"gold"}}}"#, "none", None),
            (Some("urn:loa:2"), GOLD, unmet, Some("id_token_acr_mismatch")),
            (None, GOLD, unmet, Some("id_token_acr_missing")),
            // The app's word in the provider's mouth is not the provider's word.
            (Some("gold"), GOLD, unmet, Some("id_token_acr_mismatch")),
            // Nor is the word for which the connection has none, where it has one for another.
            (Some("wood"), r#"{"id_token":{"acr":{"essential":true,"values":["wood","gold"]}}}"#, unmet, Some("id_token_acr_mismatch")),
            (Some("wood"), r#"{"id_token":{"acr":{"essential":true,"value":"wood"}}}"#, unmet, Some("acr_not_mapped")),
        ] {
            beta.idp.forge(move |f| {
                f.claims.as_object_mut().unwrap().remove("acr");
                if let Some(stated) = stated {
                    f.claims["acr"] = json!(stated);
                }
            });
            let before = beta.world.app.refusals().await.len();
            let mut browser = beta.browser();
            let end = browser.open(&beta.authorize_url(&[("claims", wanted)])).await;
            assert_eq!(outcome(&beta.board, &end).await, expected, "{stated:?} {wanted}");
            let refusals = beta.world.app.refusals().await;
            assert_eq!(refusals[before..].iter().map(String::as_str).collect::<Vec<_>>(), reason.into_iter().collect::<Vec<_>>());
            assert_eq!(browser.cookies_of("id.test").contains_key("__Host-session"), reason.is_none(), "{wanted}");
        }
    }
}

on_both_databases! {
    async fn what_is_demanded_is_asked_of_the_provider_in_its_words(kind: Kind) {
        let beta = Beta::with(kind, WORDS).await;
        let more = [("claims", r#"{"id_token":{"acr":{"essential":true,"values":["silver","gold"]}}}"#), ("acr_values", "shiny")];
        let page = beta.start(&mut beta.browser(), &more).await;
        assert_eq!(page.location_parameter("acr_values").as_deref(), Some("urn:loa:2 urn:loa:3"));
        assert_eq!(page.location_parameter("claims"), None);
    }
}

on_both_databases! {
    async fn an_app_that_only_wishes_for_a_context_is_told_it_in_its_own_word(kind: Kind) {
        let beta = Beta::with(kind, WORDS).await;
        beta.idp.forge(|f| f.claims["acr"] = json!("urn:loa:3"));
        for (wished, told) in [("shiny", "shiny"), ("gold shiny", "gold"), ("silver", "gold"), ("wood", "gold")] {
            let end = beta.browser().open(&beta.authorize_url(&[("acr_values", wished)])).await;
            assert_eq!(outcome(&beta.board, &end).await, told, "{wished}");
        }
    }
}

on_both_databases! {
    async fn a_malformed_context_is_the_providers_fault_and_no_unmet_demand(kind: Kind) {
        let beta = Beta::with(kind, WORDS).await;
        beta.idp.forge(|f| f.claims["acr"] = json!(3));
        for more in [vec![], vec![("claims", GOLD)]] {
            let page = beta.browser().open(&beta.authorize_url(&more)).await;
            assert_eq!(page.error().as_deref(), Some("idp_answer_invalid"));
            assert_eq!(beta.world.app.refusals().await.last().unwrap(), "id_token_acr_malformed");
        }
    }
}

on_both_databases! {
    async fn a_session_in_a_lower_context_does_not_serve_an_app_that_demands_a_higher_one(kind: Kind) {
        let beta = Beta::with(kind, WORDS).await;
        beta.idp.forge(|f| f.claims["acr"] = json!("urn:loa:2"));
        let mut browser = beta.signs_in("silver").await;
        let silent = browser.open(&beta.authorize_url(&[("prompt", "none"), ("claims", GOLD)])).await;
        assert_eq!(outcome(&beta.board, &silent).await, "login_required");
        // When it is asked again, the identity provider reaches the context; from then on the session satisfies the app.
        beta.idp.forge(|f| f.claims["acr"] = json!("urn:loa:3"));
        let end = browser.open(&beta.authorize_url(&[("claims", GOLD)])).await;
        assert_eq!(outcome(&beta.board, &end).await, "gold");
        let silent = browser.open(&beta.authorize_url(&[("prompt", "none"), ("claims", GOLD)])).await;
        assert_eq!(outcome(&beta.board, &silent).await, "gold");
    }
}

on_both_databases! {
    async fn a_password_reaches_no_context_that_an_app_demands(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.globex_app.authorize_url(&[("claims", GOLD)])).await;
        let end = browser.press(&page, "sign-in", &[("username", "gil"), ("password", PASSWORD)]).await;
        assert_eq!(outcome(&world.globex_app, &end).await, "unmet_authentication_requirements");
        assert_eq!(end.location_parameter("state").as_deref(), Some("the-state"));
        assert_eq!(world.app.refusals().await, ["acr_not_reached"]);
        assert!(!browser.cookies_of("id.test").contains_key("__Host-session"));
    }
}

on_both_databases! {
    async fn the_subject_that_claims_demands_is_the_only_one_who_comes_back(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let end = world.local(&mut browser).await;
        let (_, tokens) = world.globex_app.redeem(&world.globex_app.code(&end)).await;
        let hint = tokens["id_token"].as_str().unwrap().to_owned();
        let gil = claims(&hint)["sub"].as_str().unwrap().to_owned();
        let demand = |sub: &str| json!({ "id_token": { "sub": { "value": sub } } }).to_string();
        let (of_gil, of_nobody) = (demand(&gil), demand("acc_nobody"));
        // A client without a session does not learn whether the app knows an account.
        for demand in [&of_gil, &of_nobody] {
            let silent = [("prompt", "none"), ("claims", demand.as_str())];
            let end = world.browser().open(&world.globex_app.authorize_url(&silent)).await;
            assert_eq!(end.location_parameter("error").as_deref(), Some("login_required"));
            let page = world.browser().open(&world.globex_app.authorize_url(&[("claims", demand)])).await;
            page.expect(200, "sign-in");
        }
        for (more, error) in [
            (vec![("claims", of_gil.as_str())], None),
            (vec![("claims", of_gil.as_str()), ("id_token_hint", hint.as_str())], None),
            (vec![("claims", of_nobody.as_str())], Some("login_required")),
            (vec![("claims", of_nobody.as_str()), ("id_token_hint", hint.as_str())], Some("invalid_request")),
            (vec![("claims", "{\"id_token\":7}")], Some("invalid_request")),
        ] {
            let silent = [&[("prompt", "none")][..], &more].concat();
            let end = browser.open(&world.globex_app.authorize_url(&silent)).await;
            assert_eq!(end.location_parameter("error").as_deref(), error, "{more:?}");
            assert_eq!(end.location_parameter("code").is_some(), error.is_none(), "{more:?}");
        }
        // Another user who signs in is not sent back with a code.
        let gina = "[[organizations]]\nhandle = \"globex\"\nname = \"Globex\"\n[[organizations.accounts]]\nusername = \"gina\"\n";
        world.app.apply(&format!("{gina}password = \"{PASSWORD}\"\n")).await;
        let mut other = world.browser();
        let page = other.open(&world.globex_app.authorize_url(&[("claims", &of_gil)])).await;
        let end = other.press(&page, "sign-in", &[("username", "gina"), ("password", PASSWORD)]).await;
        assert_eq!(end.location_parameter("error").as_deref(), Some("login_required"), "{}", end.body);
    }
}

on_both_databases! {
    async fn a_user_who_chooses_a_provider_that_cannot_be_asked_comes_back_to_where_the_app_still_is(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let page = browser.open(&world.notes.authorize_url(&[("claims", GOLD)])).await;
        let page = browser.click(&page, "use-custom-domain").await;
        let end = browser.clone().press(&page, "continue", &[("domain", "acme.test")]).await;
        assert_eq!(outcome(&world.notes, &end).await, "unmet_authentication_requirements");
        // An address that the app no longer registers gets nothing, not even that; nor does an app that is disabled.
        for (more, told) in [
            ("redirect_uris = [\"https://notes.acme.test/elsewhere\"]", "redirect_uri_mismatch"),
            ("redirect_uris = [\"https://notes.acme.test/callback\"]\nenabled = false", "unknown_client"),
        ] {
            let app = "[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\n[[organizations.apps]]\nclient_id = \"notes\"\n\
                       name = \"Notes\"\nclient_secret = \"notes-secret-0123456789\"\n";
            world.app.apply(&format!("{app}{more}\n")).await;
            let end = browser.clone().press(&page, "continue", &[("domain", "acme.test")]).await;
            assert_eq!(end.location(), None, "{more}");
            assert_eq!(end.error().as_deref(), Some(told), "{}", end.body);
        }
        assert_eq!(world.app.refusals().await, ["acr_not_mapped", "redirect_uri_withdrawn", "client_disabled"]);
    }
}
