//! The set-up of `countersign demo`: two organizations whose users sign in at emulated identity providers of different
//! vendors, one app that serves both, and one account with a password of its own.
//!
//! This is only data. The caller starts the servers, applies [`DemoPlan::apply_document`] to the broker's database,
//! and writes [`DemoPlan::to_json`] where users find it.

use serde_json::{Value, json};
use url::Url;

use super::directory::{Client, Directory, User};
use super::sample_app::Shortcut;
use super::vendor::Vendor;
use crate::crypto;
use crate::model::{ConnectionId, Random, Secret, TENANT, Timestamp};
use crate::protocol::base64url;

/// The client id of the sample app at the broker.
pub const APP_CLIENT_ID: &str = "notes";

/// The client id of the broker at the emulated identity providers.
const BROKER_CLIENT_ID: &str = "countersign";

/// The ports of `localhost` on which the demo's servers listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoPorts {
    /// The broker.
    pub broker: u16,
    /// Acme's identity provider, an emulated Okta.
    pub okta: u16,
    /// Globex's identity provider, an emulated Entra ID.
    pub entra: u16,
    /// The sample app.
    pub app: u16,
    /// The page of mails.
    pub mails: u16,
}

impl Default for DemoPorts {
    fn default() -> Self {
        Self { broker: 8443, okta: 9001, entra: 9002, app: 9100, mails: 9200 }
    }
}

/// Everything that the demo's servers must agree on.
#[derive(Debug, Clone)]
pub struct DemoPlan {
    /// The broker's origin. Without its final slash, it is the issuer.
    pub broker: Url,
    /// The sample app's origin.
    pub app: Url,
    /// The origin of the page that shows the mails.
    pub mails: Url,
    /// The sample app's secret at the broker.
    pub app_secret: Secret,
    /// Acme, whose users sign in at an emulated Okta.
    pub acme: DemoOrganization,
    /// Globex, whose users sign in at an emulated Entra ID.
    pub globex: DemoOrganization,
    /// A user of Acme with a password at the broker.
    pub local: DemoPerson,
    /// A user of Acme with a password at the broker, who will sign in at the identity provider for the first time.
    pub linker: DemoLinker,
}

/// One user with two ways to sign in, not linked yet.
#[derive(Debug, Clone)]
pub struct DemoLinker {
    /// At the organization's identity provider.
    pub at_provider: DemoPerson,
    /// With a password at the broker, and the same email.
    pub local: DemoPerson,
}

/// An organization with its identity provider and one user there.
#[derive(Debug, Clone)]
pub struct DemoOrganization {
    /// Handle at the broker.
    pub handle: &'static str,
    /// Name.
    pub name: &'static str,
    /// The domain that routes to its identity provider.
    pub domain: &'static str,
    /// The vendor that is emulated.
    pub vendor: Vendor,
    /// The identity provider's origin.
    pub provider: Url,
    /// The connection's id at the broker, chosen here so that the identity provider can know its redirect URI.
    pub connection: ConnectionId,
    /// The broker's secret at the identity provider.
    pub client_secret: Secret,
    /// A user who signs in there.
    pub person: DemoPerson,
}

/// A user with a password.
#[derive(Debug, Clone)]
pub struct DemoPerson {
    /// Username.
    pub username: &'static str,
    /// Full name.
    pub name: &'static str,
    /// Email address.
    pub email: &'static str,
    /// Password.
    pub password: Secret,
}

impl DemoPlan {
    /// A plan with new secrets and passwords.
    pub fn new(ports: DemoPorts, now: Timestamp, random: &dyn Random) -> Result<Self, url::ParseError> {
        let origin = |port: u16| format!("https://localhost:{port}").parse::<Url>();
        let person = |username, name, email| DemoPerson { username, name, email, password: password(random) };
        let organization = |handle, name, domain, vendor, provider, person| DemoOrganization {
            handle,
            name,
            domain,
            vendor,
            provider,
            connection: ConnectionId::new(now, random),
            client_secret: crypto::random::token(random),
            person,
        };
        let bob = person("bob", "Bob Berger", "bob@acme.test");
        let alice = person("alice", "Alice Abel", "alice@globex.test");
        Ok(Self {
            broker: origin(ports.broker)?,
            app: origin(ports.app)?,
            mails: origin(ports.mails)?,
            app_secret: crypto::random::token(random),
            acme: organization("acme", "Acme", "acme.test", Vendor::Okta, origin(ports.okta)?, bob),
            globex: organization(
                "globex",
                "Globex",
                "globex.test",
                Vendor::Entra,
                origin(ports.entra)?,
                alice,
            ),
            local: person("carol", "Carol Cremer", "carol@acme.test"),
            linker: DemoLinker {
                at_provider: person("dana", "Dana Dorn", "dana@acme.test"),
                local: person("dana-dorn", "Dana Dorn", "dana@acme.test"),
            },
        })
    }

