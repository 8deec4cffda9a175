//! Rows 114 and 115: whose word proves an email, and who is offered for linking.

use countersign::model::Caller;
use serde_json::{Value, json};

use crate::harness::beta::Beta;
use crate::harness::browser::{Browser, Page};
use crate::harness::database::Kind;
use crate::harness::hostile::{CLIENT, Forgery, Hostile, SECRET};
use crate::harness::relying_app::RelyingApp;
use crate::harness::world::PASSWORD;
use crate::on_both_databases;

/// Beta, with a partner's provider connected beside its own, and an app of globex that serves beta's people.
struct Partnered {
    beta: Beta,
    partner: Hostile,
    open: RelyingApp,
}

impl Partnered {
    async fn new(kind: Kind) -> Self {
        let mut beta = Beta::new(kind).await;
        let partner = beta.world.app.hostile().await;
        let app = "[[organizations]]\nhandle = \"globex\"\nname = \"Globex\"\n[[organizations.apps]]\nclient_id = \"open\"\n\
                   name = \"Open\"\nclient_secret = \"open-secret-0123456789\"\naudience = [\"beta\"]\n\
                   redirect_uris = [\"https://open.globex.test/callback\"]\n";
        beta.world.app.apply(app).await;
        let uri = "https://open.globex.test/callback";
        let open = RelyingApp::new(&beta.world.app.network, "open", Some("open-secret-0123456789"), uri);
        let partnered = Self { beta, partner, open };
        partnered.connect("", "").await;
        partnered
    }

    /// Declares beta once more, with these further keys for it and for the partner's connection.
    async fn connect(&self, organization: &str, connection: &str) {
        self.beta.world.app.apply(&self.document(organization, connection)).await;
    }

    fn document(&self, organization: &str, connection: &str) -> String {
        format!(
            "[[organizations]]\nhandle = \"beta\"\nname = \"Beta\"\n{organization}\n[[organizations.connections]]\n\
             handle = \"partner\"\nname = \"Partner\"\nissuer = \"{}\"\nclient_id = \"{CLIENT}\"\n\
             client_secret = \"{SECRET}\"\n{connection}\n",
            self.partner.issuer
        )
    }

    /// Signs in through one of the connections, as a user with this email that the identity provider says it has
    /// verified.
    async fn sign_in(&self, app: &RelyingApp, idp: &str, (sub, email): (&str, &str)) -> (Browser, Page) {
        let (subject, address) = (sub.to_owned(), email.to_owned());
        let change = move |f: &mut Forgery| {
            f.claims["sub"] = json!(subject);
            f.claims["email"] = json!(address);
            f.claims["auth_time"] = json!(f.now);
            f.userinfo["sub"] = json!(subject);
        };
        match idp {
            "partner" => self.partner.forge(change),
            _ => self.beta.idp.forge(change),
        }
        let mut browser = self.beta.browser();
        let page = browser.open(&app.authorize_url(&[("idp_hint", idp)])).await;
        (browser, page)
    }

    /// The access token of a sign-in through one of the connections.
    async fn token(&self, app: &RelyingApp, idp: &str, who: (&str, &str)) -> String {
        let (_, page) = self.sign_in(app, idp, who).await;
        let (status, tokens) = app.redeem(&app.code(&page)).await;
        assert_eq!(status, 200, "{tokens}");
        tokens["access_token"].as_str().unwrap().to_owned()
    }

    /// What an app learns of an email: the address and whether it is proven, if it learns one.
    async fn told(&self, app: &RelyingApp, token: &str) -> Option<(String, Value)> {
        let (status, about) = app.userinfo(token).await;
        assert_eq!(status, 200, "{about}");
        about["email"].as_str().map(|email| (email.to_owned(), about["email_verified"].clone()))
    }
}

