//! Sign-outs that go on to the provider, and what providers start.

use countersign::store::organization::{connections, organizations};

use crate::harness::database::Kind;
use crate::harness::relying_app::claims;
use crate::harness::world::{ACME_IDP, World};
use crate::on_both_databases;

const LOGOUT: &str = "https://id.test/oauth2/logout";

on_both_databases! {
    async fn the_person_says_whether_the_provider_signs_them_out_as_well(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        world.brokered(&mut browser).await;
        let page = browser.open(LOGOUT).await;
        page.expect(200, "logout-local").expect(200, "logout-upstream");
        let mut other = world.browser();
        world.brokered(&mut other).await;
        let asked = other.open(LOGOUT).await;
        other.press(&asked, "logout-local", &[]).await.expect(200, "signed-out");
        let onward = browser.press_only(&page, "logout-upstream", &[]).await;
        let location = onward.location().unwrap();
        assert_eq!(location.origin(), world.idp.origin());
        let back = onward.location_parameter("post_logout_redirect_uri").unwrap();
        assert_eq!(back, format!("https://id.test/sso/signed-out/{ACME_IDP}"));
        assert!(onward.location_parameter("id_token_hint").is_some());
        browser.follow(onward).await.expect(200, "signed-out");
    }
}

on_both_databases! {
    async fn a_connection_may_decide_for_the_person(kind: Kind) {
        let world = World::with(kind, "", "upstream_logout = \"always\"").await;
        let mut browser = world.browser();
        world.brokered(&mut browser).await;
        let page = browser.open(LOGOUT).await;
        let onward = browser.press_only(&page, "logout-confirm", &[]).await;
        assert_eq!(onward.location().unwrap().origin(), world.idp.origin());
        let world = World::with(kind, "", "upstream_logout = \"never\"").await;
        let mut browser = world.browser();
        world.brokered(&mut browser).await;
        let page = browser.open(LOGOUT).await;
        browser.press(&page, "logout-confirm", &[]).await.expect(200, "signed-out");
    }
}

on_both_databases! {
    async fn a_token_that_is_not_a_logout_token_is_answered_by_400(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        world.brokered(&mut browser).await;
        for (connection, body) in [
            (ACME_IDP, "logout_token=x"),
            (ACME_IDP, ""),
            (ACME_IDP, "logout_token=a.b.c&logout_token=a.b.c"),
            ("con_019000000000700080000000000000ff", "logout_token=x"),
            ("nonsense", "logout_token=x"),
        ] {
            let url = format!("https://id.test/sso/backchannel-logout/{connection}").parse().unwrap();
            let post = http::Method::POST;
            let mut provider = world.browser();
            let answer = provider.request(post, &url, Some(body.to_owned()), "", None).await;
            assert_eq!(answer.status, 400, "{connection} {body}");
            assert_eq!(answer.headers["cache-control"], "no-store");
            assert!(answer.body.contains("\"error\""), "{}", answer.body);
        }
        assert!(browser.open("https://id.test/account").await.has("this-session"));
    }
}

on_both_databases! {
    async fn a_frame_answers_to_its_issuer_alone(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let issuer = world.idp.as_str().trim_end_matches('/').to_owned();
        let url = |issuer: &str| {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs([("iss", issuer), ("sid", "unknown")])
                .finish();
            format!("https://id.test/sso/frontchannel-logout/{ACME_IDP}?{query}")
        };
        let page = browser.open(&url(&issuer)).await;
        assert_eq!(page.status, 200);
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.ends_with(&format!("frame-ancestors {issuer}")), "{policy}");
        assert!(!page.headers.contains_key("x-frame-options"));
        assert_eq!(browser.open(&url("https://evil.test")).await.status, 400);
    }
}

