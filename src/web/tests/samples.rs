//! Every page in every state.

use std::time::Duration;

use askama::Template;

use crate::flows::account::{LedgerView, ProfileView};
use crate::flows::refusal::{PublicCode, Wait};
use crate::flows::sign_in::SignInPurpose;
use crate::flows::sign_in::password_link::{BrokenRule, PasswordRules};
use crate::model::{LedgerId, LedgerKind, ProfileId, Role, Timestamp};
use crate::web::account::link::{Alternative, Candidate, LinkConfirm, LinkOffer, LinkSide, Merge};
use crate::web::account::own_links::{AddProfile, MailCode, Undo, Unlink};
use crate::web::account::{Account, Done, SessionRow, SignedInVia};
use crate::web::errors::status;
use crate::web::pages::{AppHome, Brand, ErrorPage, Failure, Form, Frame, Logout, Pages, Repost, SignedOut};
use crate::web::sign_in::consent::Consent;
use crate::web::sign_in::password::{PasswordSet, SetPassword};
use crate::web::sign_in::{Choice, ConnectionChoice, DomainEntry, SignIn};
use crate::web::text::locale::Locale;

pub(super) struct Sample {
    pub(super) name: String,
    pub(super) locale: Locale,
    pub(super) html: String,
}

fn brand(name: &str) -> Brand {
    Brand { name: name.to_owned(), ..Brand::default() }
}

/// Renders every state of every page. `noun` replaces every name that comes from outside.
pub(super) struct Samples<'a> {
    pages: &'a Pages,
    locale: Locale,
    noun: Option<&'static str>,
    done: Vec<Sample>,
}

impl<'a> Samples<'a> {
    fn noun(&self, usual: &str) -> String {
        self.noun.unwrap_or(usual).to_owned()
    }

