//! Linking without pages: browsers that call the use cases themselves, and what the database holds afterwards.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use countersign::flows::Broker;
use countersign::flows::account::AddWay;
use countersign::flows::interaction::Handled;
use countersign::flows::link::{ConfirmAnswer, LinkOfferView, OfferAnswer};
use countersign::flows::refusal::{FlowError, Told};
use countersign::flows::visit::{CookieChange, NextPage, Visit};
use countersign::model::{AccountId, ConnectionId, LedgerId, ProfileId, Purpose, Secret};
use countersign::policy::sign_in::step::Stage;
use countersign::protocol::oauth::Parameters;
use tokio::sync::Barrier;
use url::Url;

use super::providers::{CLIENT, Person, Providers};
use super::rows::Rows;
use crate::harness::app::{Node, TestApp};
use crate::harness::database::Kind;
use crate::harness::relying_app::{CHALLENGE, RelyingApp};

/// The organizations.
pub const ORGANIZATIONS: [&str; 2] = ["alpha", "beta"];

/// The people who have a password, by organization; the password is [`password_of`] them. Ann and ada administer.
pub const LOCALS: [&[&str]; 2] = [&["ann", "bob", "cyd"], &["ada", "ben"]];

/// The connection of alpha whose identity provider cannot be made to ask again.
pub const UNFORCED: usize = 2;

/// Each user has a password of their own.
pub fn password_of(username: &str) -> String {
    format!("Correct7horse-{username}")
}

/// A connection of an organization. The last of each has the issuer of the first.
pub fn connection(organization: usize, number: usize) -> ConnectionId {
    format!("con_0190000000007000800000000000{organization:01x}{number:03x}").parse().unwrap()
}

/// What can be switched.
#[derive(Debug, Clone)]
pub struct Switches {
    pub linking: [bool; 2],
    pub disabled: BTreeSet<(usize, usize)>,
}

impl Default for Switches {
    fn default() -> Self {
        Self { linking: [true, true], disabled: BTreeSet::new() }
    }
}

/// Two organizations that link, alpha with as many connections as a test wants and beta with three.
pub struct Links {
    pub app: TestApp,
    pub idps: Providers,
    connections: [usize; 2],
    second: Option<Node>,
    addresses: AtomicU32,
}

impl Links {
    /// With this many connections of alpha, each at an identity provider of its own, except the last.
    pub async fn new(kind: Kind, connections: usize) -> Self {
        let limits = [
            ("COUNTERSIGN__LIMITS__ORGANIZATION_CONNECTIONS", "100"),
            ("COUNTERSIGN__SESSIONS__IDLE", "9000d"),
            ("COUNTERSIGN__SESSIONS__MAX", "9000d"),
        ];
        let mut app = TestApp::configured(kind, &limits).await;
        let idps = Providers::start(&mut app).await;
        let connections = [connections, 3];
        let mut links = Self { app, idps, connections, second: None, addresses: AtomicU32::new(0) };
        links.app.apply(&links.document(&Switches::default(), true)).await;
        // `SQLite` has one node.
        if kind == Kind::Postgres {
            links.second = Some(links.app.second_node().await);
        }
        links
    }

    /// Switches linking and connections as they are here, and leaves everything else.
    pub async fn switch(&self, switches: &Switches) {
        self.app.apply(&self.document(switches, false)).await;
    }

    fn document(&self, switches: &Switches, with_people: bool) -> String {
        let organizations = (0..2).map(|organization| {
            let handle = ORGANIZATIONS[organization];
            let last = self.connections[organization] - 1;
            let connections = (0..=last).map(|number| {
                let issuer = if number == last { 0 } else { number };
                let issuer = self.idps.issuer(&format!("{handle}{issuer}"));
                let enabled = !switches.disabled.contains(&(organization, number));
                let vendor = if (organization, number) == (0, UNFORCED) { "google" } else { "generic" };
                format!(
                    "[[organizations.connections]]\nid = \"{}\"\nhandle = \"c{number}\"\nname = \"{handle} {number}\"\n\
                     vendor = \"{vendor}\"\nissuer = \"{issuer}\"\nclient_id = \"{CLIENT}\"\nclient_secret = \"secret-0123456789\"\n\
                     enabled = {enabled}\n",
                    connection(organization, number)
                )
            });
            let apps = ["one", "two", "three"].map(|app| {
                format!(
                    "[[organizations.apps]]\nclient_id = \"{handle}-{app}\"\nname = \"{app}\"\n\
                     client_secret = \"{handle}-{app}-secret-0123456789\"\n\
                     redirect_uris = [\"https://{app}.{handle}.test/callback\"]\n"
                )
            });
            let people = LOCALS[organization].iter().enumerate().filter(|_| with_people).map(|(at, name)| {
                let role = if at == 0 { "administrator" } else { "member" };
                format!(
                    "[[organizations.accounts]]\nusername = \"{name}\"\nemail = \"{name}@{handle}.test\"\n\
                     email_verified = true\npassword = \"{}\"\nroles = [\"{role}\"]\n",
                    password_of(name)
                )
            });
            let all: Vec<String> = (0..=last).map(|number| format!("\"c{number}\"")).collect();
            format!(
                "[[organizations]]\nhandle = \"{handle}\"\nname = \"{handle}\"\nlinking = {}\n\
                 domains = [{{ name = \"{handle}.test\", connections = [{}] }}]\n{}{}{}",
                switches.linking[organization],
                all.join(", "),
                connections.collect::<String>(),
                apps.join(""),
                people.collect::<String>(),
            )
        });
        organizations.collect()
    }

