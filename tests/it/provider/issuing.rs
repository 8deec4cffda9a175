//! What changes between the reading from which tokens are signed and the transaction that gives them out.

use http::StatusCode;
use serde_json::Value;

use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::relying_app::{RelyingApp, VERIFIER, claims};
use crate::harness::world::World;
use crate::on_both_databases;

/// A code of a fresh local sign-in.
async fn code(world: &World) -> String {
    world.globex_app.code(&world.local(&mut world.browser()).await)
}

/// The tokens of a fresh local sign-in.
async fn tokens(world: &World) -> Value {
    let (status, tokens) = world.globex_app.redeem(&code(world).await).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    tokens
}

/// Redeems a code, or else exchanges a refresh token, while these statements are about to be committed. The broker has
/// signed by then, and waits for the row of the code or token.
async fn answer_while(
    world: &World,
    (code, refresh): (Option<&str>, Option<&str>),
    statement: &'static str,
) -> (StatusCode, Value) {
    let rows =
        ["UPDATE codes SET expires_at = expires_at", "UPDATE refresh_tokens SET expires_at = expires_at"];
    let mut held = world.app.hold(&[rows[0], rows[1], statement]).await;
    let (app, code, refresh) =
        (world.globex_app.clone(), code.map(str::to_owned), refresh.map(str::to_owned));
    let answered = tokio::spawn(async move {
        match code {
            Some(code) => app.redeem(&code).await,
            None => app.try_refresh(&refresh.unwrap()).await.unwrap(),
        }
    });
    held.wait_for_the_broker().await;
    held.release().await;
    answered.await.unwrap()
}

fn by_code(app: &RelyingApp, code: String) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", "authorization_code".to_owned()),
        ("code", code),
        ("redirect_uri", app.redirect_uri.clone()),
        ("code_verifier", VERIFIER.to_owned()),
    ]
}

fn by_refresh(token: String) -> Vec<(&'static str, String)> {
    vec![("grant_type", "refresh_token".to_owned()), ("refresh_token", token)]
}

fn assert_subject(tokens: &Value, subject: &str) {
    for name in ["access_token", "id_token"] {
        assert_eq!(claims(tokens[name].as_str().unwrap())["sub"], subject, "{name}");
    }
}

on_both_databases! {
    async fn tokens_say_what_is_so_when_they_are_given_out(kind: Kind) {
        let world = World::new(kind).await;
        let code = code(&world).await;
        let before = Evidence::now(&world.app).await;
        let change = "UPDATE grants SET subject = 'another'";
        let (status, tokens) = answer_while(&world, (Some(&code), None), change).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        assert_subject(&tokens, "another");
        before.assert_exactly(&world.app, &[("refresh_tokens", 1)], &[("token.code done", 1)]).await;

        let before = Evidence::now(&world.app).await;
        let refresh = tokens["refresh_token"].as_str();
        let change = "UPDATE grants SET subject = 'a third'";
        let (status, tokens) = answer_while(&world, (None, refresh), change).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        assert_subject(&tokens, "a third");
        before.assert_exactly(&world.app, &[("refresh_tokens", 1)], &[("token.refresh done", 1)]).await;
    }
}

on_both_databases! {
    async fn the_organization_of_a_token_is_the_one_at_its_issue(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(OPEN_TO_ALL).await;
        let code = code(&world).await;
        let change = "UPDATE accounts SET organization_id = (SELECT id FROM organizations WHERE handle = 'acme')";
        let (status, tokens) = answer_while(&world, (Some(&code), None), change).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        for name in ["access_token", "id_token"] {
            let said = claims(tokens[name].as_str().unwrap())["org_id"].as_str().unwrap().to_owned();
            let acme: &str = format!("organizations WHERE handle = 'acme' AND id = '{said}'").leak();
            assert_eq!(world.app.count_rows(&[acme]).await[acme], 1, "{name}: {said}");
        }
    }
}

const OPEN_TO_ALL: &str = r#"
[[organizations]]
handle = "globex"
name = "Globex"

[[organizations.apps]]
client_id = "wiki"
name = "Wiki"
client_secret = "wiki-secret-0123456789"
redirect_uris = ["https://wiki.globex.test/callback"]
audience = "any"
"#;