    fn frame(&self, here: &str) -> Frame<'a> {
        let mut frame = self.pages.frame(self.locale, here);
        frame.app = Some(self.noun("Notes"));
        frame.organization = self.noun.map(brand);
        frame
    }

    fn failed_frame(&self, here: &str) -> Frame<'a> {
        let mut frame = self.frame(here);
        frame.receipt = Some("7F3K-Q2".into());
        frame
    }

    fn add(&mut self, name: &str, page: &impl Template) {
        let html = page.render().unwrap();
        self.done.push(Sample { name: name.to_owned(), locale: self.locale, html });
    }

    fn form(&self) -> Form {
        Form { token: self.noun("token"), flow: Some(self.noun("flow-handle")) }
    }

    fn person(&self) -> String {
        self.noun("bob@acme.test")
    }

    fn app(&self) -> AppHome {
        AppHome { name: self.noun("Notes"), home: "https://notes.acme.test/".into() }
    }

    fn connections(&self) -> Vec<ConnectionChoice> {
        [("acme-idp", "Acme SSO", "idp.acme.test"), ("partners", "Partners", "login.microsoftonline.com")]
            .map(|(handle, name, provider)| ConnectionChoice {
                button: format!("connection-{handle}"),
                handle: handle.into(),
                value: self.noun(handle),
                name: self.noun(name),
                provider: self.noun(provider),
            })
            .into()
    }

    fn sign_in(&mut self) {
        let here = "/signin?flow=flow-handle";
        let page = |frame, failure| SignIn {
            frame,
            form: self.form(),
            username: None,
            connections: Vec::new(),
            failure,
            purpose: SignInPurpose::SignIn,
        };
        let empty = page(self.frame(here), None);
        let refused = SignIn {
            username: Some(self.noun("bob")),
            ..page(self.failed_frame(here), Some(Failure::new(PublicCode::BadCredentials)))
        };
        let wait = Failure::new(PublicCode::TooManyAttempts(Wait(Some(Duration::from_secs(150)))));
        let paused = SignIn { username: Some("bob".into()), ..page(self.failed_frame(here), Some(wait)) };
        let mut frame = self.frame(here);
        frame.organization = Some(brand(&self.noun("Acme")));
        let own = SignIn { connections: self.connections(), ..page(frame, None) };
        let again = SignIn {
            purpose: SignInPurpose::Reauthenticate,
            username: Some(self.noun("bob")),
            ..page(self.frame(here), None)
        };
        let link = SignIn {
            purpose: SignInPurpose::Link,
            connections: self.connections(),
            ..page(self.frame(here), None)
        };
        self.add("sign-in", &empty);
        self.add("sign-in-refused", &refused);
        self.add("sign-in-paused", &paused);
        self.add("sign-in-organization", &own);
        self.add("sign-in-anew", &again);
        self.add("sign-in-link", &link);
        self.add("sign-in-link-password", &SignIn { connections: Vec::new(), ..link });
    }

    #[expect(clippy::too_many_lines, reason = "one state after another")]
    fn link(&mut self) {
        let here = "/link?flow=flow-handle";
        let candidate = |provider: Option<&str>, hint: &str| Candidate {
            value: self.noun("pro_1"),
            provider: provider.map(|name| self.noun(name)),
            hint: Some(self.noun(hint)),
        };
        let candidates = vec![
            candidate(None, "c•••l"),
            candidate(Some("Partners"), "login.microsoftonline.com"),
            candidate(Some("Acme SSO"), "idp.acme.test"),
        ];
        let named = LinkOffer {
            frame: self.frame(here),
            form: self.form(),
            email: Some(self.noun("bob@acme.test")),
            provider: Some(self.noun("Acme SSO")),
            candidates,
            may_skip: true,
            failure: None,
        };
        self.add("link", &named);
        let failure = Some(Failure::new(PublicCode::LinkUnanswered));
        let page = LinkOffer { frame: self.failed_frame(here), failure, ..named };
        self.add("link-unanswered", &page);
        let signed_in = LinkOffer { frame: self.frame(here), provider: None, failure: None, ..page };
        self.add("link-another", &signed_in);
        let unnamed = LinkOffer {
            frame: self.frame(here),
            form: self.form(),
            email: None,
            provider: None,
            candidates: Vec::new(),
            may_skip: false,
            failure: None,
        };
        self.add("link-unnamed", &unnamed);
        let side = |provider: Option<&str>, is_account: bool| LinkSide {
            provider: provider.map(|name| self.noun(name)),
            host: provider.map(|_| self.noun("idp.acme.test")),
            label: Some(self.noun(if provider.is_some() { "bob@acme.test" } else { "carol" })),
            details: vec![self.noun("Bob Berger")],
            subject: provider.map(|_| self.noun("00u1a2b3c4d5e6f7g8h9")),
            since: is_account.then(|| Timestamp::from_unix_seconds(1_761_200_000)),
            is_unproven: provider.is_none(),
            account: is_account.then(|| self.noun(if provider.is_some() { "acc_1" } else { "acc_2" })),
        };
        let confirm = LinkConfirm {
            frame: self.frame("/link/confirm?flow=flow-handle"),
            form: self.form(),
            sides: [side(Some("Acme SSO"), false), side(None, true)],
            merge: None,
        };
        let both = |one: &str, two: &str| {
            [one, two].map(|text| Alternative { value: self.noun("acc_1"), label: self.noun(text) })
        };
        let merge = Merge {
            usernames: Some(both("bob", "carol")),
            roles: vec![Role::Owner, Role::Member],
            knowing_one: [vec![self.noun("Notes"), self.noun("Wiki")], vec![self.noun("Board")]],
            knowing_both: vec![self.noun("Mail")],
        };
        let sides = [side(Some("Acme SSO"), true), side(None, true)];
        let frame = self.frame("/link/confirm?flow=flow-handle");
        self.add("link-confirm", &confirm);
        self.add("merge-confirm", &LinkConfirm { frame, merge: Some(merge), sides, ..confirm });
    }

    fn profile_row(&self, provider: Option<&str>, current: bool) -> ProfileView {
        ProfileView {
            profile: ProfileId::from_bytes([1; 16]),
            provider: provider.map(|name| self.noun(name)),
            issuer: provider.map(|_| self.noun("https://idp.acme.test:9001")),
            label: Some(self.noun("bob@acme.test")),
            since: Timestamp::from_unix_seconds(1_761_200_000),
            last_used: current.then(|| Timestamp::from_unix_seconds(1_763_898_180)),
            current,
            may_unlink: true,
        }
    }

    fn ledger_row(&self, kind: LedgerKind, undo: bool) -> LedgerView {
        LedgerView {
            id: LedgerId::from_bytes([1; 16]),
            own: true,
            undoes: None,
            kind,
            what: vec![self.noun("Acme SSO · bob@acme.test"), self.noun("carol")],
            at: Timestamp::from_unix_seconds(1_761_200_000),
            undo_until: undo.then(|| Timestamp::from_unix_seconds(1_763_898_180)),
        }
    }

    fn own_links(&mut self) {
        let form = || Form { token: self.noun("token"), flow: None };
        let add =
            AddProfile { frame: self.frame("/account/link"), form: form(), connections: self.connections() };
        let unlink = |provider, current| Unlink {
            frame: self.frame("/account/unlink?profile=pro_1"),
            form: form(),
            profile: self.profile_row(provider, current),
        };
        let undo = |kind| Undo {
            frame: self.frame("/account/undo?entry=led_1"),
            form: form(),
            entry: self.ledger_row(kind, true),
        };
        let pages = (unlink(Some("Acme SSO"), true), unlink(None, false));
        let undone = (undo(LedgerKind::Linked), undo(LedgerKind::Merged));
        let replaced = undo(LedgerKind::Replaced);
        let set = |failure: Option<Failure>, broken| SetPassword {
            frame: self.frame("/reset/token"),
            form: form(),
            username: self.noun("bobby"),
            rules: PasswordRules::Classic,
            failure,
            broken,
        };
        let broken = vec![BrokenRule::TooShort, BrokenRule::NoDigit];
        let passwords = (set(None, Vec::new()), set(Some(Failure::new(PublicCode::PasswordRules)), broken));
        let done = PasswordSet { frame: self.frame("/reset/done") };
        self.add("set-password", &passwords.0);
        self.add("set-password-refused", &passwords.1);
        self.add("password-set", &done);
        self.add("account-link", &add);
        self.add("unlink-current", &pages.0);
        self.add("unlink-local", &pages.1);
        self.add("undo-link", &undone.0);
        self.add("undo-merge", &undone.1);
        self.add("undo-replaced", &replaced);
    }

    fn mail_codes(&mut self) {
        let here = "/account/confirm?place=link";
        let ask = MailCode {
            frame: self.frame(here),
            form: Form { token: self.noun("token"), flow: None },
            place: "link".to_owned(),
            email: self.noun("bob@acme.test"),
            is_sent: false,
            failure: None,
        };
        self.add("mail-code-send", &ask);
        let enter = MailCode { is_sent: true, ..ask };
        self.add("mail-code", &enter);
        let failure = Some(Failure::new(PublicCode::MailCodeWrong));
        let again = MailCode { frame: self.failed_frame(here), failure, ..enter };
        self.add("mail-code-wrong", &again);
    }

    fn domain(&mut self) {
        let here = "/signin/domain?flow=flow-handle";
        let page = DomainEntry { frame: self.frame(here), form: self.form(), domain: None, failure: None };
        self.add("domain", &page);
        let failure = Some(Failure::new(PublicCode::UnknownDomain));
        let page = DomainEntry { domain: Some(self.noun("acme.tset")), failure, ..page };
        self.add("domain-unknown", &page);
        let entered = self.noun("acme.test");
        let page =
            Choice { frame: self.frame(here), form: self.form(), entered, connections: self.connections() };
        self.add("choice", &page);
    }

    fn consent(&mut self) {
        let named = ["openid", "profile", "email", "phone", "address", "offline_access"].map(str::to_owned);
        let page = Consent {
            frame: self.frame("/consent?flow=flow-handle"),
            form: self.form(),
            app: self.noun("Notes"),
            app_organization: self.noun("Acme"),
            person: self.person(),
            scopes: named.into_iter().chain([self.noun("notes:write")]).collect(),
        };
        self.add("consent", &page);
    }

    #[expect(clippy::too_many_lines, reason = "one state after another")]
    fn account(&mut self) {
        let session = |current: bool, user_agent: &str, via: Option<String>| SessionRow {
            value: self.noun("ses_1"),
            current,
            user_agent: Some(self.noun(user_agent)),
            via,
            signed_in: Timestamp::from_unix_seconds(1_761_200_000),
            last_used: Timestamp::from_unix_seconds(1_763_898_180),
        };
        let sessions = vec![
            session(
                true,
                "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
                Some(self.noun("Acme SSO")),
            ),
            session(
                false,
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1",
                None,
            ),
            session(false, "curl/8", Some(self.noun("Acme SSO"))),
        ];
        let page = Account {
            frame: self.frame("/account"),
            form_token: self.noun("token"),
            name: Some(self.noun("Bob Berger")),
            username: Some(self.noun("bob")),
            email: Some(self.noun("bob@acme.test")),
            email_proven: false,
            organization: Some(self.noun("Acme")),
            domains: vec![self.noun("acme.test"), self.noun("mail.acme.test")],
            via: SignedInVia::Connection {
                name: self.noun("Acme SSO"),
                issuer: self.noun("https://idp.acme.test:9001"),
            },
            sessions,
            profiles: vec![self.profile_row(Some("Acme SSO"), true), self.profile_row(None, false)],
            ledger: vec![self.ledger_row(LedgerKind::Linked, true)],
            linking: true,
            done: Some(Done::SessionEnded),
            failure: None,
        };
        self.add("account", &page);
        let mut sessions = page.sessions;
        sessions.truncate(1);
        let page = Account {
            sessions,
            profiles: vec![ProfileView { may_unlink: false, ..self.profile_row(None, true) }],
            ledger: Vec::new(),
            linking: false,
            via: SignedInVia::Local,
            name: None,
            organization: None,
            domains: Vec::new(),
            email_proven: true,
            done: None,
            failure: Some(Failure::new(PublicCode::SessionEnded)),
            ..page
        };
        self.add("account-alone", &page);
        let kinds = [
            (LedgerKind::Undone, false),
            (LedgerKind::Merged, true),
            (LedgerKind::Expected, true),
            (LedgerKind::Replaced, true),
        ];
        let ledger = kinds.map(|(kind, undo)| self.ledger_row(kind, undo)).to_vec();
        let page = Account { done: Some(Done::OthersEnded), ledger, failure: None, ..page };
        self.add("account-others-ended", &page);
        let page = Account { done: Some(Done::Linked), ..page };
        self.add("account-linked", &page);
        self.add("account-unlinked", &Account { done: Some(Done::Unlinked), ..page });
    }

    fn leaving(&mut self) {
        let page = Logout {
            frame: self.frame("/oauth2/logout"),
            form: self.form(),
            person: self.person(),
            upstream: None,
        };
        self.add("logout", &page);
        self.add("logout-upstream", &Logout { upstream: Some(self.noun("Acme SSO")), ..page });
        let page = SignedOut { frame: self.frame("/signed-out"), app: Some(self.app()) };
        self.add("signed-out", &page);
        self.add("signed-out-without-app", &SignedOut { app: None, ..page });
        let page = Repost {
            frame: self.frame("/sso/callback/con_1"),
            action: self.noun("/sso/callback/con_1"),
            fields: vec![("state".into(), self.noun("s")), ("code".into(), self.noun("c"))],
        };
        self.add("repost", &page);
    }

    fn errors(&mut self) {
        for code in PublicCode::all() {
            let page = ErrorPage {
                frame: self.failed_frame("/"),
                failure: Failure::new(code.clone()),
                app: Some(self.app()),
                instead: Some("Acme SSO".into()),
                clashing: vec![self.noun("Acme SSO · bob@acme.test")],
                own: false,
            };
            assert_eq!(page.status(), status(&code));
            self.add(&format!("error-{}", code.as_str()), &page);
        }
        let mut frame = self.frame("/");
        frame.app = None;
        let page = ErrorPage {
            frame,
            failure: Failure::new(PublicCode::InvalidRequest),
            app: None,
            instead: None,
            clashing: Vec::new(),
            own: false,
        };
        self.add("error-without-app", &page);
        self.add(
            "error-of-ones-own",
            &ErrorPage { failure: Failure::new(PublicCode::UnlinkLast), own: true, ..page },
        );
    }

    pub(super) fn all(pages: &'a Pages, noun: Option<&'static str>) -> Vec<Sample> {
        let mut all = Vec::new();
        for locale in Locale::ALL {
            let mut samples = Self { pages, locale, noun, done: Vec::new() };
            samples.sign_in();
            samples.domain();
            samples.link();
            samples.own_links();
            samples.mail_codes();
            samples.consent();
            samples.account();
            samples.leaving();
            samples.errors();
            all.append(&mut samples.done);
        }
        all
    }
}
