//! A clock that jumps: what has expired never comes back, and sign-ins go on.

use std::time::Duration;

use http::StatusCode;

use crate::harness::database::Kind;
use crate::harness::world::World;
use crate::on_both_databases;

const HOUR: Duration = Duration::from_hours(1);

on_both_databases! {
    async fn what_has_expired_stays_so_when_the_clock_is_set_back(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let code = world.globex_app.code(&world.local(&mut browser).await);
        let mut other = world.browser();
        let (_, tokens) = world.globex_app.redeem(&world.globex_app.code(&world.local(&mut other).await)).await;
        let refresh = tokens["refresh_token"].as_str().unwrap();

        world.app.clock.advance(HOUR);
        assert_eq!(world.globex_app.redeem(&code).await.0, StatusCode::BAD_REQUEST);
        world.app.clock.set_back(HOUR);
        let (status, answer) = world.globex_app.redeem(&code).await;
        assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &"invalid_grant".into()));

        // Longer than a session or a refresh token lives without use.
        let long = Duration::from_hours(24 * 40);
        world.app.clock.advance(long);
        assert!(browser.clone().open("https://id.test/account").await.has("sign-in"));
        assert_eq!(world.globex_app.try_refresh(refresh).await.unwrap().0, StatusCode::BAD_REQUEST);
        world.app.clock.set_back(long);
        assert!(browser.clone().open("https://id.test/account").await.has("sign-in"));
        let (status, answer) = world.globex_app.try_refresh(refresh).await.unwrap();
        assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &"invalid_grant".into()));
    }
}

on_both_databases! {
    async fn sign_ins_go_on_through_an_hour_forth_and_two_back(kind: Kind) {
        let world = World::new(kind).await;
        for step in 0..4 {
            match step {
                0 => {}
                1 => world.app.clock.advance(HOUR),
                _ => world.app.clock.set_back(HOUR),
            }
            world.app.broker.keys.reload_signing_keys().await.unwrap();
            let mut browser = world.browser();
            let (status, tokens) = world.notes.redeem(&world.notes.code(&world.brokered(&mut browser).await)).await;
            assert_eq!(status, StatusCode::OK, "step {step}: {tokens}");
            let access = tokens["access_token"].as_str().unwrap();
            assert_eq!(world.notes.userinfo(access).await.0, StatusCode::OK, "step {step}");
            let end = world.local(&mut world.browser()).await;
            assert_eq!(world.globex_app.redeem(&world.globex_app.code(&end)).await.0, StatusCode::OK, "step {step}");
        }
    }
}
