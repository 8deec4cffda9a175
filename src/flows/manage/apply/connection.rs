//! The connections of an [`apply`](super::apply), with their credentials.

use crate::crypto::certificate::Certificate;
use crate::crypto::constant_time_eq;
use crate::crypto::keys::SigningKey;
use crate::flows::core::credentials::CredentialPart;
use crate::flows::manage::Organizations;
use crate::flows::manage::apply::{Applied, ApplyError, Change, Line, check_room, compare, taken};
use crate::flows::manage::document::{WantedConnection, WantedKey, WantedOrganization, WantedSecret};
use crate::model::{Connection, ConnectionId, Organization, Secret, SigningAlg, UpstreamAuth};
use crate::store::Tx;
use crate::store::organization::connections::{self, SealedCredential};
use crate::store::organization::{domains, organizations};

/// How long the certificate of a connection's key is valid.
const CERTIFICATE_LIFETIME: std::time::Duration = std::time::Duration::from_hours(24 * 365 * 10);

impl Organizations {
    pub(super) async fn apply_connection(
        &self,
        tx: &mut Tx,
        organization: &Organization,
        wanted: &WantedConnection,
        report: &mut Applied,
    ) -> Result<(), ApplyError> {
        let name = format!("{}/{}", organization.handle, wanted.handle);
        let existing = match wanted.id {
            Some(id) => connections::find_connection_of_any_organization(tx, id).await?,
            None => connections::find_connection_by_handle(tx, organization.id, &wanted.handle).await?,
        };
        if existing.as_ref().is_some_and(|old| old.connection.organization != organization.id) {
            return Err(ApplyError::Refused(format!(
                "connection {name}: the id belongs to another organization"
            )));
        }
        let old = existing.as_ref().map(|record| &record.connection);
        let mut connection = self.wanted_connection(organization, wanted, old);
        connection.settings.replaces = self.wanted_replacement(tx, organization, wanted, old).await?;
        let mut change = compare(old, &connection);
        match change {
            Change::Created => {
                let count = connections::count_connections(tx, organization.id).await?;
                check_room(organization, count, self.limits.connections, "connections")?;
                connections::insert_connection(tx, &connection).await
            }
            Change::Changed => connections::update_connection(tx, &connection, self.core.clock.now()).await,
            Change::Unchanged => Ok(()),
        }
        .map_err(|error| taken(error, || format!("connection {name}: the handle is used already")))?;
        let before = existing.map(|record| record.credential).unwrap_or_default();
        let credential = self.wanted_credential(&connection, wanted, &before)?;
        if credential != before {
            connections::update_credential(tx, organization.id, connection.id, &credential).await?;
            change = if change == Change::Created { change } else { Change::Changed };
        }
        let id = connection.id;
        let notes = format!(
            "redirect_uri={} signed_out_uri={}",
            self.core.callback_url(id),
            self.core.url(&format!("/sso/signed-out/{id}"))
        );
        let line = Line { kind: "connection", name, id: id.to_string(), change, notes };
        self.note(tx, organization.id, line, report).await
    }

    /// The connection that the file asks for, based on the stored one.
    fn wanted_connection(
        &self,
        organization: &Organization,
        wanted: &WantedConnection,
        old: Option<&Connection>,
    ) -> Connection {
        let now = self.core.clock.now();
        Connection {
            id: old
                .map(|old| old.id)
                .or(wanted.id)
                .unwrap_or_else(|| ConnectionId::new(now, &*self.core.random)),
            organization: organization.id,
            handle: wanted.handle.clone(),
            name: wanted.name.clone(),
            enabled: wanted.enabled,
            issuer: wanted.issuer.clone(),
            client_id: wanted.client_id.clone(),
            settings: wanted.settings.clone(),
            created_at: old.map_or(now, |old| old.created_at),
        }
    }

    /// The credential that a connection gets: the one in the file, else the stored one. A secret that is stored already
    /// keeps its sealed form.
    fn wanted_credential(
        &self,
        connection: &Connection,
        wanted: &WantedConnection,
        before: &SealedCredential,
    ) -> Result<SealedCredential, ApplyError> {
        let part = |part, wanted: &Option<WantedSecret>, before: &Option<String>| match wanted {
            None => Ok(before.clone()),
            Some(WantedSecret::Sealed(sealed)) => {
                self.core.open_secret(connection.id, part, sealed).map(|_| Some(sealed.clone())).map_err(
                    |error| ApplyError::Refused(format!("connection {}: {error}", connection.handle)),
                )
            }
            Some(WantedSecret::Clear(secret)) => {
                let stored = before
                    .as_ref()
                    .and_then(|sealed| self.core.open_secret(connection.id, part, sealed).ok());
                let same = |stored: &Secret| {
                    constant_time_eq(stored.expose().as_bytes(), secret.expose().as_bytes())
                };
                if stored.as_ref().is_some_and(same) {
                    return Ok(before.clone());
                }
                Ok(Some(self.core.seal_credential(connection.id, part, secret.expose().as_bytes())?))
            }
        };
        let mut credential = SealedCredential {
            secret: part(CredentialPart::Secret, &wanted.secret, &before.secret)?,
            // If the file has none, the stored one is removed: the change to it is done, or was given up.
            next_secret: match &wanted.next_secret {
                None => None,
                next => part(CredentialPart::NextSecret, next, &before.next_secret)?,
            },
            secret_expires_at: wanted.secret_expires_at,
            key: before.key.clone(),
            certificate: before.certificate.clone(),
        };
        if connection.settings.auth == Some(UpstreamAuth::PrivateKeyJwt) {
            if let Some(WantedKey { sealed, certificate }) = &wanted.key {
                self.core.open_connection_key(connection.id, sealed).map_err(|error| {
                    ApplyError::Refused(format!("connection {}: {error}", connection.handle))
                })?;
                credential.key = Some(sealed.clone());
                credential.certificate = Some(certificate.clone());
            } else if credential.key.is_none() {
                let (key, certificate) = self.new_connection_key(connection.id)?;
                credential.key = Some(key);
                credential.certificate = Some(certificate);
            }
        } else {
            credential.key = None;
            credential.certificate = None;
        }
        Ok(credential)
    }

    fn new_connection_key(&self, id: ConnectionId) -> Result<(String, String), ApplyError> {
        let key = SigningKey::generate(SigningAlg::RS256, id.to_string())?;
        let now = self.core.clock.now();
        let until = now.after(CERTIFICATE_LIFETIME);
        let certificate = Certificate::self_signed(&key, &id.to_string(), now, until, &*self.core.random)?;
        let sealed = self.core.seal_credential(id, CredentialPart::Key, &key.to_pkcs8()?)?;
        Ok((sealed, certificate.to_pem().to_owned()))
    }
}

/// Refuses connections that are trusted for email addresses of a domain that another organization owns.
pub(super) async fn check_trusted_domains(
    tx: &mut Tx,
    wanted: &WantedOrganization,
) -> Result<(), ApplyError> {
    let organization = organizations::find_organization_by_handle(tx, &wanted.handle).await?;
    for connection in &wanted.connections {
        for domain in &connection.settings.trusted_email_domains {
            let owner = domains::find_owner(tx, &domain.covering()).await?;
            if owner.is_some_and(|owner| organization.as_ref().is_none_or(|own| own.id != owner.organization))
            {
                return Err(ApplyError::Refused(format!(
                    "connection {}/{}: trusted_email_domains: {domain} belongs to another organization, whose own \
                     connections alone speak for its addresses; remove it",
                    wanted.handle, connection.handle
                )));
            }
        }
    }
    Ok(())
}
