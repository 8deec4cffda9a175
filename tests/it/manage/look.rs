//! How an organization's pages look: what is applied, and where people see it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::flows::manage::Change;

use super::{Office, changes};
use crate::harness::app::ISSUER;
use crate::harness::browser::Page;
use crate::harness::database::Kind;
use crate::harness::world::{PASSWORD, World};
use crate::on_both_databases;

const LOGO: &str =
    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 4 4\"><path d=\"M0 0h4v4z\"/></svg>";

fn acme(more: &str) -> String {
    format!("[[organizations]]\nhandle = \"acme\"\nname = \"Acme\"\n{more}\n")
}

/// A file with these bytes, and the key that names it.
fn logo_file(folder: &tempfile::TempDir, bytes: &[u8]) -> String {
    let path = folder.path().join("logo");
    std::fs::write(&path, bytes).unwrap();
    format!("logo_file = \"{}\"", path.display())
}

on_both_databases! {
    async fn a_look_is_applied_exported_changed_and_removed(kind: Kind) {
        let (office, folder) = (Office::new(kind).await, tempfile::tempdir().unwrap());
        let document = acme(&format!("accent = \"#0B5D5B\"\n{}", logo_file(&folder, LOGO.as_bytes())));
        assert_eq!(changes(&office.apply(&document).await), [Change::Created]);
        assert_eq!(changes(&office.apply(&document).await), [Change::Unchanged]);
        let exported = office.export().await;
        let logo = format!("logo = \"data:image/svg+xml;base64,{}\"", STANDARD.encode(LOGO));
        // On a dark background that green is not readable, so a lighter one is used.
        for line in ["accent = \"#0b5d5b\"", "accent_dark = \"#4e8988\"", &logo] {
            assert!(exported.contains(line), "{line} in {exported}");
        }
        assert_eq!(changes(&office.apply(&exported).await), [Change::Unchanged]);
        let other = acme("accent = \"#5b0b2f\"\naccent_dark = \"#ff9ac4\"");
        assert_eq!(changes(&office.apply(&other).await), [Change::Changed]);
        let exported = office.export().await;
        assert!(exported.contains("accent_dark = \"#ff9ac4\"") && !exported.contains("logo"), "{exported}");
        assert_eq!(changes(&office.apply(&acme("")).await), [Change::Changed]);
        assert!(!office.export().await.contains("accent"));
    }
}

on_both_databases! {
    async fn what_cannot_be_read_or_shown_is_refused_with_what_would_do(kind: Kind) {
        let (office, folder) = (Office::new(kind).await, tempfile::tempdir().unwrap());
        let large = format!("{}{}</svg>", &LOGO[..LOGO.len() - 6], " ".repeat(5_000));
        for (more, told) in [
            ("accent = \"#ffdd00\"".to_owned(), "has a contrast of 1.29:1, and 4.5:1 is the least"),
            ("accent = \"#ffdd00\"".to_owned(), "write accent = \"#857300\", the nearest colour that passes"),
            ("accent = \"#0b5d5b\"\naccent_dark = \"#001f5b\"".to_owned(), "write accent_dark = \"#6e80a2\""),
            ("accent_dark = \"#ff9ac4\"".to_owned(), "needs accent"),
            ("accent = \"teal\"".to_owned(), "six hexadecimal digits"),
            ("logo_file = \"/nowhere/logo.png\"".to_owned(), "/nowhere/logo.png: No such file"),
            (logo_file(&folder, large.as_bytes()), "4 KiB at most"),
            ("logo = \"https://acme.test/logo.png\"".to_owned(), "name a file with logo_file"),
            ("logo = \"data:image/png;base64,PHN2Zz48L3N2Zz4=\"".to_owned(), "PNG, SVG, WebP or JPEG"),
        ] {
            let error = office.try_apply(&acme(&more)).await.unwrap_err().to_string();
            assert!(error.contains(told), "{told} in {error}");
        }
        assert!(!office.export().await.contains("acme"), "nothing is half applied");
    }
}

/// An address of the broker's.
fn at(path: &str) -> String {
    format!("{ISSUER}{path}")
}

/// The stylesheet that a page names.
fn style_of(page: &Page) -> String {
    let found = page.body.split("rel=\"stylesheet\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
    found.expect("a stylesheet").to_owned()
}

fn globex(more: &str) -> String {
    acme(more).replace("acme", "globex").replace("Acme", "Globex")
}

on_both_databases! {
    async fn an_organizations_own_pages_wear_its_look_and_nobody_elses_do(kind: Kind) {
        let (world, folder) = (World::new(kind).await, tempfile::tempdir().unwrap());
        let mut browser = world.browser();
        let asked = world.globex_app.authorize_url(&[]);
        assert!(style_of(&browser.open(&asked).await).starts_with("/assets/countersign."), "it has chosen nothing");
        let look = format!("accent = \"#5b0b2f\"\n{}", logo_file(&folder, LOGO.as_bytes()));
        world.app.apply(&globex(&look)).await;
        let page = browser.open(&asked).await;
        let style = style_of(&page);
        assert!(page.body.contains("class=\"logo\"") && page.body.contains(">Globex<"), "{}", page.body);
        let sheet = browser.open(&at(&style)).await;
        assert_eq!(sheet.headers["content-type"], "text/css; charset=utf-8");
        assert_eq!(sheet.headers["cache-control"], "public, max-age=31536000, immutable");
        let dark = "(prefers-color-scheme:dark){:root{--accent:#";
        for rule in ["--accent:#5b0b2f", dark, "url(data:image/svg+xml;base64,"] {
            assert!(sheet.body.contains(rule), "{rule} in {}", sheet.body);
        }
        browser.press(&page, "sign-in", &[("username", "gil"), ("password", PASSWORD)]).await;
        for own in ["/account", "/oauth2/logout"] {
            assert_eq!(style_of(&browser.open(&at(own)).await), style, "{own}");
        }
        // A page of no organization, and one of another organization.
        let mut other = world.browser();
        for address in [at("/account"), at("/nowhere"), world.notes.authorize_url(&[])] {
            let page = other.open(&address).await;
            assert!(style_of(&page).starts_with("/assets/countersign."), "{address}");
        }
        // A browser with an older page gets the present stylesheet, this once.
        world.app.apply(&globex("accent = \"#0b5d5b\"")).await;
        let old = browser.open(&at(&style)).await;
        assert!(old.body.contains("--accent:#0b5d5b"), "{}", old.body);
        assert_eq!(old.headers["cache-control"], "no-store");
        let page = browser.open(&at("/account")).await;
        assert!(style_of(&page) != style && !page.body.contains("class=\"logo\""));
    }
}

on_both_databases! {
    async fn an_organization_without_a_look_is_like_one_that_is_not_there(kind: Kind) {
        let world = World::new(kind).await;
        let mut browser = world.browser();
        let exported = world.app.broker.organizations.export().await.unwrap();
        let there = exported.split("id = \"org_").nth(1).unwrap().split('"').next().unwrap();
        let mut answers = Vec::new();
        for id in [there, "0190000000007000800000000000ffff"] {
            let page = browser.open(&at(&format!("/assets/org_{id}.0000000000000000.css"))).await;
            answers.push((page.status, page.headers["cache-control"].clone(), page.body));
        }
        assert_eq!(answers[0], answers[1]);
        for file in ["org_1.css", "acc_0190000000007000800000000000ffff.00.css", "org_.css"] {
            assert_eq!(browser.open(&at(&format!("/assets/{file}"))).await.status, 404, "{file}");
        }
    }
}
