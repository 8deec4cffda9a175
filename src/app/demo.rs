//! `countersign demo`: the broker, two emulated identity providers of different vendors, a sample app and a page of
//! mails, on one machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use axum::Router;
use bytes::Bytes;
use http::Request;
use tokio::sync::oneshot;

use super::authority::{Authority, AuthorityError};
use super::{App, AppError, Environment, listen};
use crate::config::{Config, ConfigErrors};
use crate::crypto::keys::SigningKey;
use crate::crypto::{CryptoError, private_file};
use crate::emulator::demo_plan::{DemoOrganization, DemoPlan, DemoPorts};
use crate::emulator::tour::{self, TourError};
use crate::emulator::{Faults, Fetch, FetchError, Fetched, idp, mail_page, sample_app};
use crate::flows::manage::ApplyError;
use crate::model::{Caller, SigningAlg};
use crate::net::{self, CertificateError, Certificates, Drain, Listener, Transport};
use crate::upstream::{Egress, EgressBuildError, EgressSettings};

/// The folder for the demo's mails, inside the demo's folder.
const MAILS: &str = "mails";

/// The settings of the demo.
#[derive(Debug, Clone)]
pub struct DemoSettings {
    /// Where it keeps its files.
    pub data: PathBuf,
    /// Whether to perform the sign-ins and then end, instead of staying.
    pub tour: bool,
}

/// Why the demo ended.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The broker failed.
    #[error(transparent)]
    App(#[from] AppError),
    /// The demo's configuration is not valid.
    #[error("{0}")]
    Config(ConfigErrors),
    /// The demo's organizations cannot be set up.
    #[error("the demo's organizations cannot be set up: {0}")]
    Apply(#[from] ApplyError),
    /// A certificate cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A certificate that was written cannot be read.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// A key cannot be made.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The demo's own client cannot be built.
    #[error(transparent)]
    Egress(#[from] EgressBuildError),
    /// An address is malformed.
    #[error("the demo's addresses are malformed: {0}")]
    Address(#[from] url::ParseError),
    /// A file cannot be read or written.
    #[error("{path}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// The tour found something wrong.
    #[error("the tour failed: {0}")]
    Tour(#[from] TourError),
}

/// Runs the demo until `stop` resolves, or until the tour has ended. `say` prints a line.
pub async fn run(
    settings: &DemoSettings,
    environment: Environment,
    stop: impl Future<Output = ()>,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), DemoError> {
    let plan = DemoPlan::new(DemoPorts::default(), environment.clock.now(), &*environment.random)?;
    let folder = Folder::prepare(&settings.data, &plan)?;
    let fetch: Arc<dyn Fetch> = Arc::new(Browserlike(Egress::new(&EgressSettings {
        allow: super::loopback(),
        extra_ca: Some(folder.authority.clone().into_bytes()),
        ..EgressSettings::default()
    })?));
    let (helpers, drain) = (Helpers { folder: &folder, environment: &environment }, Drain::default());
    for organization in [&plan.acme, &plan.globex] {
        helpers.provider(&plan, organization, &drain).await?;
    }
    helpers.sample_app(&plan, &fetch, &drain).await?;
    helpers.serve(plan.mails.port(), mail_page::router(folder.path(MAILS)), &drain).await?;
    let mut app = App::bind(&folder.config, environment.clone()).await?;
    let [ipv6, _] = localhost(plan.broker.port().unwrap_or(443));
    app.also_listen_if_possible(ipv6).await;
    let files = [("demo.toml".to_owned(), plan.apply_document())];
    app.broker().organizations.apply(Caller::Operator(None), &files, false).await?;
    let (end, ended) = oneshot::channel::<()>();
    let serving = tokio::spawn(app.serve(async {
        let _ = ended.await;
    }));
    let outcome = if settings.tour {
        tour::run(&plan, &*fetch, &*environment.clock, say).await.map_err(DemoError::from)
    } else {
        greet(&plan, &folder, say);
        stop.await;
        Ok(())
    };
    let _ = end.send(());
    let _ = serving.await;
    drain.begin(Duration::from_secs(1));
    outcome
}

fn greet(plan: &DemoPlan, folder: &Folder, say: &mut (dyn FnMut(&str) + Send)) {
    let person = |name: &str, password: &str| format!("    {name:<8} password {password}");
    say("Countersign is running. Open the sample app and sign in:");
    say("");
    say(&format!("    {}", plan.app));
    say("");
    for organization in [&plan.acme, &plan.globex] {
        let one = &organization.person;
        say(&format!(
            "  Use custom domain \"{}\": you sign in at {2}'s {1} (emulated)",
            organization.domain, organization.vendor, organization.name
        ));
        say(&person(one.username, one.password.expose()));
    }
    say("  With a username and password at the broker:");
    say(&person(plan.local.username, plan.local.password.expose()));
    let (at_provider, local) = (&plan.linker.at_provider, &plan.linker.local);
    say(&format!(
        "  To link accounts: {} signs in at {}'s provider and also has a password:",
        local.name, plan.acme.name
    ));
    say(&format!("{}   at the provider", person(at_provider.username, at_provider.password.expose())));
    say(&format!("{}   at the broker", person(local.username, local.password.expose())));
    say("");
    say(&format!("  The broker:        {}", plan.issuer()));
    say(&format!("  Mails it has sent: {}", plan.mails));
    say(&format!("  Everything above:  {}", folder.path("demo.json").display()));
    say(&format!(
        "  Your browser will warn you, because the certificates come from the demo's own authority: {}",
        folder.path("ca.pem").display()
    ));
    say("");
    say("Stop with Ctrl-C.");
}

/// The demo's files.
struct Folder {
    root: PathBuf,
    authority: String,
    config: Config,
}

impl Folder {
    /// Creates the folder: certificates, configuration, and an empty database, even if the folder existed before.
    fn prepare(root: &Path, plan: &DemoPlan) -> Result<Self, DemoError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |cause| DemoError::File { path, cause }
        };
        private_file::make_folder(root).map_err(at(root))?;
        // The mails of an earlier demo name accounts that no longer exist.
        match fs::remove_dir_all(root.join(MAILS)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(at(&root.join(MAILS))(error));
            }
            _ => {}
        }
        for name in ["demo.db", "demo.db-wal", "demo.db-shm"] {
            let file = root.join(name);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&file)(error)),
                _ => {}
            }
        }
        let authority = Authority::new("Countersign demo")?;
        authority.issue(&root.join("certs"), "localhost")?;
        let ca = root.join("ca.pem");
        fs::write(&ca, authority.pem()).map_err(at(&ca))?;
        let file = root.join("countersign.toml");
        fs::write(&file, demo_config(root, plan)).map_err(at(&file))?;
        let json = root.join("demo.json");
        private_file::write(&json, format!("{:#}\n", plan.to_json()).as_bytes()).map_err(at(&json))?;
        let config =
            Config::load(Some(&file), std::iter::empty::<(String, String)>()).map_err(DemoError::Config)?;
        Ok(Self { root: root.to_owned(), authority: authority.pem(), config })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// The configuration as a file, so that commands can be tried on the running demo: `countersign --config …`.