    /// The broker's issuer.
    pub fn issuer(&self) -> &str {
        bare(&self.broker)
    }

    /// The directory of an organization's emulated identity provider: its user, and the broker as its client.
    pub fn directory(&self, organization: &DemoOrganization) -> Directory {
        let broker = self.issuer();
        let linker = (organization.handle == self.acme.handle).then_some(&self.linker.at_provider);
        let user = |person: &DemoPerson| User {
            username: person.username.to_owned(),
            password: person.password.clone(),
            name: person.name.to_owned(),
            email: person.email.to_owned(),
            email_verified: true,
            groups: Vec::new(),
            id: None,
        };
        Directory {
            tenant: None,
            clients: vec![Client {
                client_id: BROKER_CLIENT_ID.to_owned(),
                client_secret: Some(organization.client_secret.clone()),
                jwks: None,
                redirect_uris: vec![format!("{broker}/sso/callback/{}", organization.connection)],
                post_logout_redirect_uris: vec![format!(
                    "{broker}/sso/signed-out/{}",
                    organization.connection
                )],
            }],
            users: [Some(&organization.person), linker].into_iter().flatten().map(user).collect(),
        }
    }

    /// The sample app's links, one per organization.
    pub fn shortcuts(&self) -> Vec<Shortcut> {
        let shortcut = |organization: &DemoOrganization| Shortcut {
            handle: organization.handle.to_owned(),
            name: organization.name.to_owned(),
            domain_hint: organization.domain.to_owned(),
        };
        [&self.acme, &self.globex].map(shortcut).to_vec()
    }

    /// The configuration of the broker, as `countersign apply` reads it.
    pub fn apply_document(&self) -> String {
        let people = [&self.local, &self.linker.local].map(DemoPerson::apply).join("\n");
        [self.acme.apply(), self.app_apply(), people, self.globex.apply()].join("\n")
    }

    fn app_apply(&self) -> String {
        let app = bare(&self.app);
        let secret = self.app_secret.expose();
        format!(
            r#"[[organizations.apps]]
client_id = "{APP_CLIENT_ID}"
name = "Notes"
client_secret = "{secret}"
auth_method = "client_secret_basic"
redirect_uris = ["{app}/callback"]
post_logout_redirect_uris = ["{app}/signed-out"]
home_uri = "{app}/"
audience = "any"
"#
        )
    }

    /// URLs, names and passwords, for users and tests.
    pub fn to_json(&self) -> Value {
        let person = |person: &DemoPerson| {
            json!({
                "username": person.username,
                "password": person.password.expose(),
                "name": person.name,
                "email": person.email,
            })
        };
        let organization = |organization: &DemoOrganization| {
            json!({
                "handle": organization.handle,
                "domain": organization.domain,
                "connection": organization.connection,
                "vendor": organization.vendor,
                "issuer": organization.issuer(),
                "client_id": BROKER_CLIENT_ID,
                "client_secret": organization.client_secret.expose(),
                "person": person(&organization.person),
            })
        };
        json!({
            "broker": self.issuer(),
            "app": {
                "url": bare(&self.app),
                "client_id": APP_CLIENT_ID,
                "client_secret": self.app_secret.expose(),
            },
            "organizations": [organization(&self.acme), organization(&self.globex)],
            "local": person(&self.local),
            "linker": {
                "at_provider": person(&self.linker.at_provider),
                "local": person(&self.linker.local),
            },
            "mails": bare(&self.mails),
        })
    }
}

impl DemoOrganization {
    /// The identity provider's issuer as in its metadata, with the placeholder if the vendor has one.
    pub fn issuer(&self) -> String {
        format!("{}{}", bare(&self.provider), self.vendor.habits().issuer_path)
    }

    /// The settings for the vendor's behaviour: which addresses it vouches for, and which tenants are allowed.
    fn vendor_apply(&self) -> String {
        let habits = self.vendor.habits();
        let trust = if habits.says_email_verified { "claim" } else { "authoritative" };
        let tenants = habits.tenancy.filter(|_| habits.issuer_path.contains(TENANT)).map(|tenancy| {
            let tenant = tenancy.example;
            format!("tenants = [\"{tenant}\"]\nrequired_claims = {{ tid = [\"{tenant}\"] }}\n")
        });
        format!("email_trust = \"{trust}\"\n{}", tenants.unwrap_or_default())
    }

