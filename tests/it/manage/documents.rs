//! The files of `apply`: every problem at once, with file and line.

use super::Office;
use crate::harness::database::Kind;
use crate::on_both_databases;

const WRONG: &str = r#"
[[organizations]]
handle = "Acme"
nmae = "Acme"
domains = [{ name = "gmail.com" }, { name = "co.uk" }]
local_sign_in = "some"

[[organizations.connections]]
handle = "google"
name = "Google"
issuer = "https://accounts.google.com"
client_id = "x"
client_secret = "a"
client_secret_file = "/nowhere"
freshness = "round_trip"
expects = 1

[[organizations.connections]]
handle = "plain"
name = "Plain"
issuer = "http://idp.acme.test"
client_id = "x"

[[organizations.apps]]
client_id = "notes"
name = "Notes"
client_secret = "CANARY-short"
redirect_uris = ["https://notes.acme.test/#fragment", "http://notes.acme.test/"]
code_lifetime = "2m"

[[organizations.accounts]]
username = "x"
password = "CANARY"
"#;

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once_with_file_and_line() {
    let office = Office::new(Kind::Sqlite).await;
    let error = office.try_apply(WRONG).await.unwrap_err().to_string();
    insta::assert_snapshot!(error);
    assert!(!error.contains("CANARY"));
}

#[tokio::test]
async fn a_shared_provider_may_wait_disabled_until_a_claim_says_whose_people_come() {
    let office = Office::new(Kind::Sqlite).await;
    let document = |more: &str| {
        format!(
            "[[organizations]]\nhandle = \"a\"\nname = \"A\"\n[[organizations.connections]]\nhandle = \"shared\"\n\
             name = \"S\"\nclient_id = \"x\"\n{more}\n"
        )
    };
    for issuer in [
        "https://accounts.google.com",
        "https://login.microsoftonline.com/common/v2.0",
        "https://login.microsoftonline.com/organizations",
        "https://login.microsoftonline.com/{tenantid}/v2.0",
    ] {
        let issuer = format!("issuer = \"{issuer}\"");
        let error = office.try_apply(&document(&issuer)).await.unwrap_err();
        assert!(error.to_string().contains("test.toml:8: organizations[0].connections[0].issuer"), "{error}");
        office.apply(&document(&format!("{issuer}\nenabled = false"))).await;
        office.apply(&document(&format!("{issuer}\nrequired_claims = {{ tid = [\"t\"] }}"))).await;
    }
    let template = "issuer = \"https://login.microsoftonline.com/{tenantid}/v2.0\"";
    office.apply(&document(&format!("{template}\ntenants = [\"t\"]"))).await;
}

#[tokio::test]
async fn more_connections_than_an_organization_may_have_are_refused() {
    let office = Office::new(Kind::Sqlite).await;
    let mut document = "[[organizations]]\nhandle = \"a\"\nname = \"A\"\n".to_owned();
    for number in 0..4 {
        document.push_str(&format!(
            "[[organizations.connections]]\nhandle = \"c{number}\"\nname = \"C\"\nissuer = \"https://c.test\"\n\
             client_id = \"x\"\n"
        ));
    }
    let error = office.try_apply(&document).await.unwrap_err();
    assert!(error.to_string().contains("has 4 entries, and 3 are allowed"), "{error}");
}

#[tokio::test]
async fn a_hash_of_a_secret_that_is_none_is_refused_with_its_line() {
    let office = Office::new(Kind::Sqlite).await;
    let app = "[[organizations]]\nhandle = \"a\"\nname = \"A\"\n[[organizations.apps]]\nclient_id = \"n\"\n\
               name = \"N\"\nredirect_uris = [\"https://n.test/\"]\n";
    for key in ["client_secret_hash", "next_client_secret_hash"] {
        let error = office.try_apply(&format!("{app}{key} = \"my-secret-in-clear\"\n")).await.unwrap_err();
        let expected =
            format!("test.toml:8: organizations[0].apps[0].{key}: is not a SHA-256 hash in base64url");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

/// What the example file says, without all that it says is a default.
const SHORT: &str = r#"
[[organizations]]
handle = "acme"
name = "Acme"
domains = [{ name = "acme.example", connection = "acme-idp" }, { name = "*.acme.example", connection = "acme-idp" }]

[[organizations.connections]]
handle = "acme-idp"
name = "Acme SSO"
issuer = "https://idp.acme.example"
client_id = "countersign"

[[organizations.apps]]
client_id = "notes"
name = "Notes"
client_secret = "not-a-secret-since-it-stands-here"
redirect_uris = ["https://notes.acme.example/callback"]

[[organizations.accounts]]
username = "bob"
expects = { connection = "acme-idp", claim = "oid", value = "9f2b1c34-0000-4000-8000-1d2e3f4a5b6c" }
"#;

on_both_databases! {
    async fn the_example_file_can_be_applied_and_its_defaults_are_the_defaults(kind: Kind) {
        let office = Office::new(kind).await;
        let example = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/organizations.example.toml"));
        let report = office.apply(example).await;
        assert_eq!(report.to_string(), "6 created, 0 changed, 0 unchanged");
        let report = office.apply(SHORT).await;
        assert_eq!(report.to_string(), "0 created, 0 changed, 6 unchanged", "{report:?}");
    }
}