on_both_databases! {
    async fn row_114_a_provider_speaks_for_the_domains_that_route_to_it_or_were_named(kind: Kind) {
        let world = Partnered::new(kind).await;
        let cases = [
            ("its own domain routes elsewhere", "", "partner", "ceo@beta.test", false, false),
            ("nobody owns it", "", "partner", "ceo@partner.test", false, false),
            ("another organization owns it", "", "partner", "ceo@acme.test", false, false),
            ("it routes here", "", "beta-idp", "bea@beta.test", true, true),
            ("below the name that routes here", "", "beta-idp", "bea@sub.beta.test", false, false),
            ("the owner named it", "trusted_email_domains = [\"beta.test\"]", "partner", "coo@beta.test", true, true),
            ("named, and nobody's", "trusted_email_domains = [\"partner.test\"]", "partner", "x@partner.test", true, false),
            ("another is named", "trusted_email_domains = [\"partner.test\"]", "partner", "cfo@beta.test", false, false),
            ("below is named", "trusted_email_domains = [\"*.partner.test\"]", "partner", "y@partner.test", false, false),
            ("named by a wildcard", "trusted_email_domains = [\"*.partner.test\"]", "partner", "y@hr.partner.test", true, false),
        ];
        for (number, (name, settings, idp, email, at_own, at_others)) in cases.into_iter().enumerate() {
            world.connect("", settings).await;
            for (app, proven) in [(&world.beta.board, at_own), (&world.open, at_others)] {
                let token = world.token(app, idp, (&format!("sub-{number}"), email)).await;
                let expected = proven.then(|| (email.to_owned(), json!(true)));
                assert_eq!(world.told(app, &token).await, expected, "{name}: {}", app.client_id);
            }
        }
    }
}

on_both_databases! {
    async fn row_114_a_domain_that_is_routed_elsewhere_takes_its_proofs_along(kind: Kind) {
        let world = Partnered::new(kind).await;
        let board = &world.beta.board;
        let who = ("bea", "bea@beta.test");
        let token = world.token(board, "beta-idp", who).await;
        assert_eq!(world.told(board, &token).await, Some((who.1.to_owned(), json!(true))));
        let route = |connection: &str| format!("domains = [{{ name = \"beta.test\", connection = \"{connection}\" }}]");
        world.connect(&route("partner"), "").await;
        // The token that was issued before tells nothing now, and neither does another sign-in.
        assert_eq!(world.told(board, &token).await, None);
        let again = world.token(board, "beta-idp", who).await;
        assert_eq!(world.told(board, &again).await, None);
        let account = world.beta.world.app.broker.accounts.list_accounts(&"beta".parse().unwrap(), 10).await.unwrap();
        assert!(account.iter().all(|account| !account.email_verified), "{account:?}");
        world.connect(&route("beta-idp"), "").await;
        let back = world.token(board, "beta-idp", who).await;
        assert_eq!(world.told(board, &back).await, Some((who.1.to_owned(), json!(true))));
        // The word that an earlier version has kept of the partner's word counts no more either.
        let forged = world.token(board, "partner", ("forger", "ceo@beta.test")).await;
        world.beta.world.app.run_statement("UPDATE accounts SET email_verified = TRUE").await;
        assert_eq!(world.told(board, &forged).await, None);
    }
}

on_both_databases! {
    async fn row_114_an_expected_email_is_claimed_through_the_connection_that_speaks_for_it(kind: Kind) {
        let world = Partnered::new(kind).await;
        let expects = "[[organizations]]\nhandle = \"beta\"\nname = \"Beta\"\n[[organizations.accounts]]\nusername = \"chief\"\n\
                       expects = { connection = \"partner\", claim = \"email\", value = \"ceo@beta.test\" }\n";
        world.beta.world.app.apply(expects).await;
        let profiles = async || world.beta.world.app.broker.accounts.find_account("chief").await.unwrap().profiles.len();
        world.token(&world.beta.board, "partner", ("forger", "ceo@beta.test")).await;
        assert_eq!(profiles().await, 0, "the partner's word claimed an account of beta");
        world.connect("", "trusted_email_domains = [\"beta.test\"]").await;
        world.token(&world.beta.board, "partner", ("honest", "ceo@beta.test")).await;
        assert_eq!(profiles().await, 1);
    }
}

