//! Apps prove themselves by the method they registered, and by no other (RFC 6749, section 2.3).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;
use serde_json::Value;

use crate::harness::app::ISSUER;
use crate::harness::database::Kind;
use crate::harness::world::World;
use crate::on_both_databases;

const APPS: &str = r#"
[[organizations]]
handle = "globex"
name = "Globex"

[[organizations.apps]]
client_id = "machine"
name = "Machine"
client_secret = "machine-secret-0123456789"
auth_method = "client_secret_post"
redirect_uris = ["https://machine.globex.test/callback"]
grant_types = ["client_credentials"]

[[organizations.apps]]
client_id = "phone"
name = "Phone"
redirect_uris = ["https://phone.globex.test/callback"]

[[organizations.apps]]
client_id = "off"
name = "Off"
client_secret = "off-secret-0123456789"
redirect_uris = ["https://off.globex.test/callback"]
enabled = false
"#;

async fn post(world: &World, basic: Option<&str>, body: &str) -> (u16, Value, Option<String>) {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("{ISSUER}/oauth2/token"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(pair) = basic {
        request = request.header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)));
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    let response = world.app.network.send(request).await;
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let challenge = response.headers().get(header::WWW_AUTHENTICATE);
    let challenge = challenge.map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap(), challenge)
}

on_both_databases! {
    async fn an_app_authenticates_by_its_own_method_only(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(APPS).await;
        let grant = "grant_type=client_credentials";
        let machine = "client_id=machine&client_secret=machine-secret-0123456789";
        let wiki = "wiki:wiki-secret-0123456789";
        let cases: [(&str, Option<&str>, String, u16, &str); 10] = [
            ("client_auth_method", Some("machine:machine-secret-0123456789"), grant.to_owned(), 401, "invalid_client"),
            ("client_secret", None, format!("{grant}&client_id=machine&client_secret=wrong"), 401, "invalid_client"),
            ("client_auth_method", None, format!("{grant}&client_id=machine"), 401, "invalid_client"),
            ("client_auth_method", None, format!("{grant}&client_id=machine&client_secret="), 401, "invalid_client"),
            ("client_secret", Some("wiki:wrong"), grant.to_owned(), 401, "invalid_client"),
            ("unknown_client", Some("nobody:wrong"), grant.to_owned(), 401, "invalid_client"),
            ("client_disabled", Some("off:off-secret-0123456789"), grant.to_owned(), 401, "invalid_client"),
            ("client_missing", None, grant.to_owned(), 401, "invalid_client"),
            ("client_two_methods", Some(wiki), format!("{grant}&{machine}"), 400, "invalid_request"),
            ("client_two_methods", Some(wiki), format!("{grant}&client_id=machine"), 400, "invalid_request"),
        ];
        for (reason, basic, body, status, error) in cases {
            let (got, answer, challenge) = post(&world, basic, &body).await;
            assert_eq!((got, &answer["error"]), (status, &error.into()), "{reason} {body}");
            let challenged = status == 401 && basic.is_some();
            assert_eq!(challenge.is_some_and(|text| text.starts_with("Basic ")), challenged, "{reason}");
            assert_eq!(world.app.refusals().await.last().map(String::as_str), Some(reason));
        }
        let (status, answer, _) = post(&world, None, &format!("{grant}&{machine}")).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer.get("refresh_token").is_none() && answer.get("id_token").is_none());
    }
}

on_both_databases! {
    async fn malformed_token_requests_are_named_as_the_rfc_does(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(APPS).await;
        let machine = "client_id=machine&client_secret=machine-secret-0123456789";
        let cases = [
            (machine.to_owned(), 400, "invalid_request"),
            (format!("{machine}&grant_type=password"), 400, "unsupported_grant_type"),
            (format!("{machine}&grant_type=authorization_code&code=x"), 400, "unauthorized_client"),
            (format!("{machine}&grant_type=client_credentials&scope=openid"), 400, "invalid_scope"),
            (format!("{machine}&grant_type=client_credentials&grant_type=client_credentials"), 400, "invalid_request"),
            (format!("{machine}&client_id=machine&grant_type=client_credentials"), 400, "invalid_request"),
            ("client_id=phone&grant_type=client_credentials".to_owned(), 400, "unauthorized_client"),
            ("client_id=phone&grant_type=authorization_code".to_owned(), 400, "invalid_request"),
            ("client_id=phone&grant_type=authorization_code&code=nothing".to_owned(), 400, "invalid_grant"),
            ("client_id=phone&grant_type=refresh_token&refresh_token=nothing".to_owned(), 400, "invalid_grant"),
        ];
        for (body, status, error) in cases {
            let (got, answer, _) = post(&world, None, &body).await;
            assert_eq!((got, &answer["error"]), (status, &error.into()), "{body} {answer}");
        }
    }
}
