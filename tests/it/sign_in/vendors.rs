//! Sign-ins through a provider with each vendor's habits, by a connection that names the vendor and nothing else that a
//! standard or the vendor's profile says.

use countersign::emulator::Vendor;

use crate::harness::app::TestApp;
use crate::harness::browser::Page;
use crate::harness::database::Kind;
use crate::harness::relying_app::{RelyingApp, claims};
use crate::harness::world::{ACME_IDP, provider_directory};
use crate::on_both_databases;

const NOTES: &str = r#"
[[organizations.apps]]
client_id = "notes"
name = "Notes"
client_secret = "notes-secret-0123456789"
redirect_uris = ["https://notes.acme.test/callback"]
"#;

/// A broker whose only organization signs in at such a provider; and its app.
async fn acme_at(kind: Kind, vendor: Vendor, more: &str) -> (TestApp, RelyingApp) {
    let mut app = TestApp::new(kind).await;
    let idp = app.emulate(vendor, |_| provider_directory()).await;
    let issuer = format!("{}{}", idp.as_str().trim_end_matches('/'), vendor.habits().issuer_path);
    app.apply(&format!(
        "[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\nplan = \"enterprise\"\n\
         domains = [{{ name = \"acme.test\", connection = \"sso\" }}]\n\
         [[organizations.connections]]\nid = \"{ACME_IDP}\"\nhandle = \"sso\"\nname = \"Acme SSO\"\n\
         vendor = \"{vendor}\"\nissuer = \"{issuer}\"\nclient_id = \"countersign\"\n\
         client_secret = \"idp-secret-0123456789\"\n{more}\n{NOTES}"
    ))
    .await;
    let callback = "https://notes.acme.test/callback";
    let notes = RelyingApp::new(&app.network, "notes", Some("notes-secret-0123456789"), callback);
    (app, notes)
}

/// A vendor, what its connection has to say besides, and whether it can be signed out of.
const VENDORS: [(Vendor, &str, bool); 6] = [
    (Vendor::Okta, "", true),
    (
        Vendor::Entra,
        "tenants = [\"72f3c1de-4b5a-4c8e-9d10-6a2b7f0e5c34\"]\nemail_trust = \"authoritative\"\n\
         required_claims = { tid = [\"72f3c1de-4b5a-4c8e-9d10-6a2b7f0e5c34\"] }",
        true,
    ),
    (Vendor::Google, "required_claims = { hd = [\"acme.test\"] }", false),
    (Vendor::Keycloak, "", true),
    (Vendor::Adfs, "email_trust = \"authoritative\"", true),
    (Vendor::Ping, "", true),
];

fn at(page: &Page) -> &Page {
    page.expect(200, "emulator-sign-in")
}

on_both_databases! {
    async fn each_vendor_s_profile_signs_people_in_at_its_emulation(kind: Kind) {
        for (vendor, more, has_sign_out) in VENDORS {
            let (app, notes) = acme_at(kind, vendor, more).await;
            let mut browser = app.browser();
            let page = browser.open(&notes.authorize_url(&[("domain_hint", "acme.test")])).await;
            let fields = [("username", "bob"), ("password", "idp-password")];
            let end = browser.press(at(&page), "emulator-sign-in", &fields).await;
            let (status, tokens) = notes.redeem(&notes.code(&end)).await;
            assert_eq!(status, 200, "{vendor}: {tokens}");
            let (_, told) = notes.userinfo(tokens["access_token"].as_str().unwrap()).await;
            assert_eq!(
                (&told["email"], &told["email_verified"]),
                (&"bob@acme.test".into(), &true.into()),
                "{vendor}: {told}"
            );
            // A user who comes again is the same account.
            let mut again = app.browser();
            let page = again.open(&notes.authorize_url(&[("domain_hint", "acme.test")])).await;
            let end = again.press(at(&page), "emulator-sign-in", &fields).await;
            let (_, tokens) = notes.redeem(&notes.code(&end)).await;
            assert_eq!(claims(tokens["id_token"].as_str().unwrap())["sub"], told["sub"], "{vendor}");
            // Signing out leads on to the provider where it can be led there.
            let page = browser.open("https://id.test/oauth2/logout").await;
            assert_eq!(page.has("logout-upstream"), has_sign_out, "{vendor}: {}", page.body);
        }
    }
}

on_both_databases! {
    async fn a_vendor_s_tokens_for_somebody_elses_domain_or_tenant_open_nothing(kind: Kind) {
        for (vendor, more, reason) in [
            (Vendor::Google, "required_claims = { hd = [\"other.test\"] }", "id_token_required_claim"),
            (
                Vendor::Entra,
                "tenants = [\"00000000-4b5a-4c8e-9d10-6a2b7f0e5c34\"]\n\
                 required_claims = { tid = [\"00000000-4b5a-4c8e-9d10-6a2b7f0e5c34\"] }",
                "callback_iss_mismatch",
            ),
        ] {
            let (app, notes) = acme_at(kind, vendor, more).await;
            let mut browser = app.browser();
            let page = browser.open(&notes.authorize_url(&[("domain_hint", "acme.test")])).await;
            let fields = [("username", "bob"), ("password", "idp-password")];
            let end = browser.press(at(&page), "emulator-sign-in", &fields).await;
            assert_eq!(end.location_parameter("code"), None, "{vendor}");
            let refusals = app.refusals().await;
            assert!(refusals.iter().any(|told| told == reason), "{vendor}: {refusals:?}");
        }
    }
}
