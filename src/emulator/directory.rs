//! The users and clients of an emulated identity provider, from one TOML file or from the program.
//!
//! ```toml
//! [[clients]]
//! client_id = "countersign"
//! client_secret = "…"                        # or jwks = '{"keys": […]}' for private_key_jwt
//! redirect_uris = ["https://localhost:8443/sso/callback/con_…"]
//! post_logout_redirect_uris = []
//!
//! [[users]]
//! username = "bob"
//! password = "…"
//! name = "Bob Example"
//! email = "bob@acme.test"
//! groups = ["staff"]
//! ```

use serde::Deserialize;

use crate::model::Secret;

/// The users and clients of an emulated identity provider.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// The tenant's id, for vendors that have tenants. If absent, it is the vendor's example tenant.
    pub tenant: Option<String>,
    /// Registered clients.
    #[serde(default)]
    pub clients: Vec<Client>,
    /// Users.
    #[serde(default)]
    pub users: Vec<User>,
}

/// A client, as registered at the identity provider. The broker is a client of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// The client id.
    pub client_id: String,
    /// The secret, for `client_secret_basic` and `client_secret_post`.
    #[serde(default, deserialize_with = "secret")]
    pub client_secret: Option<Secret>,
    /// The client's public keys as a JWK set, for `private_key_jwt`.
    pub jwks: Option<String>,
    /// Where responses may go, compared exactly.
    pub redirect_uris: Vec<String>,
    /// Where a sign-out may return to, compared exactly.
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
}

/// A user of the identity provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name to sign in with. The email works, too.
    pub username: String,
    /// The password, in plain text.
    #[serde(deserialize_with = "required_secret")]
    pub password: Secret,
    /// Full name.
    pub name: String,
    /// Email address.
    pub email: String,
    /// Whether the identity provider says that the address is proven, for vendors that say so.
    #[serde(default = "yes")]
    pub email_verified: bool,
    /// Groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The immutable id at the vendor (`sub` at Okta, `oid` at Entra ID). If absent, it is derived from the username.
    pub id: Option<String>,
}

/// Why a directory file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Not TOML, an unknown key, a missing key or a value of another type. The message says where.
    #[error("{0}")]
    Syntax(String),
    /// Two users or two clients that cannot be distinguished.
    #[error("{kind} `{name}` occurs twice")]
    Twice {
        /// `client`, `username` or `email`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A client with no way to authenticate, or with two.
    #[error("client `{0}` needs either client_secret or jwks")]
    ClientCredential(String),
    /// A URI to which no browser can be sent.
    #[error("client `{client}`: `{uri}` is not an absolute URI without a fragment")]
    Uri {
        /// The client.
        client: String,
        /// The URI.
        uri: String,
    },
}

impl Directory {
    /// Reads a file's text. Returns all errors, not only the first.
    pub fn from_toml(text: &str) -> Result<Self, Vec<DirectoryError>> {
        let directory: Self =
            toml::from_str(text).map_err(|error| vec![DirectoryError::Syntax(error.to_string())])?;
        let errors = directory.errors();
        if errors.is_empty() { Ok(directory) } else { Err(errors) }
    }

    fn errors(&self) -> Vec<DirectoryError> {
        let mut errors = Vec::new();
        let clients = self.clients.iter().map(|client| client.client_id.clone());
        errors.extend(twice("client", clients));
        errors.extend(twice("username", self.users.iter().map(|user| user.username.to_ascii_lowercase())));
        errors.extend(twice("email", self.users.iter().map(|user| user.email.to_ascii_lowercase())));
        for client in &self.clients {
            if client.client_secret.is_some() == client.jwks.is_some() {
                errors.push(DirectoryError::ClientCredential(client.client_id.clone()));
            }
            let uris = client.redirect_uris.iter().chain(&client.post_logout_redirect_uris);
            errors.extend(
                uris.filter(|uri| !is_absolute(uri))
                    .map(|uri| DirectoryError::Uri { client: client.client_id.clone(), uri: uri.clone() }),
            );
        }
        errors
    }

    /// The client with that id.
    pub(super) fn client(&self, client_id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.client_id == client_id)
    }

    /// The user who signs in with this username or email, without regard to case.
    pub(super) fn user(&self, name: &str) -> Option<&User> {
        self.users
            .iter()
            .find(|user| user.username.eq_ignore_ascii_case(name) || user.email.eq_ignore_ascii_case(name))
    }
}

fn twice(kind: &'static str, names: impl Iterator<Item = String>) -> Vec<DirectoryError> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    let repeated = names.windows(2).filter_map(|pair| match pair {
        [one, other] if one == other => Some(one.clone()),
        _ => None,
    });
    let mut repeated: Vec<String> = repeated.collect();
    repeated.dedup();
    repeated.into_iter().map(|name| DirectoryError::Twice { kind, name }).collect()
}

fn is_absolute(uri: &str) -> bool {
    url::Url::parse(uri).is_ok_and(|url| url.has_host() && url.fragment().is_none())
}

const fn yes() -> bool {
    true
}

fn required_secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    required_secret(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[clients]]
        client_id = "countersign"
        client_secret = "s"
        redirect_uris = ["https://localhost:8443/sso/callback/con_1"]

        [[users]]
        username = "bob"
        password = "Correct-Horse-1"
        name = "Bob"
        email = "bob@acme.test"
    "#;

    #[test]
    fn a_user_is_found_by_username_and_by_email_without_regard_to_case() {
        let directory = Directory::from_toml(FILE).unwrap();
        assert_eq!(directory.user("BOB").unwrap().email, "bob@acme.test");
        assert_eq!(directory.user("Bob@Acme.test").unwrap().username, "bob");
        assert!(directory.user("eve").is_none());
        assert!(directory.client("countersign").is_some());
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place() {
        let text = FILE.replace("name = ", "nmae = ");
        let errors = Directory::from_toml(&text).unwrap_err();
        assert!(
            matches!(&errors[..], [DirectoryError::Syntax(text)] if text.contains("line 10") && text.contains("nmae")),
            "{errors:?}"
        );
    }

    #[test]
    fn all_errors_come_together() {
        let text = format!(
            "{FILE}{FILE}\n[[clients]]\nclient_id = \"bare\"\nredirect_uris = [\"/callback\", \"https://a.test/#f\"]"
        );
        let errors = Directory::from_toml(&text).unwrap_err();
        let wanted = [
            "client `countersign` occurs twice",
            "username `bob` occurs twice",
            "email `bob@acme.test` occurs twice",
            "client `bare` needs either client_secret or jwks",
            "client `bare`: `/callback` is not an absolute URI without a fragment",
            "client `bare`: `https://a.test/#f` is not an absolute URI without a fragment",
        ];
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn a_printed_directory_shows_no_secret() {
        let printed = format!("{:?}", Directory::from_toml(FILE).unwrap());
        assert!(!printed.contains("Correct-Horse-1"), "{printed}");
    }
}
