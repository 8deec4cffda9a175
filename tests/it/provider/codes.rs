//! Codes: redeemed once, in time, and only by the app for which they were made (RFC 6749, section 4.1.3; RFC 7636; RFC
//! 9700, section 4.5).

use std::time::Duration;

use http::StatusCode;

use crate::harness::database::Kind;
use crate::harness::relying_app::{RelyingApp, VERIFIER};
use crate::harness::world::World;
use crate::on_both_databases;

async fn expect_dead_family(app: &RelyingApp, tokens: &serde_json::Value) {
    let (status, _) = app.userinfo(tokens["access_token"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let (status, answer) = app.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh)]).await;
    assert_eq!((status.as_u16(), &answer["error"]), (400, &"invalid_grant".into()));
}

on_both_databases! {
    async fn a_code_redeemed_twice_revokes_its_tokens(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let code = wiki.code(&world.local(&mut world.browser()).await);
        let (status, tokens) = wiki.redeem(&code).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        let (status, _) = wiki.userinfo(tokens["access_token"].as_str().unwrap()).await;
        assert_eq!(status, StatusCode::OK);
        world.app.clock.advance(Duration::from_secs(30));
        let (status, again) = wiki.redeem(&code).await;
        assert_eq!((status.as_u16(), &again["error"]), (400, &"invalid_grant".into()));
        expect_dead_family(wiki, &tokens).await;
        assert!(world.app.refusals().await.contains(&"code_reused".to_owned()));
    }
}

on_both_databases! {
    async fn a_code_is_worth_nothing_to_others_or_with_anything_changed(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let code = wiki.code(&world.local(&mut world.browser()).await);
        let uri = wiki.redirect_uri.as_str();
        let short = "a".repeat(42);
        let cases: [(&str, &RelyingApp, &str, Option<&str>); 8] = [
            ("code_of_another_app", &world.notes, uri, Some(VERIFIER)),
            ("code_redirect_uri", wiki, "https://wiki.globex.test/callback/", Some(VERIFIER)),
            ("code_redirect_uri", wiki, "https://wiki.globex.test/callback?x=1", Some(VERIFIER)),
            ("code_redirect_uri", wiki, "", Some(VERIFIER)),
            ("code_verifier_missing", wiki, uri, None),
            ("code_verifier_malformed", wiki, uri, Some(&short)),
            ("code_verifier_malformed", wiki, uri, Some("dBjftJeZ4CVP+mB92K27uhbUJU1p1r_wW1gFWFOEjXk")),
            ("code_verifier_wrong", wiki, uri, Some("eBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")),
        ];
        for (reason, app, redirect_uri, verifier) in cases {
            let mut form =
                vec![("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", redirect_uri)];
            form.extend(verifier.map(|verifier| ("code_verifier", verifier)));
            let (status, answer) = app.token(&form).await;
            assert_eq!((status.as_u16(), &answer["error"]), (400, &"invalid_grant".into()), "{reason}");
            assert_eq!(world.app.refusals().await.last().map(String::as_str), Some(reason));
        }
        // None of these used it up.
        let (status, answer) = wiki.redeem(&code).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
}

on_both_databases! {
    async fn a_code_is_over_after_a_minute(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let code = wiki.code(&world.local(&mut world.browser()).await);
        world.app.clock.advance(Duration::from_secs(61));
        let (status, answer) = wiki.redeem(&code).await;
        assert_eq!((status.as_u16(), &answer["error"]), (400, &"invalid_grant".into()));
        assert_eq!(world.app.refusals().await.last().map(String::as_str), Some("code_expired"));
    }
}

on_both_databases! {
    async fn a_code_of_a_disabled_account_gives_nothing(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let code = wiki.code(&world.local(&mut world.browser()).await);
        world.app.apply(DISABLED).await;
        let (status, answer) = wiki.redeem(&code).await;
        assert_eq!((status.as_u16(), &answer["error"]), (400, &"invalid_grant".into()), "{answer}");
        assert_eq!(world.app.refusals().await.last().map(String::as_str), Some("grant_revoked"));
    }
}

const DISABLED: &str = r#"
[[organizations]]
handle = "globex"
name = "Globex"

[[organizations.accounts]]
username = "gil"
email = "gil@globex.test"
email_verified = true
enabled = false
"#;

on_both_databases! {
    async fn a_code_that_comes_again_takes_its_tokens_along_although_its_row_is_gone(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let code = wiki.code(&world.local(&mut world.browser()).await);
        let (status, tokens) = wiki.redeem(&code).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        let unused = wiki.code(&world.local(&mut world.browser()).await);
        world.app.clock.advance(Duration::from_mins(62));
        // The second time takes what the first one left without a code.
        world.app.broker.housekeeping.sweep().await.unwrap();
        world.app.broker.housekeeping.sweep().await.unwrap();
        let left = world.app.count_rows(&["codes", "grants"]).await;
        assert_eq!((left["codes"], left["grants"]), (0, 1));
        let uri = wiki.redirect_uri.as_str();
        let long = "d".repeat(43);
        let cases: [(&RelyingApp, &str, &str, Option<&str>); 6] = [
            (&world.notes, &code, uri, Some(VERIFIER)),
            (wiki, &code, "https://wiki.globex.test/other", Some(VERIFIER)),
            (wiki, &code, uri, Some(&long)),
            (wiki, &code, uri, None),
            (wiki, &code[1..], uri, Some(VERIFIER)),
            (wiki, &unused, uri, Some(VERIFIER)),
        ];
        for (app, code, redirect_uri, verifier) in cases {
            let mut form = vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirect_uri)];
            form.extend(verifier.map(|verifier| ("code_verifier", verifier)));
            let (status, answer) = app.token(&form).await;
            assert_eq!((status.as_u16(), &answer["error"]), (400, &"invalid_grant".into()), "{form:?}");
            assert_eq!(world.app.refusals().await.last().map(String::as_str), Some("code_unknown"), "{form:?}");
        }
        // None of these ended anything.
        let refresh = tokens["refresh_token"].as_str().unwrap();
        let (status, tokens) = wiki.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh)]).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        let (status, again) = wiki.redeem(&code).await;
        assert_eq!((status.as_u16(), &again["error"]), (400, &"invalid_grant".into()));
        assert_eq!(world.app.refusals().await.last().map(String::as_str), Some("code_reused"));
        expect_dead_family(wiki, &tokens).await;
    }
}