/// What a statement withdraws while tokens are signed, and the reason for which a code and a refresh token are refused. A
/// session that has ended is the end of refreshing alone.
const WITHDRAWN: [(&str, Option<&str>, Option<&str>); 6] = [
    ("UPDATE accounts SET enabled = FALSE WHERE username_key = 'gil'", Some("inactive"), Some("inactive")),
    ("UPDATE apps SET enabled = FALSE WHERE client_id = 'wiki'", Some("inactive"), Some("inactive")),
    ("UPDATE organizations SET enabled = FALSE WHERE handle = 'globex'", Some("inactive"), Some("inactive")),
    (
        "UPDATE organizations SET local_sign_in = 'none' WHERE handle = 'globex'",
        Some("local_sign_in_off"),
        Some("local_sign_in_off"),
    ),
    ("UPDATE grants SET revoked_at = 1", Some("grant_revoked"), Some("grant_revoked")),
    ("UPDATE sessions SET ended_at = 1", None, Some("refresh_session_ended")),
];

on_both_databases! {
    async fn what_is_withdrawn_while_tokens_are_signed_gives_none(kind: Kind) {
        for (statement, by_code, by_refresh) in WITHDRAWN {
            for (action, reason) in [("token.code", by_code), ("token.refresh", by_refresh)] {
                let Some(reason) = reason else { continue };
                let world = World::new(kind).await;
                let (code, earlier) = (code(&world).await, tokens(&world).await);
                let before = Evidence::now(&world.app).await;
                let proofs = match action {
                    "token.code" => (Some(code.as_str()), None),
                    _ => (None, earlier["refresh_token"].as_str()),
                };
                let (status, answer) = answer_while(&world, proofs, statement).await;
                let expected = (StatusCode::BAD_REQUEST, &"invalid_grant".into());
                assert_eq!((status, &answer["error"]), expected, "{statement}");
                before.assert_only_refused(&world.app, &[&format!("{action} refused {reason}")]).await;
            }
        }
    }
}

on_both_databases! {
    async fn what_another_request_used_up_while_tokens_are_signed_is_reuse(kind: Kind) {
        let world = World::new(kind).await;
        let code = code(&world).await;
        let before = Evidence::now(&world.app).await;
        let (_, answer) = answer_while(&world, (Some(&code), None), "UPDATE codes SET used_at = 1").await;
        assert_eq!(answer["error"], "invalid_grant");
        before.assert_only_refused(&world.app, &["token.code refused code_reused"]).await;

        let earlier = tokens(&world).await;
        let before = Evidence::now(&world.app).await;
        let refresh = earlier["refresh_token"].as_str();
        let (_, answer) =
            answer_while(&world, (None, refresh), "UPDATE refresh_tokens SET used_at = 1").await;
        assert_eq!(answer["error"], "invalid_grant");
        before.assert_only_refused(&world.app, &["token.refresh refused refresh_reused"]).await;
        let living = "grants WHERE revoked_at IS NULL";
        assert_eq!(world.app.count_rows(&[living]).await[living], 0);
    }
}

on_both_databases! {
    async fn what_is_used_up_or_withdrawn_is_worth_no_signature(kind: Kind) {
        let world = World::new(kind).await;
        let wiki = &world.globex_app;
        // Every token has a random id of 32 bytes; a record has one of 8. What the broker does besides only adds to that, so
        // the least of three counts.
        let cost = async |forms: Vec<Vec<(&str, String)>>| {
            let mut least = usize::MAX;
            for form in forms {
                let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let before = world.app.random.drawn();
                assert_eq!(wiki.token(&form).await.0, StatusCode::BAD_REQUEST, "{form:?}");
                least = least.min(world.app.random.drawn() - before);
            }
            least
        };
        let (mut used, mut refreshed, mut codes, mut refreshes) = (vec![], vec![], vec![], vec![]);
        for _ in 0..3 {
            let code_of_family = async || {
                let code = code(&world).await;
                let (_, tokens) = wiki.redeem(&code).await;
                (by_code(wiki, code), tokens["refresh_token"].as_str().unwrap().to_owned())
            };
            used.push(code_of_family().await.0);
            let token = code_of_family().await.1;
            assert_eq!(wiki.try_refresh(&token).await.unwrap().0, StatusCode::OK);
            refreshed.push(by_refresh(token));
            codes.push(by_code(wiki, code(&world).await));
            refreshes.push(by_refresh(code_of_family().await.1));
        }
        assert!(cost(used).await < 32, "a used code costs a token");
        assert!(cost(refreshed).await < 32, "a used refresh token costs a token");
        world.app.run_statement("UPDATE accounts SET enabled = FALSE").await;
        assert!(cost(codes).await < 32, "a code of a disabled account costs a token");
        assert!(cost(refreshes).await < 32, "a refresh token of a disabled account costs a token");
    }
}