on_both_databases! {
    async fn a_provider_starts_a_sign_in_to_registered_places_alone(kind: Kind) {
        let world = World::new(kind).await;
        let initiate = format!("https://id.test/sso/initiate/{ACME_IDP}");
        for query in ["?iss=https://evil.test", "?target_link_uri=https://evil.test/"] {
            let page = world.browser().open(&format!("{initiate}{query}")).await;
            assert_eq!(page.error().as_deref(), Some("invalid_request"), "{query}");
        }
        let mut browser = world.browser();
        let page = browser.open(&format!("{initiate}?target_link_uri=https://notes.acme.test/")).await;
        let end = world.sign_in_at_provider(&mut browser, &page).await;
        assert_eq!(end.location().unwrap().as_str(), "https://notes.acme.test/");
        let url = initiate.parse().unwrap();
        let post = http::Method::POST;
        let posted = world.browser().request(post, &url, Some("login_hint=bob".to_owned()), "cross-site", None).await;
        assert_eq!(posted.status, 303);
        assert!(posted.location().unwrap().as_str().ends_with("?login_hint=bob"));
    }
}

on_both_databases! {
    async fn a_connection_without_a_key_publishes_none(kind: Kind) {
        let world = World::new(kind).await;
        let page = world.browser().open(&format!("https://id.test/sso/jwks/{ACME_IDP}")).await;
        assert_eq!((page.status.as_u16(), page.body.as_str()), (200, "{\"keys\":[]}"));
    }
}

on_both_databases! {
    async fn a_frame_ends_the_sessions_of_the_provider_s_session(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        world.brokered(&mut browser).await;
        let page = browser.open(LOGOUT).await;
        let onward = browser.press_only(&page, "logout-upstream", &[]).await;
        let hint = claims(&onward.location_parameter("id_token_hint").unwrap());
        // The provider's session goes on, so it brings the user back without asking.
        browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
        assert!(browser.open("https://id.test/account").await.has("this-session"));
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("iss", hint["iss"].as_str().unwrap()), ("sid", hint["sid"].as_str().unwrap())])
            .finish();
        let frame = format!("https://id.test/sso/frontchannel-logout/{ACME_IDP}?{query}");
        assert_eq!(world.browser().open(&frame).await.status, 200);
        assert!(!browser.open("https://id.test/account").await.has("this-session"));
    }
}

on_both_databases! {
    async fn a_disabled_connection_or_organization_ends_what_stands_on_it(kind: Kind) {
        for disable_connection in [true, false] {
            let world = World::new(kind).await;
            let mut browser = world.browser();
            world.brokered(&mut browser).await;
            assert!(browser.open("https://id.test/account").await.has("this-session"));
            let (database, now) = (world.app.evidence().await, countersign::model::Clock::now(&*world.app.clock));
            let mut tx = database.write().await.unwrap();
            let id = ACME_IDP.parse().unwrap();
            let found = connections::find_connection_of_any_organization(&mut tx, id).await.unwrap();
            let mut connection = found.unwrap().connection;
            if disable_connection {
                connection.enabled = false;
                connections::update_connection(&mut tx, &connection, now).await.unwrap();
            } else {
                let id = connection.organization;
                let found = organizations::find_organization(&mut tx, id).await.unwrap();
                let mut organization = found.unwrap();
                organization.enabled = false;
                organizations::update_organization(&mut tx, &organization, now).await.unwrap();
            }
            tx.commit().await.unwrap();
            assert!(!browser.open("https://id.test/account").await.has("this-session"));
        }
    }
}

