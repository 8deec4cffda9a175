//! The faults that can be chosen.

use super::*;

/// The status and text of each endpoint that clients call.
async fn for_clients(fixture: &Fixture, paths: &Paths) -> Vec<Answer> {
    vec![
        fixture.get(paths.metadata, "").await,
        fixture.get(paths.keys, "").await,
        fixture.redeem(paths, "x", &[]).await,
        fixture.userinfo(paths, "x").await,
    ]
}

#[tokio::test]
async fn a_provider_that_is_down_answers_nothing_else_until_it_is_up() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        fixture.faults.begin(Fault::Down);
        let page = fixture.get(&format!("{}?{}", paths.authorize, query(&[])), "").await;
        for answer in for_clients(&fixture, &paths).await.into_iter().chain([page]) {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        }
        fixture.faults.end(Fault::Down);
        assert_eq!(fixture.get(paths.keys, "").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn garbage_is_no_json_and_stands_only_where_json_belongs() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        fixture.faults.begin(Fault::Garbage);
        for answer in for_clients(&fixture, &paths).await {
            assert_eq!(answer.status, StatusCode::OK);
            assert!(serde_json::from_str::<Value>(&answer.text).is_err(), "{}", answer.text);
        }
        let page = fixture.get(&format!("{}?{}", paths.authorize, query(&[])), "").await;
        assert!(page.text.starts_with("<!doctype html>"), "{}", page.text);
    }
}

#[tokio::test]
async fn a_slow_provider_keeps_clients_waiting_and_not_people() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        fixture.faults.begin(Fault::Slow);
        for path in [paths.metadata, paths.keys, paths.userinfo] {
            let answer = tokio::time::timeout(Duration::from_millis(20), fixture.get(path, "")).await;
            assert!(answer.is_err(), "{path}");
        }
        let page = fixture.get(&format!("{}?{}", paths.authorize, query(&[])), "").await;
        assert_eq!(page.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_rotated_key_is_not_among_the_published_ones() {
    let fixture = Fixture::new(Vendor::Okta);
    fixture.faults.begin(Fault::RotatedKeys);
    let code = fixture.code(&OKTA).await;
    let token = fixture.redeem(&OKTA, &code, &[]).await.json()["id_token"].as_str().unwrap().to_owned();
    let jws = CompactJws::parse(&token, 10_000).unwrap();
    assert_eq!(jws.header().kid.as_deref(), Some("emulator-unpublished"));
    let published = fixture.get(OKTA.keys, "").await.json();
    assert_eq!(published["keys"][0]["kid"], "key-1");
    assert!(published["keys"].get(1).is_none());
    fixture.faults.end(Fault::RotatedKeys);
    let code = fixture.code(&OKTA).await;
    let token = fixture.redeem(&OKTA, &code, &[]).await.json()["id_token"].as_str().unwrap().to_owned();
    verified_claims(&fixture, &OKTA, &token).await;
}

#[tokio::test]
async fn wrong_claims_are_about_somebody_else_and_a_clock_that_is_off_is_an_hour_ahead() {
    for (vendor, paths) in BOTH {
        let fixture = Fixture::new(vendor);
        fixture.faults.begin(Fault::WrongClaims);
        fixture.faults.begin(Fault::ClockOff);
        let code = fixture.code(&paths).await;
        let tokens = fixture.redeem(&paths, &code, &[]).await.json();
        let claims = verified_claims(&fixture, &paths, tokens["id_token"].as_str().unwrap()).await;
        assert_eq!(claims["aud"], "somebody-else");
        assert_eq!(claims["iat"], 1_800_003_600);
        let userinfo = fixture.userinfo(&paths, tokens["access_token"].as_str().unwrap()).await;
        assert_ne!(userinfo.json()["sub"], claims["sub"]);
    }
}