    fn apply(&self) -> String {
        let Self { handle, name, domain, vendor, connection, .. } = self;
        let (issuer, secret) = (self.issuer(), self.client_secret.expose());
        let vendor_keys = self.vendor_apply();
        let provider = vendor.habits().name;
        format!(
            r#"[[organizations]]
handle = "{handle}"
name = "{name}"
plan = "enterprise"
linking = true
domains = [{{ name = "{domain}", connection = "{handle}-{vendor}" }}]

[[organizations.connections]]
id = "{connection}"
handle = "{handle}-{vendor}"
name = "{name} ({provider})"
vendor = "{vendor}"
issuer = "{issuer}"
client_id = "{BROKER_CLIENT_ID}"
client_secret = "{secret}"
scopes = ["openid", "email", "profile"]
new_accounts = true
{vendor_keys}"#
        )
    }
}

impl DemoPerson {
    fn apply(&self) -> String {
        let Self { username, email, .. } = self;
        let password = self.password.expose();
        format!(
            r#"[[organizations.accounts]]
username = "{username}"
email = "{email}"
email_verified = true
password = "{password}"
roles = ["administrator"]
"#
        )
    }
}

fn bare(origin: &Url) -> &str {
    origin.as_str().trim_end_matches('/')
}

/// A password of 96 random bits that satisfies both password policies.
fn password(random: &dyn Random) -> Secret {
    let mut bytes = [0u8; 12];
    random.fill(&mut bytes);
    Secret::new(format!("D{}7e", base64url::encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::random::CountingRandom;

    fn plan() -> DemoPlan {
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        DemoPlan::new(DemoPorts::default(), now, &CountingRandom::default()).unwrap()
    }

    #[test]
    fn the_document_is_toml_with_both_organizations() {
        let plan = plan();
        let document: toml::Table = plan.apply_document().parse().unwrap();
        let organizations = document["organizations"].as_array().unwrap();
        assert_eq!(organizations.len(), 2);
        let (acme, globex) = (&organizations[0], &organizations[1]);
        assert_eq!(acme["apps"][0]["client_id"].as_str(), Some("notes"));
        assert_eq!(acme["accounts"][0]["username"].as_str(), Some("carol"));
        assert_eq!(acme["connections"][0]["issuer"].as_str(), Some("https://localhost:9001"));
        let connection = &globex["connections"][0];
        assert_eq!(connection["issuer"].as_str(), Some("https://localhost:9002/{tenantid}/v2.0"));
        assert_eq!(connection["id"].as_str(), Some(plan.globex.connection.to_string().as_str()));
        assert_eq!(connection["email_trust"].as_str(), Some("authoritative"));
        assert_eq!(globex["domains"][0]["connection"], connection["handle"]);
    }

    #[test]
    fn a_provider_knows_the_redirect_uri_of_its_own_connection_only() {
        let plan = plan();
        let uris = |organization| plan.directory(organization).clients.remove(0).redirect_uris;
        let wanted = format!("https://localhost:8443/sso/callback/{}", plan.acme.connection);
        assert_eq!(uris(&plan.acme), [wanted]);
        assert_ne!(uris(&plan.acme), uris(&plan.globex));
    }

    #[test]
    fn every_secret_and_password_is_another() {
        let plan = plan();
        let secrets = [
            &plan.app_secret,
            &plan.acme.client_secret,
            &plan.globex.client_secret,
            &plan.acme.person.password,
            &plan.globex.person.password,
            &plan.local.password,
            &plan.linker.at_provider.password,
            &plan.linker.local.password,
        ];
        let mut texts: Vec<&str> = secrets.iter().map(|secret| secret.expose()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), secrets.len());
    }

    #[test]
    fn passwords_obey_the_classic_policy() {
        let password = plan().local.password;
        let text = password.expose();
        assert!((8..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()));
        assert!(text.contains(|c: char| c.is_ascii_uppercase()));
        assert!(text.contains(|c: char| c.is_ascii_lowercase()));
        assert!(text.contains(|c: char| c.is_ascii_digit()));
    }

    #[test]
    fn the_summary_names_everything_that_a_person_needs() {
        let plan = plan();
        let summary = plan.to_json();
        assert_eq!(summary["broker"], "https://localhost:8443");
        assert_eq!(summary["app"]["url"], "https://localhost:9100");
        assert_eq!(summary["local"]["password"], plan.local.password.expose());
        let alice = &summary["organizations"][1]["person"];
        assert_eq!(alice["password"], plan.globex.person.password.expose());
    }
}