on_both_databases! {
    async fn row_114_what_cannot_be_trusted_is_refused_with_a_sentence(kind: Kind) {
        let world = Partnered::new(kind).await;
        let broker = &world.beta.world.app.broker;
        let refused = async |connection: &str| {
            let files = [("test.toml".to_owned(), world.document("", connection))];
            broker.organizations.apply(Caller::Operator(None), &files, false).await.unwrap_err().to_string()
        };
        for (domain, sentence) in [
            ("acme.test", "acme.test belongs to another organization"),
            ("mail.acme.test", "mail.acme.test belongs to another organization"),
            ("*.mail.acme.test", "*.mail.acme.test belongs to another organization"),
            ("co.uk", "names below this one are registered by the public"),
            ("gmail.com", "open to everybody"),
            ("nonsense", "at least two labels"),
            ("10.0.0.1", "an IP address is not a domain name"),
        ] {
            let error = refused(&format!("trusted_email_domains = [\"{domain}\"]")).await;
            assert!(error.contains("trusted_email_domains") && error.contains(sentence), "{domain}: {error}");
        }
        let many: Vec<String> = (0..101).map(|number| format!("\"d{number}.test\"")).collect();
        let error = refused(&format!("trusted_email_domains = [{}]", many.join(", "))).await;
        assert!(error.contains("has 101 entries, and 100 are allowed"), "{error}");
        // A domain that goes to another organization later: what is written stays, and counts for nothing.
        let settings = "trusted_email_domains = [\"partner.test\"]";
        world.connect("", settings).await;
        assert!(broker.organizations.export().await.unwrap().contains(settings), "export leaves it out");
        let globex = "[[organizations]]\nhandle = \"globex\"\nname = \"Globex\"\ndomains = [{ name = \"partner.test\" }]\n";
        world.beta.world.app.apply(globex).await;
        let token = world.token(&world.beta.board, "partner", ("late", "x@partner.test")).await;
        assert_eq!(world.told(&world.beta.board, &token).await, None);
    }
}

on_both_databases! {
    async fn row_114_several_tenants_are_no_authority_for_an_organizations_addresses(kind: Kind) {
        let world = Partnered::new(kind).await;
        let document = |issuer: &str, keys: &str| {
            format!(
                "[[organizations]]\nhandle = \"beta\"\nname = \"Beta\"\n[[organizations.connections]]\nhandle = \"many\"\n\
                 name = \"Many\"\nissuer = \"{issuer}\"\nclient_id = \"x\"\nemail_trust = \"authoritative\"\n{keys}\n"
            )
        };
        let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
        let common = "https://login.microsoftonline.com/common/v2.0";
        let google = "https://accounts.google.com";
        for (issuer, keys, good) in [
            (template, "tenants = [\"a\", \"b\"]", false),
            (template, "tenants = [\"a\", \"b\"]\nenabled = false", false),
            (template, "enabled = false", false),
            (template, "tenants = [\"a\", \"b\"]\nrequired_claims = { tid = [\"a\", \"b\"] }", false),
            (template, "tenants = [\"a\"]", true),
            (common, "required_claims = { tid = [\"a\", \"b\"] }", false),
            (common, "required_claims = { department = [\"a\"] }", false),
            (common, "required_claims = { tid = [\"a\"] }", true),
            (google, "required_claims = { hd = [\"a.test\", \"b.test\"] }", false),
            (google, "required_claims = { hd = [\"a.test\"] }", true),
            ("https://login.microsoftonline.com/72f3c1de/v2.0", "", true),
        ] {
            let files = [("test.toml".to_owned(), document(issuer, keys))];
            let applied = world.beta.world.app.broker.organizations.apply(Caller::Operator(None), &files, true).await.map_err(|error| error.to_string());
            match applied {
                Ok(_) => assert!(good, "{issuer} {keys}"),
                Err(error) => {
                    let named = error.contains("email_trust: \"authoritative\"") && error.contains("exactly one tenant");
                    assert!(!good && named, "{issuer} {keys}: {error}");
                }
            }
        }
    }
}