    /// The broker of one node or the other; `SQLite` has only one.
    pub fn broker(&self, number: usize) -> Arc<Broker> {
        match &self.second {
            Some(second) if number % 2 == 1 => Arc::clone(&second.broker),
            _ => Arc::clone(&self.app.broker),
        }
    }

    /// A browser in which no account has signed in yet, at this node.
    pub fn tab_at(&self, node: usize) -> Tab {
        let number = self.addresses.fetch_add(1, Ordering::SeqCst);
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 1)) + number);
        let visit = Visit { address: address.into(), ..Visit::local() };
        Tab { broker: self.broker(node), idps: self.idps.clone(), visit }
    }

    /// A browser in which no account has signed in yet.
    pub fn tab(&self) -> Tab {
        self.tab_at(0)
    }

    /// A browser in which this person is signed in by password.
    pub async fn signed_in(&self, username: &str, node: usize) -> Tab {
        let mut tab = self.tab_at(node);
        assert_eq!(tab.sign_in_locally(username).await, Ok(Place::Account), "{username}");
        tab
    }

    /// An app of an organization, at its endpoints.
    pub fn relying_app(&self, organization: usize, app: &str) -> RelyingApp {
        let handle = ORGANIZATIONS[organization];
        let redirect_uri = format!("https://{app}.{handle}.test/callback");
        let secret = format!("{handle}-{app}-secret-0123456789");
        RelyingApp::new(&self.app.network, &format!("{handle}-{app}"), Some(&secret), &redirect_uri)
    }

    /// The database, for evidence.
    pub async fn rows(&self) -> Rows {
        Rows::of(&self.app).await
    }

    /// The id of the account with this username.
    pub async fn account(&self, username: &str) -> AccountId {
        self.app.broker.accounts.find_account(username).await.unwrap().account.id
    }

    /// Moves the clock on, so that what comes next is later.
    pub fn later(&self, seconds: u64) {
        self.app.clock.advance(Duration::from_secs(seconds));
    }
}

/// Where a browser is. `NextPage` does not print itself, because it contains secrets; in a test they do not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A sign-in page, by its handle.
    SignIn(String),
    /// A provider.
    Upstream(String),
    /// An app.
    App(String),
    /// The page **Link your account**.
    Link(String),
    /// The page that asks once more.
    Confirm(String),
    /// One's own page.
    Account,
    /// A page of one's own that changes something sensitive.
    Own,
    /// The page that asks for consent.
    Consent(String),
    /// Signed out.
    SignedOut,
    /// The page on which a connection is chosen, or the one on which a mailed code is entered.
    Other,
}

impl From<NextPage> for Place {
    fn from(next: NextPage) -> Self {
        match next {
            NextPage::SignIn(handle) => Self::SignIn(handle),
            NextPage::Upstream(url) => Self::Upstream(url),
            NextPage::App(url) => Self::App(url),
            NextPage::Stage(Stage::LinkOffer, handle) => Self::Link(handle),
            NextPage::Stage(Stage::ConfirmLink, handle) => Self::Confirm(handle),
            NextPage::Stage(Stage::Consent, handle) => Self::Consent(handle),
            NextPage::Stage(stage, _) => panic!("{stage} is no page"),
            NextPage::Account => Self::Account,
            NextPage::Sensitive(_) => Self::Own,
            NextPage::SignedOut(_) => Self::SignedOut,
            NextPage::Choose(..) | NextPage::MailCode(_) => Self::Other,
        }
    }
}

/// What a use case led to: where the browser goes, or the public code of the refusal (`app:` and the error where the
/// refusal goes to the app).
pub type Outcome = Result<Place, String>;

/// One browser.
#[derive(Clone)]
pub struct Tab {
    pub broker: Arc<Broker>,
    pub idps: Providers,
    pub visit: Visit,
}

