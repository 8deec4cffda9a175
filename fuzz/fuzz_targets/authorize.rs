//! The parameters of an authorization request, and forms as browsers and apps post them.
#![no_main]

use countersign::model::{
    App, AppAuthMethod, AppId, AppSettings, ApplicationType, OrganizationId, Timestamp,
};
use countersign::policy::provider::{redirect, request};
use countersign::protocol::oauth::Parameters;

const REDIRECT_URI: &str = "https://notes.acme.test/callback";

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(parameters) = Parameters::parse(text) else { return };
    let again = Parameters::parse(&parameters.to_text()).expect("as many parameters as before");
    assert!(parameters.iter().eq(again.iter()), "what is read is written so that it is read alike");
    let app = App {
        id: AppId::from_bytes([1; 16]),
        organization: OrganizationId::from_bytes([2; 16]),
        client_id: "notes".to_owned(),
        name: "Notes".to_owned(),
        enabled: true,
        secret_hashes: Vec::new(),
        settings: AppSettings::for_auth(AppAuthMethod::ClientSecretBasic),
        created_at: Timestamp::from_unix_seconds(0),
    };
    if let Ok(good) = request::check(&app, REDIRECT_URI, &parameters, 2_048) {
        let good = good.request;
        assert!(good.scopes.iter().all(|scope| app.settings.scopes.contains(scope)));
        assert!(good.code_challenge.is_some());
        assert_eq!(parameters.first_repeated(), None);
    }
    if let Some(uri) = parameters.get("redirect_uri") {
        let registered = [REDIRECT_URI.to_owned(), "http://127.0.0.1/callback".to_owned()];
        for kind in [ApplicationType::Web, ApplicationType::Native] {
            let _ = redirect::check_redirect_uri(uri, kind);
            if redirect::matches(uri, &registered, kind) {
                assert!(uri == REDIRECT_URI || uri.starts_with("http://127.0.0.1"));
            }
        }
    }
});
