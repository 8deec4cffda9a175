//! Refresh tokens: rotated, revoked by reuse, never growing (RFC 6749, section 6; RFC 9700, section 4.14).

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use crate::harness::database::Kind;
use crate::harness::relying_app::{RelyingApp, claims};
use crate::harness::world::World;
use crate::on_both_databases;

async fn refresh(app: &RelyingApp, token: &Value, more: &[(&str, &str)]) -> (u16, Value) {
    let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", token.as_str().unwrap())];
    form.extend(more);
    let (status, answer) = app.token(&form).await;
    (status.as_u16(), answer)
}

/// The tokens of a fresh local sign-in.
async fn tokens(world: &World) -> Value {
    let wiki = &world.globex_app;
    let (status, tokens) = wiki.redeem(&wiki.code(&world.local(&mut world.browser()).await)).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    tokens
}

on_both_databases! {
    async fn a_refresh_token_rotates_and_its_reuse_revokes_the_family(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let first = tokens(&world).await;
        let (status, second) = refresh(wiki, &first["refresh_token"], &[]).await;
        assert_eq!(status, 200, "{second}");
        assert_ne!(first["refresh_token"], second["refresh_token"]);
        let (before, after) = (&first["id_token"], &second["id_token"]);
        let (before, after) = (claims(before.as_str().unwrap()), claims(after.as_str().unwrap()));
        for name in ["iss", "sub", "aud", "auth_time"] {
            assert_eq!(before[name], after[name], "{name}");
        }
        let (status, answer) = refresh(wiki, &first["refresh_token"], &[]).await;
        assert_eq!((status, &answer["error"]), (400, &"invalid_grant".into()));
        let (status, answer) = refresh(wiki, &second["refresh_token"], &[]).await;
        assert_eq!((status, &answer["error"]), (400, &"invalid_grant".into()));
        for tokens in [&first, &second] {
            let (status, _) = wiki.userinfo(tokens["access_token"].as_str().unwrap()).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
        }
        assert!(world.app.refusals().await.contains(&"refresh_reused".to_owned()));
    }
}

on_both_databases! {
    async fn scopes_may_shrink_and_never_grow(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        let first = tokens(&world).await;
        let (status, answer) = refresh(wiki, &first["refresh_token"], &[("scope", "openid phone")]).await;
        assert_eq!((status, &answer["error"]), (400, &"invalid_scope".into()));
        let (status, narrow) = refresh(wiki, &first["refresh_token"], &[("scope", "openid")]).await;
        assert_eq!((status, &narrow["scope"]), (200, &"openid".into()));
        let (_, about) = wiki.userinfo(narrow["access_token"].as_str().unwrap()).await;
        assert!(about.get("email").is_none() && about.get("sub").is_some(), "{about}");
        let (status, bare) = refresh(wiki, &narrow["refresh_token"], &[("scope", "email")]).await;
        assert_eq!((status, bare.get("id_token")), (200, None));
        let (status, _) = wiki.userinfo(bare["access_token"].as_str().unwrap()).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        // The refresh token keeps what was granted.
        let (_, whole) = refresh(wiki, &bare["refresh_token"], &[]).await;
        assert_eq!(whole["scope"], first["scope"]);
    }
}

on_both_databases! {
    async fn another_app_cannot_use_a_refresh_token(kind: Kind) {
        let world = World::new(kind).await;
        let first = tokens(&world).await;
        let (status, answer) = refresh(&world.notes, &first["refresh_token"], &[]).await;
        assert_eq!((status, &answer["error"]), (400, &"invalid_grant".into()));
        assert_eq!(refresh(&world.globex_app, &first["refresh_token"], &[]).await.0, 200);
    }
}

on_both_databases! {
    async fn a_refresh_token_ends_with_its_session_unless_it_may_work_offline(kind: Kind) {
        let world = World::with(kind, "session_idle = \"1h\"", "").await;
        let notes = &world.notes;
        let mut ends = Vec::new();
        for scope in ["openid", "openid offline_access"] {
            let mut browser = world.browser();
            let url = notes.authorize_url(&[("domain_hint", "acme.test"), ("scope", scope), ("prompt", "consent")]);
            let page = browser.open(&url).await;
            let page = world.sign_in_at_provider(&mut browser, &page).await;
            let page = if page.has("consent-allow") {
                browser.press(&page, "consent-allow", &[]).await
            } else {
                page
            };
            let (status, tokens) = notes.redeem(&notes.code(&page)).await;
            assert_eq!(status, StatusCode::OK, "{tokens}");
            ends.push(tokens);
        }
        world.app.clock.advance(Duration::from_secs(3_601));
        let (status, answer) = refresh(notes, &ends[0]["refresh_token"], &[]).await;
        assert_eq!((status, &answer["error"]), (400, &"invalid_grant".into()), "{answer}");
        assert_eq!(world.app.refusals().await.last().map(String::as_str), Some("refresh_session_ended"));
        let (status, answer) = refresh(notes, &ends[1]["refresh_token"], &[]).await;
        assert_eq!(status, 200, "{answer}");
    }
}

on_both_databases! {
    async fn an_organization_bounds_how_long_a_providers_word_lasts(kind: Kind) {
        let world = World::with(kind, "upstream_recheck = \"2h\"", "").await;
        let notes = &world.notes;
        let page = world.brokered(&mut world.browser()).await;
        let (status, tokens) = notes.redeem(&notes.code(&page)).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        world.app.clock.advance(Duration::from_hours(1));
        let (status, tokens) = refresh(notes, &tokens["refresh_token"], &[]).await;
        assert_eq!(status, 200, "{tokens}");
        world.app.clock.advance(Duration::from_secs(3_601));
        let (status, answer) = refresh(notes, &tokens["refresh_token"], &[]).await;
        assert_eq!((status, &answer["error"]), (400, &"invalid_grant".into()), "{answer}");
        let refusals = world.app.refusals().await;
        assert_eq!(refusals.last().map(String::as_str), Some("refresh_upstream_recheck"));
    }
}