impl Tab {
    /// The same browser, at another node.
    pub fn at(&self, broker: Arc<Broker>) -> Self {
        Self { broker, ..self.clone() }
    }

    /// Goes on as a page would, keeps the cookies of the answer, and says where it leads. That a database is down, or has
    /// broken a deadlock, is never an answer.
    pub async fn take(&mut self, handled: Result<impl Into<Handled>, FlowError>) -> Outcome {
        let answer = match handled {
            Ok(handled) => self.broker.dispatcher.proceed(&self.visit, handled.into()).await,
            Err(error) => Err(error),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Err(self.told(error).await),
        };
        for change in answer.cookies {
            match change {
                CookieChange::SetFlow(id, value) => {
                    self.visit.flows.retain(|(held, _)| *held != id);
                    self.visit.flows.push((id, value));
                }
                CookieChange::ClearFlow(id) => self.visit.flows.retain(|(held, _)| *held != id),
                CookieChange::SetSession(token) => self.visit.session = Some(token),
                CookieChange::ClearSession => self.visit.session = None,
                CookieChange::SetKnown(value) => self.visit.known = Some(value),
            }
        }
        Ok(answer.next.into())
    }

    /// What is said of a refusal, once its record is written.
    async fn told(&self, error: FlowError) -> String {
        match self.broker.core.settle(&self.visit, error).await.unwrap() {
            Told::Person(view) => view.code.as_str().to_owned(),
            Told::App(url) => {
                let url = Url::parse(&url).unwrap();
                let error = url.query_pairs().find(|(name, _)| name == "error").unwrap();
                format!("app:{}", error.1)
            }
        }
    }