/// Victoria, whose email is `victoria@beta.test`, comes for the first time through the provider that speaks for it.
async fn victoria(world: &Partnered) -> (Browser, Page) {
    world.sign_in(&world.beta.board, "beta-idp", ("victoria", "victoria@beta.test")).await
}

fn assert_signed_in(world: &Partnered, page: &Page) {
    world.beta.board.code(page);
}

on_both_databases! {
    async fn row_115_an_account_that_a_provider_filled_with_her_address_is_not_offered(kind: Kind) {
        let world = Partnered::new(kind).await;
        world.connect("linking = true", "").await;
        let (mut attacker, page) =
            world.sign_in(&world.beta.board, "partner", ("trojan", "victoria@beta.test")).await;
        assert!(!page.has("link-1"), "{}", page.body);
        let page = attacker.press(page.expect(200, "link-skip"), "link-skip", &[]).await;
        assert_signed_in(&world, &page);
        // Also where an earlier version has taken the partner's word.
        world.beta.world.app.run_statement("UPDATE profiles SET email_verified = TRUE").await;
        world.beta.world.app.run_statement("UPDATE accounts SET email_verified = TRUE WHERE username IS NULL").await;
        let (_, page) = victoria(&world).await;
        assert_signed_in(&world, &page);
        // Where the owner trusts the partner for the domain, both sides are proven, and the offer names it.
        world.connect("linking = true", "trusted_email_domains = [\"beta.test\"]").await;
        let again = ("other", "victoria@beta.test");
        let (_, page) = world.sign_in(&world.beta.board, "partner", again).await;
        page.expect(200, "link-1");
    }
}

/// An account with her address, which is not proven, and a password.
fn trojan(verified: bool) -> String {
    format!(
        "[[organizations]]\nhandle = \"beta\"\nname = \"Beta\"\nlinking = true\n[[organizations.accounts]]\n\
         username = \"mallory\"\nemail = \"victoria@beta.test\"\nemail_verified = {verified}\nname = \"Mallory Moor\"\n\
         password = \"{PASSWORD}\"\n"
    )
}

on_both_databases! {
    async fn row_115_an_account_with_a_password_and_an_unproven_address_is_not_named(kind: Kind) {
        let world = Partnered::new(kind).await;
        world.beta.world.app.apply(&trojan(false)).await;
        let (mut browser, page) = victoria(&world).await;
        let shown = &page.expect(200, "link-accounts").body;
        assert!(!page.has("link-1"), "{shown}");
        for word in ["mallory", "m•••y", "Mallory", "Moor", "victoria@beta.test"] {
            assert!(!shown.contains(word), "{word} in {shown}");
        }
        // The user who knows its password may show so. The page that asks once more says what is not proven.
        let page = browser.press(&page, "link-accounts", &[]).await;
        let fields = [("username", "mallory"), ("password", PASSWORD)];
        let page = browser.press(page.expect(200, "sign-in"), "sign-in", &fields).await;
        let shown = &page.expect(200, "link-confirm").body;
        for word in ["User ID there", "<code>victoria</code>", "New here", "mallory", "Since"] {
            assert!(shown.contains(word), "{word} is missing: {shown}");
        }
        assert_eq!(shown.matches("This email address is not verified.").count(), 1, "{shown}");
        browser.language = "de";
        let german = browser.open(page.url.as_str()).await;
        for word in ["Kennung dort", "Neu hier", "Diese E-Mail-Adresse ist nicht bestätigt.", "Seit"] {
            assert!(german.body.contains(word), "{word} is missing: {}", german.body);
        }
        // Nothing is offered where the address is the operator's word on the other side: then it is named.
        world.beta.world.app.apply(&trojan(true)).await;
        let (_, page) = victoria(&world).await;
        assert!(page.expect(200, "link-1").body.contains("m•••y"), "{}", page.body);
    }
}