on_both_databases! {
    async fn a_logout_token_ends_the_sessions_that_it_names_and_is_taken_once(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        world.brokered(&mut browser).await;
        let page = browser.open(LOGOUT).await;
        let onward = browser.press_only(&page, "logout-upstream", &[]).await;
        let hint = claims(&onward.location_parameter("id_token_hint").unwrap());
        let now = countersign::model::Clock::now(&*world.app.clock).unix_seconds();
        let key = world.app.idp_key.as_ref().unwrap();
        for (name, jti) in [("sub", "one"), ("sid", "two")] {
            browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
            assert!(browser.open("https://id.test/account").await.has("this-session"), "{name}");
            let mut token = serde_json::json!({
                "iss": hint["iss"], "aud": "countersign", "iat": now, "exp": now + 120, "jti": jti,
                "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
            });
            token[name] = hint[name].clone();
            let token = key.sign_jwt("logout+jwt", None, &token).unwrap();
            let url = format!("https://id.test/sso/backchannel-logout/{ACME_IDP}").parse().unwrap();
            let mut provider = world.browser();
            for status in [200, 400] {
                let body = Some(format!("logout_token={token}"));
                let answer = provider.request(http::Method::POST, &url, body, "", None).await;
                assert_eq!(answer.status, status, "{name}: {}", answer.body);
            }
            assert!(!browser.open("https://id.test/account").await.has("this-session"), "{name}");
        }
        assert!(world.app.refusals().await.contains(&"logout_token_replayed".to_owned()));
    }
}

on_both_databases! {
    async fn a_logout_token_that_comes_again_in_a_new_session_is_refused_at_once_and_ends_nothing(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        world.brokered(&mut browser).await;
        let page = browser.open(LOGOUT).await;
        let onward = browser.press_only(&page, "logout-upstream", &[]).await;
        let hint = claims(&onward.location_parameter("id_token_hint").unwrap());
        let now = countersign::model::Clock::now(&*world.app.clock).unix_seconds();
        let token = serde_json::json!({
            "iss": hint["iss"], "aud": "countersign", "iat": now, "exp": now + 120, "jti": "again", "sub": hint["sub"],
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        let token = world.app.idp_key.as_ref().unwrap().sign_jwt("logout+jwt", None, &token).unwrap();
        let url = format!("https://id.test/sso/backchannel-logout/{ACME_IDP}").parse().unwrap();
        for status in [200, 400, 400] {
            // She is signed in again each time, at a moment that the token could still name.
            browser.open(&world.notes.authorize_url(&[("domain_hint", "acme.test")])).await;
            let body = Some(format!("logout_token={token}"));
            let answer = world.browser().request(http::Method::POST, &url, body, "", None).await;
            assert_eq!(answer.status, status, "{}", answer.body);
            assert!(!answer.body.contains("temporarily_unavailable"), "{}", answer.body);
        }
        let refusals = world.app.refusals().await;
        assert_eq!(refusals.iter().filter(|reason| *reason == "logout_token_replayed").count(), 2, "{refusals:?}");
        assert!(browser.open("https://id.test/account").await.has("this-session"));
    }
}

on_both_databases! {
    async fn a_provider_s_id_token_is_kept_only_where_a_sign_out_sends_it(kind: Kind) {
        const KEPT: &str = "sessions WHERE upstream_id_token_sealed IS NOT NULL";
        let world = World::with(kind, "", "upstream_logout = \"never\"").await;
        let mut browser = world.browser();
        world.brokered(&mut browser).await;
        let rows = world.app.count_rows(&["sessions", KEPT]).await;
        assert_eq!((rows["sessions"], rows[KEPT]), (1, 0));
        // Switched on later, a session from before signs out at the provider all the same, without a hint.
        world.apply_with("", "upstream_logout = \"always\"").await;
        let onward = browser.open(&format!("{LOGOUT}?client_id=notes")).await;
        let onward = browser.press_only(&onward, "logout-confirm", &[]).await;
        assert_eq!(onward.location().unwrap().origin(), world.idp.origin());
        assert_eq!(onward.location_parameter("id_token_hint"), None);
        assert!(onward.location_parameter("client_id").is_some());
        let mut browser = world.browser();
        world.brokered(&mut browser).await;
        assert_eq!(world.app.count_rows(&[KEPT]).await[KEPT], 1);
        let onward = browser.open(&format!("{LOGOUT}?client_id=notes")).await;
        let onward = browser.press_only(&onward, "logout-confirm", &[]).await;
        assert_eq!(claims(&onward.location_parameter("id_token_hint").unwrap())["aud"], "countersign");
    }
}