    /// Comes from an app.
    pub async fn come_from_app(&mut self, client_id: &str, more: &[(&str, &str)]) -> Outcome {
        let (handle, app) = client_id.split_once('-').unwrap();
        let redirect_uri = format!("https://{app}.{handle}.test/callback");
        let fixed = [
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", &redirect_uri),
            ("scope", "openid email offline_access"),
            ("state", "s"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(fixed).extend_pairs(more);
        let parameters = Parameters::parse(&query.finish()).unwrap();
        let answer = self.broker.authorization.begin_authorization(&self.visit, &parameters).await;
        self.take(answer).await
    }

    /// Goes to a provider for a sign-in of one's own.
    pub async fn begin(&mut self, connection: ConnectionId) -> Outcome {
        let answer =
            self.broker.sign_in.begin_connection(&self.visit, connection, Purpose::Account, None).await;
        self.take(answer).await
    }

    /// Comes back from the provider, which vouches for this person.
    pub async fn vouched(&mut self, go: &Place, person: &Person) -> Outcome {
        let Place::Upstream(url) = go else { panic!("at no provider") };
        let answer = self.idps.approve(url, person);
        let answer = self.broker.sso.finish_upstream(&self.visit, connection_of(url), &answer).await;
        self.take(answer).await
    }

    /// Signs in through a connection.
    pub async fn sign_in(&mut self, connection: ConnectionId, person: &Person) -> Outcome {
        let at_provider = self.begin(connection).await?;
        self.vouched(&at_provider, person).await
    }

    /// Signs in by one's password.
    pub async fn sign_in_locally(&mut self, username: &str) -> Outcome {
        let answer = self.broker.sign_in.begin_own_sign_in(&self.visit).await;
        let page = self.take(answer).await?;
        self.enter(&page, username).await
    }

    /// Enters username and password on a sign-in page.
    pub async fn enter(&mut self, page: &Place, username: &str) -> Outcome {
        let password = password_of(username);
        self.enter_with(page, username, &password).await
    }

    /// Enters this username and this password on a sign-in page.
    pub async fn enter_with(&mut self, page: &Place, username: &str, password: &str) -> Outcome {
        let Place::SignIn(handle) = page else { panic!("no sign-in page") };
        let secret = Secret::new(password);
        let answer = self.broker.sign_in.sign_in_with_password(&self.visit, handle, username, secret).await;
        self.take(answer).await
    }

    /// Chooses a connection on a sign-in page, and comes back from its provider.
    pub async fn through(&mut self, page: &Place, connection: ConnectionId, person: &Person) -> Outcome {
        let Place::SignIn(handle) = page else { panic!("no sign-in page") };
        let answer = self.broker.sign_in.sign_in_through(&self.visit, handle, connection).await;
        let at_provider = self.take(answer).await?;
        self.vouched(&at_provider, person).await
    }

    /// What the page **Link your account** shows.
    pub async fn offer(&self, page: &Place) -> LinkOfferView {
        let Place::Link(handle) = page else { panic!("no offer") };
        self.broker.links.view_offer(&self.visit, handle).await.unwrap()
    }

    /// Answers the offer.
    pub async fn answer(&mut self, page: &Place, answer: OfferAnswer) -> Outcome {
        let Place::Link(handle) = page else { panic!("no offer") };
        let answer = self.broker.links.answer_offer(&self.visit, handle, answer).await;
        self.take(answer).await
    }

    /// Confirms, with what the page would send without a choice.
    pub async fn confirm(&mut self, page: &Place) -> Outcome {
        self.confirm_keeping(page, None, None).await
    }

    /// Confirms a merge.
    pub async fn confirm_keeping(
        &mut self,
        page: &Place,
        keep: Option<AccountId>,
        local_of: Option<AccountId>,
    ) -> Outcome {
        let Place::Confirm(handle) = page else { panic!("nothing to confirm") };
        let answer = ConfirmAnswer::Link { keep, local_of };
        let answer = self.broker.links.answer_link_confirmation(&self.visit, handle, answer).await;
        self.take(answer).await
    }

    /// Does not confirm.
    pub async fn cancel(&mut self, page: &Place) -> Outcome {
        let Place::Confirm(handle) = page else { panic!("nothing to confirm") };
        let answer =
            self.broker.links.answer_link_confirmation(&self.visit, handle, ConfirmAnswer::Cancel).await;
        self.take(answer).await
    }

    /// Begins to add a way to sign in.
    pub async fn add(&mut self, way: AddWay) -> Outcome {
        let answer = self.broker.account.begin_add_profile(&self.visit, way).await;
        self.take(answer).await
    }

    /// Adds a provider's profile as far as the page that asks once more.
    pub async fn add_until_confirmed(&mut self, connection: ConnectionId, person: &Person) -> Outcome {
        let at_provider = self.add(AddWay::Connection(connection)).await?;
        self.vouched(&at_provider, person).await
    }

    /// Adds a provider's profile.
    pub async fn add_profile(&mut self, connection: ConnectionId, person: &Person) -> Outcome {
        let page = self.add_until_confirmed(connection, person).await?;
        self.confirm(&page).await
    }

    /// Proves another account by its password, as far as the page that asks once more.
    pub async fn add_account(&mut self, username: &str) -> Outcome {
        let page = self.add(AddWay::Password).await?;
        self.enter(&page, username).await
    }

    /// A first sign-in that is linked to the account of this username, as far as the page that asks once more.
    pub async fn link_to(&mut self, connection: ConnectionId, person: &Person, username: &str) -> Outcome {
        let offer = self.sign_in(connection, person).await?;
        let page = self.answer(&offer, OfferAnswer::Existing).await?;
        self.enter(&page, username).await
    }

    /// Lets the app know what it asked for.
    pub async fn consent(&mut self, page: &Place) -> Outcome {
        let Place::Consent(handle) = page else { panic!("nothing to consent to") };
        let answer = self.broker.authorization.answer_consent(&self.visit, handle, true).await;
        self.take(answer).await
    }

    /// Takes a profile away.
    pub async fn unlink(&mut self, profile: ProfileId) -> Outcome {
        let answer = self.broker.account.unlink(&self.visit, profile).await;
        self.take(answer).await
    }

    /// Undoes an entry of one's own.
    pub async fn undo(&mut self, entry: LedgerId) -> Outcome {
        let answer = self.broker.account.undo_own_link(&self.visit, entry).await;
        self.take(answer).await
    }

    /// The account that is signed in, if any.
    pub async fn account(&self) -> Option<AccountId> {
        self.broker.sessions.current_session(&self.visit).await.unwrap().map(|current| current.account.id)
    }
}

/// The connection whose callback an authorization request names.
pub fn connection_of(url: &str) -> ConnectionId {
    let url = Url::parse(url).unwrap();
    let redirect = url.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
    redirect.rsplit_once('/').unwrap().1.parse().unwrap()
}

/// The code in an app's address.
#[track_caller]
pub fn code_of(outcome: Outcome) -> String {
    let Ok(Place::App(url)) = outcome else { panic!("not at the app: {:?}", outcome.err()) };
    let url = Url::parse(&url).unwrap();
    url.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned()
}

/// Starts all of them together, and returns their results.
pub async fn at_once<F>(tasks: Vec<F>) -> Vec<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let barrier = Arc::new(Barrier::new(tasks.len()));
    let spawned: Vec<_> = tasks
        .into_iter()
        .map(|task| {
            let barrier = Arc::clone(&barrier);
            tokio::spawn(async move {
                barrier.wait().await;
                task.await
            })
        })
        .collect();
    let mut outcomes = Vec::with_capacity(spawned.len());
    for task in spawned {
        outcomes.push(task.await.expect("no task panics"));
    }
    outcomes
}
