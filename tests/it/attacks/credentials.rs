//! Passwords under attack: rows 86 to 92.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, header};
use tokio::sync::Barrier;

use super::tools::{FORM, form, request, tokens_of_gil};
use crate::harness::app::{ISSUER, TestApp};
use crate::harness::browser::{Browser, Network, Page};
use crate::harness::database::Kind;
use crate::harness::evidence::Evidence;
use crate::harness::world::{PASSWORD, World};
use crate::on_both_databases;

const WRONG: &str = "Wrong7password";

/// Accounts of which a stranger must not learn anything.
const PEOPLE: &str = r#"
[[organizations]]
handle = "globex"
name = "Globex"

[[organizations.accounts]]
username = "sso-only"
email = "sso-only@globex.test"

[[organizations.accounts]]
username = "switched-off"
email = "switched-off@globex.test"
password = "Correct7horse"
enabled = false
"#;

/// Tries a password from a browser's own sign-in page.
async fn guess(browser: &mut Browser, start: &str, username: &str, password: &str) -> Page {
    let page = browser.open(start).await;
    page.expect(200, "sign-in");
    browser.press(&page, "sign-in", &[("username", username), ("password", password)]).await
}

/// Status, `Retry-After` and page.
type Bare = (u16, Option<String>, String);

/// An answer without what is new in each: sealed values, the receipt, and what was entered.
fn bare(page: &Page, entered: &str) -> Bare {
    let receipt = page.text("receipt").unwrap_or_default();
    let code = receipt.split_whitespace().last().unwrap_or("no receipt");
    let body = page.body.replace(code, "RECEIPT").replace(&format!("value=\"{entered}\""), "ENTERED");
    let sealed = |text: &str| {
        text.len() >= 40 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_%".contains(&b))
    };
    let parts: Vec<&str> = body.split_inclusive(['"', '=', '&', ';']).collect();
    let kept = parts.into_iter().map(|part| {
        let (text, end) = part.split_at(part.len() - 1);
        if sealed(text) { format!("SEALED{end}") } else { part.to_owned() }
    });
    let wait = page.headers.get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
    (page.status.as_u16(), wait, kept.collect::<Vec<_>>().concat())
}

on_both_databases! {
    async fn row_86_no_answer_says_who_has_an_account(kind: Kind) {
        let world = World::new(kind).await;
        world.app.apply(PEOPLE).await;
        let start = world.globex_app.authorize_url(&[]);
        let names = ["gil", "carol", "nobody", "sso-only", "switched-off", "no such name", "x", "bob@nowhere.test", "\u{fc}ber"];
        let before = Evidence::now(&world.app).await;
        let mut seen: Vec<BTreeMap<Bare, Vec<&str>>> = vec![BTreeMap::new(); 13];
        for name in names {
            // Until and past the point at which the name is stopped.
            for answers in &mut seen {
                let page = guess(&mut world.browser(), &start, name, WRONG).await;
                answers.entry(bare(&page, name)).or_default().push(name);
            }
        }
        for (turn, answers) in seen.iter().enumerate() {
            assert_eq!(answers.len(), 1, "guess {turn}: {:#?}", answers.values().collect::<Vec<_>>());
            let (status, wait, body) = answers.keys().next().unwrap();
            assert_eq!((*status, wait.is_some()), if turn < 10 { (403, false) } else { (429, true) }, "guess {turn}");
            assert!(body.contains("ENTERED") && body.contains("RECEIPT"), "{body}");
        }
        // Once the name is stopped, the right password gets the same response as a wrong one and as an unknown name.
        let stopped = ["gil", "nobody", "switched-off"];
        let answers = async |name| bare(&guess(&mut world.browser(), &start, name, PASSWORD).await, name);
        let first = answers(stopped[0]).await;
        for name in stopped {
            assert_eq!(answers(name).await, first, "{name}");
        }
        before
            .assert_exactly(
                &world.app,
                &[],
                // Each name has room of its own: of every guess there is a record.
                &[
                    ("sign_in refused guesses_account", 31),
                    ("sign_in refused unknown_username", 50),
                    ("sign_in refused wrong_password", 40),
                ],
            )
            .await;
    }
}