fn demo_config(root: &Path, plan: &DemoPlan) -> String {
    let path = |name: &str| toml::Value::String(root.join(name).display().to_string());
    let database = toml::Value::String(format!("sqlite://{}", root.join("demo.db").display()));
    format!(
        "# Written by `countersign demo` at each start.\n\
         [server]\npublic_url = \"{}\"\nlisten = \"127.0.0.1:{port}\"\nmanagement_listen = \"127.0.0.1:9090\"\n\
         drain_notice = \"0s\"\n\n\
         [tls]\ncerts_dir = {}\n\n[database]\nurl = {database}\n\n[secrets]\nmaster_key_file = {}\n\n\
         [mail]\ntransport = \"file\"\ndir = {}\n\n\
         [outbound]\nallow = [\"127.0.0.0/8\", \"::1/128\"]\nextra_ca_file = {}\n\n[log]\nlevel = \"warn\"\n",
        plan.issuer(),
        path("certs"),
        path("master.key"),
        path(MAILS),
        path("ca.pem"),
        port = plan.broker.port().unwrap_or(443),
    )
}

/// Starts the servers beside the broker.
struct Helpers<'a> {
    folder: &'a Folder,
    environment: &'a Environment,
}

impl Helpers<'_> {
    async fn provider(
        &self,
        plan: &DemoPlan,
        organization: &DemoOrganization,
        drain: &Drain,
    ) -> Result<(), DemoError> {
        let key = SigningKey::generate(SigningAlg::RS256, format!("{}-1", organization.handle))?;
        let router = idp::router(idp::Settings {
            vendor: organization.vendor,
            base_url: organization.provider.clone(),
            directory: plan.directory(organization),
            response_iss: false,
            faults: Faults::default(),
            clock: Arc::clone(&self.environment.clock),
            random: Arc::clone(&self.environment.random),
            key,
        });
        self.serve(organization.provider.port(), router, drain).await
    }

    async fn sample_app(
        &self,
        plan: &DemoPlan,
        fetch: &Arc<dyn Fetch>,
        drain: &Drain,
    ) -> Result<(), DemoError> {
        let router = sample_app::router(sample_app::Settings {
            name: "Notes".to_owned(),
            base_url: plan.app.clone(),
            issuer: plan.issuer().to_owned(),
            client_id: crate::emulator::demo_plan::APP_CLIENT_ID.to_owned(),
            client_secret: plan.app_secret.clone(),
            id_token_alg: SigningAlg::RS256,
            shortcuts: plan.shortcuts(),
            fetch: Arc::clone(fetch),
            clock: Arc::clone(&self.environment.clock),
            random: Arc::clone(&self.environment.random),
        });
        self.serve(plan.app.port(), router, drain).await
    }

    async fn serve(&self, port: Option<u16>, router: Router, drain: &Drain) -> Result<(), DemoError> {
        for address in localhost(port.unwrap_or(443)) {
            let listener = match listen(address).await {
                Ok(listener) => listener,
                // A machine without IPv6 serves on IPv4 only.
                Err(_) if address.is_ipv6() => continue,
                Err(error) => return Err(error.into()),
            };
            self.spawn(listener, router.clone(), drain)?;
        }
        Ok(())
    }

    fn spawn(&self, listener: Listener, router: Router, drain: &Drain) -> Result<(), DemoError> {
        let certificates = Arc::new(Certificates::load(&self.folder.path("certs"))?);
        let transport = Transport::Tls(certificates);
        tokio::spawn(listener.serve(transport, router, net::Settings::default(), drain.clone()));
        Ok(())
    }
}

/// Both addresses of `localhost`, because browsers and resolvers try different ones.
fn localhost(port: u16) -> [SocketAddr; 2] {
    [
        SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port)),
        SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, port)),
    ]
}

/// The guarded client, for the sample app and the scripted browser.
struct Browserlike(Egress);

impl Fetch for Browserlike {
    fn fetch(&self, request: Request<Bytes>) -> Fetched<'_> {
        Box::pin(async move {
            self.0.send_as_browser(request).await.map_err(|error| FetchError(error.to_string()))
        })
    }
}