on_both_databases! {
    async fn row_86_no_answer_says_who_signs_in_where(kind: Kind) {
        let world = World::with(kind, "routing = \"closed\"\nlocal_sign_in = \"none\"", "").await;
        let start = world.globex_app.authorize_url(&[]);
        let before = Evidence::now(&world.app).await;
        // Where passwords are off, the right one is a wrong one.
        let right = bare(&guess(&mut world.browser(), &start, "carol", PASSWORD).await, "carol");
        let wrong = bare(&guess(&mut world.browser(), &start, "nobody", PASSWORD).await, "nobody");
        assert_eq!(right, wrong);
        // A closed organization is not there: neither by a domain, nor by a handle, nor in an email address.
        let mut answers = BTreeMap::new();
        for name in ["acme.test", "mail.acme.test", "nowhere.test", "acme", "nothing", "bob@acme.test", "bob@nowhere.test"] {
            let mut browser = world.browser();
            let page = browser.open(&start).await;
            let page = browser.click(&page, "use-custom-domain").await;
            let page = browser.press(&page, "continue", &[("domain", name)]).await;
            answers.entry(bare(&page, name)).or_insert_with(Vec::new).push(name);
        }
        assert_eq!(answers.len(), 1, "{:?}", answers.values().collect::<Vec<_>>());
        let mut answers = BTreeMap::new();
        for name in ["bob@acme.test", "bob@nowhere.test"] {
            let page = guess(&mut world.browser(), &start, name, WRONG).await;
            answers.entry(bare(&page, name)).or_insert_with(Vec::new).push(name);
            let hinted = world.browser().open(&world.globex_app.authorize_url(&[("login_hint", name)])).await;
            hinted.expect(200, "sign-in");
        }
        assert_eq!(answers.len(), 1, "{:?}", answers.values().collect::<Vec<_>>());
        before
            .assert_exactly(
                &world.app,
                &[],
                &[
                    ("sign_in refused local_sign_in_off", 1),
                    ("sign_in refused unknown_name", 7),
                    ("sign_in refused unknown_username", 3),
                ],
            )
            .await;
    }
}

/// Lets all guesses go at once; gives how many were checked.
async fn guess_at_once(
    networks: &[Network],
    starts: &[String],
    names: &[&'static str],
    times: usize,
) -> usize {
    let barrier = Arc::new(Barrier::new(times));
    let mut tasks = Vec::new();
    for number in 0..times {
        let mut browser = Browser::new(&networks[number % networks.len()]);
        let page = browser.open(&starts[number % starts.len()]).await;
        let (barrier, name) = (Arc::clone(&barrier), names[number % names.len()]);
        tasks.push(tokio::spawn(async move {
            barrier.wait().await;
            browser.press(&page, "sign-in", &[("username", name), ("password", WRONG)]).await
        }));
    }
    let mut checked = 0;
    for task in tasks {
        let page = task.await.unwrap();
        match page.error().as_deref() {
            Some("bad_credentials") => checked += 1,
            Some("too_many_attempts" | "busy") => assert!(page.headers.contains_key(header::RETRY_AFTER)),
            other => panic!("{other:?} {}", page.body),
        }
    }
    checked
}

/// Spellings of one name.
const SPELLINGS: [&str; 6] = ["gil", "GIL", "Gil", " gil ", "gIL\t", "\u{a0}GiL"];

on_both_databases! {
    async fn row_87_two_hundred_guesses_at_once(kind: Kind) {
        let world = World::new(kind).await;
        let other = world.app.second_node().await;
        let networks = [world.app.network.clone(), other.network.clone()];
        // An app's sign-in, another app's, and the user's own page.
        let starts = [world.globex_app.authorize_url(&[]), world.notes.authorize_url(&[]), format!("{ISSUER}/account")];
        let before = Evidence::now(&world.app).await;
        let checked = guess_at_once(&networks, &starts, &SPELLINGS, 200).await;
        assert!((1..=10).contains(&checked), "{checked}");
        let changes = before.changes(&world.app).await;
        assert!(changes.rows.is_empty(), "{changes:?}");
        let recorded = changes.audit.iter().filter(|line| *line == "sign_in refused wrong_password").count();
        assert_eq!(recorded, checked);
        // The right password waits like any other.
        let start = &starts[0];
        let page = guess(&mut Browser::new(&networks[1]), start, "Gil", PASSWORD).await;
        assert_eq!(page.error().as_deref(), Some("too_many_attempts"), "{}", page.body);
        // A wait that is over lets one guess through, not two hundred.
        world.app.clock.advance(Duration::from_mins(20));
        let checked = guess_at_once(&networks, &starts, &SPELLINGS, 50).await;
        assert!(checked <= 1, "{checked}");
        world.app.clock.advance(Duration::from_mins(20));
        let page = guess(&mut world.browser(), start, "gil", PASSWORD).await;
        assert!(page.location_parameter("code").is_some(), "{}", page.body);
    }
}

on_both_databases! {
    async fn row_88_every_spelling_and_every_way_counts_in_one_place(kind: Kind) {
        let world = World::new(kind).await;
        let other = world.app.second_node().await;
        let before = Evidence::now(&world.app).await;
        let starts = [world.globex_app.authorize_url(&[]), world.notes.authorize_url(&[]), format!("{ISSUER}/account")];
        for names in [SPELLINGS, ["nobody", "NOBODY", "Nobody", " nobody", "nobody\t", "noBody "]] {
            let mut checked = 0;
            for number in 0..18 {
                let network = if number % 2 == 0 { &world.app.network } else { &other.network };
                let mut browser = Browser::new(network);
                let page = guess(&mut browser, &starts[number % 3], names[number % 6], WRONG).await;
                checked += usize::from(page.error().as_deref() == Some("bad_credentials"));
            }
            assert_eq!(checked, 10, "{names:?}");
            for name in names {
                let page = guess(&mut world.browser(), &starts[0], name, PASSWORD).await;
                assert_eq!(page.error().as_deref(), Some("too_many_attempts"), "{name:?}");
            }
        }
        // Two names, one network: a row for each.
        let rows = world.app.count_rows(&["guesses"]).await;
        assert_eq!(rows["guesses"], 3);
        before
            .assert_exactly(
                &world.app,
                &[],
                &[
                    ("sign_in refused guesses_account", 28),
                    ("sign_in refused unknown_username", 10),
                    ("sign_in refused wrong_password", 10),
                ],
            )
            .await;
    }
}

on_both_databases! {
    async fn a_password_that_cannot_be_checked_is_no_guess(kind: Kind) {
        let world = World::new(kind).await;
        let start = world.globex_app.authorize_url(&[]);
        crate::harness::watch::expect_errors();
        world.app.run_statement("UPDATE passwords SET hash = 'x' || hash").await;
        // More often than a wrong one might be tried.
        for _ in 0..12 {
            let page = guess(&mut world.browser(), &start, "gil", PASSWORD).await;
            assert_eq!((page.status.as_u16(), page.error().as_deref()), (503, Some("temporarily_unavailable")));
        }
        world.app.run_statement("UPDATE passwords SET hash = SUBSTR(hash, 2)").await;
        let page = guess(&mut world.browser(), &start, "gil", PASSWORD).await;
        assert!(page.location_parameter("code").is_some(), "{}", page.body);
    }
}

on_both_databases! {
    async fn row_89_an_attacker_cannot_lock_a_person_out_of_their_own_browser(kind: Kind) {
        let world = World::new(kind).await;
        let start = world.globex_app.authorize_url(&[("prompt", "login")]);
        let mut home = world.browser();
        tokens_of_gil(&world, &mut home).await;
        // The attacker's browser knows an account too, but another one.
        let mut attacker = world.browser();
        let page = attacker.open(&format!("{ISSUER}/account")).await;
        attacker.press(&page, "sign-in", &[("username", "carol"), ("password", PASSWORD)]).await.expect(200, "this-session");
        // Far enough that the password is stopped for a day.
        let mut checked = 0;
        for _ in 0..100 {
            world.app.clock.advance(Duration::from_mins(16));
            let page = guess(&mut attacker, &start, "gil", WRONG).await;
            checked += usize::from(page.error().as_deref() == Some("bad_credentials"));
        }
        assert_eq!(checked, 100);
        world.app.clock.advance(Duration::from_hours(2));
        let page = guess(&mut attacker, &start, "gil", PASSWORD).await;
        assert_eq!(page.error().as_deref(), Some("too_many_attempts"), "{}", page.body);
        let page = guess(&mut world.browser(), &start, "gil", PASSWORD).await;
        assert_eq!(page.error().as_deref(), Some("too_many_attempts"), "{}", page.body);
        let before = Evidence::now(&world.app).await;
        let page = guess(&mut home, &start, "gil", PASSWORD).await;
        assert!(page.location_parameter("code").is_some(), "{}", page.body);
        let changes = before.changes(&world.app).await;
        assert!(changes.audit.contains(&"sign_in done".to_owned()), "{changes:?}");
        // The known browser is not unlimited either: it has a count of its own.
        let mut checked = 0;
        for _ in 0..20 {
            let page = guess(&mut home, &start, "gil", WRONG).await;
            checked += usize::from(page.error().as_deref() == Some("bad_credentials"));
        }
        assert_eq!(checked, 10);
    }
}

/// Guesses once with an unknown name, with this `X-Forwarded-For`.
async fn guess_from(world: &World, name: &str, forwarded: &[(&str, &str)]) {
    let mut browser = world.browser();
    let page = browser.open(&world.globex_app.authorize_url(&[])).await;
    let flow = page.url.query_pairs().find(|(name, _)| name == "flow").unwrap().1.into_owned();
    let cookies = browser.cookies_of("id.test");
    let cookies: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let cookies = cookies.join("; ");
    let mut headers = vec![FORM, ("cookie", cookies.as_str()), ("sec-fetch-site", "same-origin")];
    headers.extend(forwarded);
    let body = form(&[("flow", &flow), ("username", name), ("password", WRONG)]);
    let answer = world.app.network.send(request(Method::POST, "/signin", &headers, &body)).await;
    assert_eq!(answer.status(), 403, "{forwarded:?}");
}

on_both_databases! {
    async fn row_90_an_address_that_somebody_claims(kind: Kind) {
        const SPOOFED: [&[(&str, &str)]; 7] = [
            &[("x-forwarded-for", "203.0.113.1")],
            &[("x-forwarded-for", "203.0.113.2, 10.0.0.1")],
            &[("x-forwarded-for", "a")],
            &[("x-forwarded-for", "2001:db8::1")],
            &[("forwarded", "for=203.0.113.3")],
            &[("x-real-ip", "203.0.113.4"), ("cf-connecting-ip", "203.0.113.5"), ("true-client-ip", "203.0.113.6")],
            &[("x-forwarded-for", "127.0.0.1"), ("x-forwarded-for", "203.0.113.7")],
        ];
        // A peer that is not a trusted proxy is counted under its own address: every guess counts against one network.
        let world = World::new(kind).await;
        let before = Evidence::now(&world.app).await;
        for (number, headers) in SPOOFED.iter().enumerate() {
            guess_from(&world, &format!("nobody-{number}"), headers).await;
        }
        let rows = world.app.count_rows(&["guesses"]).await["guesses"];
        assert_eq!(rows, 7 + 1, "seven names, one network");
        before.assert_only_refused(&world.app, &["sign_in refused unknown_username"; 7]).await;
        // Behind a proxy of ours the last address that it saw counts; what cannot be read is the proxy's own.
        let world = World::configured(kind, &[("COUNTERSIGN__SERVER__TRUSTED_PROXIES", "127.0.0.1/32")]).await;
        let before = Evidence::now(&world.app).await;
        let rows = async || world.app.count_rows(&["guesses"]).await["guesses"];
        for (number, value) in ["203.0.113.1", "1.1.1.1, 203.0.113.1", "a, 203.0.113.1", "203.0.113.1, 127.0.0.1"].iter().enumerate() {
            guess_from(&world, &format!("same-{number}"), &[("x-forwarded-for", value)]).await;
            assert_eq!(rows().await, i64::try_from(number).unwrap() + 2, "{value}");
        }
        let rows_before = rows().await;
        for (number, value) in ["a", "", "203.0.113.9, a", "unknown", "203.0.113.9;"].iter().enumerate() {
            guess_from(&world, &format!("unread-{number}"), &[("x-forwarded-for", value)]).await;
        }
        assert_eq!(rows().await, rows_before + 5 + 1, "five names, the proxy's own network");
        // Nor is the broker anywhere else because a header says so.
        let evil = [("x-forwarded-host", "evil.test"), ("x-forwarded-proto", "http"), ("forwarded", "host=evil.test;proto=http"), ("x-original-url", "/account"), ("x-rewrite-url", "/account")];
        let answer = world.app.network.send(request(Method::GET, "/.well-known/openid-configuration", &evil, "")).await;
        let said: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(said["issuer"], ISSUER);
        assert!(!said.to_string().contains("evil.test"), "{said}");
        before.assert_only_refused(&world.app, &["sign_in refused unknown_username"; 9]).await;
    }
}

on_both_databases! {
    async fn row_91_five_hundred_sign_ins_at_once(kind: Kind) {
        let settings = [
            ("COUNTERSIGN__PASSWORDS__MAX_PARALLEL", "1"),
            ("COUNTERSIGN__PASSWORDS__QUEUE", "4"),
            ("COUNTERSIGN__LIMITS__SOCKETS_PER_ADDRESS", "2000"),
        ];
        let world = World::configured(kind, &settings).await;
        let start = world.globex_app.authorize_url(&[]);
        // A user who has signed in here before, in a browser that knows them.
        let mut gils = world.browser();
        guess(&mut gils, &start, "gil", PASSWORD).await;
        gils.cookies.get_mut("id.test").unwrap().retain(|name, _| name.contains("known"));
        let gils_page = gils.open(&start).await;
        gils_page.expect(200, "sign-in");
        // Fifty browsers, each of which presses its button ten times at once, each time for another name.
        let mut pages = Vec::new();
        for _ in 0..50 {
            let mut browser = world.browser();
            let page = browser.open(&start).await;
            pages.push((browser, page));
        }
        let before = Evidence::now(&world.app).await;
        let barrier = Arc::new(Barrier::new(501));
        let tasks: Vec<_> = (0..500)
            .map(|number| {
                let (mut browser, page) = pages[number % 50].clone();
                let barrier = Arc::clone(&barrier);
                tokio::spawn(async move {
                    barrier.wait().await;
                    let name = format!("nobody-{number}");
                    browser.press(&page, "sign-in", &[("username", &name), ("password", WRONG)]).await
                })
            })
            .collect();
        barrier.wait().await;
        // The crowd takes no room from users who have signed in here before.
        let page = gils.press(&gils_page, "sign-in", &[("username", "gil"), ("password", PASSWORD)]).await;
        let told = page.error();
        assert!(told.is_none() || told.as_deref() == Some("temporarily_unavailable"), "{told:?}");
        // Requests that need no password check are served in the meantime.
        for path in ["/oauth2/jwks", "/.well-known/openid-configuration", "/signin"] {
            let answer = world.app.network.send(request(Method::GET, path, &[], "")).await;
            assert!(answer.status().is_success() || answer.status() == 303, "{path}");
        }
        let mut counts = BTreeMap::new();
        for task in tasks {
            let page = task.await.unwrap();
            let told = page.error().unwrap_or_default();
            let status = match told.as_str() {
                "bad_credentials" => 403,
                // The database may fall behind with so many records at once; then the response says so.
                "temporarily_unavailable" => 503,
                _ => 429,
            };
            assert_eq!(page.status, status, "{told}");
            assert_eq!(page.headers.contains_key(header::RETRY_AFTER), status != 403, "{told}");
            *counts.entry(told).or_insert(0) += 1;
        }
        assert_eq!(counts.values().sum::<i32>(), 500);
        assert!(counts["busy"] > 0 && counts["bad_credentials"] > 0, "{counts:?}");
        assert!(counts.keys().all(|told| ["busy", "bad_credentials", "too_many_attempts", "temporarily_unavailable"].contains(&told.as_str())), "{counts:?}");
        // Only the user who knows a password is signed in.
        let changes = before.changes(&world.app).await;
        let done = changes.audit.iter().filter(|line| *line == "sign_in done").count();
        assert_eq!(done, usize::from(told.is_none()), "{:?}", changes.audit);
        let left = changes.rows.get("sessions").copied().unwrap_or_default();
        assert_eq!(left, i64::try_from(done).unwrap(), "{:?}", changes.rows);
        // Afterwards the room is there again.
        world.app.clock.advance(Duration::from_mins(20));
        let page = guess(&mut world.browser(), &start, "gil", PASSWORD).await;
        assert!(page.location_parameter("code").is_some(), "{}", page.body);
    }
}

on_both_databases! {
    async fn row_91_a_password_that_is_too_long_is_not_hashed(kind: Kind) {
        let world = World::new(kind).await;
        let start = world.globex_app.authorize_url(&[]);
        let before = Evidence::now(&world.app).await;
        for length in [1_025, 1_026, 10_000, 60_000] {
            for name in ["gil", "nobody"] {
                let page = guess(&mut world.browser(), &start, name, &"x".repeat(length)).await;
                assert_eq!((page.status.as_u16(), page.error().as_deref()), (422, Some("password_too_long")), "{length}");
            }
        }
        // It was no guess: nothing was counted.
        assert_eq!(world.app.count_rows(&["guesses"]).await["guesses"], 0);
        before.assert_only_refused(&world.app, &["sign_in refused password_too_long"; 8]).await;
        let page = guess(&mut world.browser(), &start, "gil", &"x".repeat(1_024)).await;
        assert_eq!((page.status.as_u16(), page.error().as_deref()), (403, Some("bad_credentials")));
        assert_eq!(world.app.count_rows(&["guesses"]).await["guesses"], 2);
    }
}

on_both_databases! {
    async fn row_92_nothing_is_cut_off(kind: Kind) {
        let long = format!("Aa1{}", "x".repeat(61));
        let very_long = format!("{}-end", "long phrase ".repeat(12));
        let name = "n".repeat(64);
        for (rules, password) in [("classic", &long), ("nist", &very_long)] {
            let app = TestApp::configured(kind, &[("COUNTERSIGN__PASSWORDS__POLICY", rules)]).await;
            let document = format!(
                "[[organizations]]\nhandle = \"globex\"\nname = \"Globex\"\n[[organizations.accounts]]\n\
                 username = \"{name}\"\nemail = \"n@globex.test\"\npassword = \"{password}\"\n"
            );
            app.apply(&document).await;
            let start = format!("{ISSUER}/account");
            let cut = &password[..password.len() - 1];
            let mut wrong = vec![format!("{cut}y"), cut.to_owned(), format!("{password}y"), format!("{password}\0"), format!("{cut}\0x")];
            wrong.extend([56, 55, 50].map(|length| password[..length].to_owned()));
            let before = Evidence::now(&app).await;
            for wrong in &wrong {
                let page = guess(&mut app.browser(), &start, &name, wrong).await;
                assert_eq!(page.error().as_deref(), Some("bad_credentials"), "{wrong:?}");
            }
            before.assert_only_refused(&app, &vec!["sign_in refused wrong_password"; wrong.len()]).await;
            // Nor is the name: one letter more, fewer or other is another name.
            for other in [&name[1..], &format!("{name}n"), &format!("{}m", &name[1..])] {
                let page = guess(&mut app.browser(), &start, other, password).await;
                assert_eq!(page.error().as_deref(), Some("bad_credentials"), "{other}");
            }
            let page = guess(&mut app.browser(), &start, &name, password).await;
            page.expect(200, "this-session");
        }
    }
}
