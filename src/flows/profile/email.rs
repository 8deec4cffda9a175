//! The proof of an email address, as the database has it now. The database keeps what a provider said at a sign-in.
//! Whether the provider may say so is decided again each time that something depends on it, since domains and settings
//! change.

use crate::model::{Account, ConnectionId, Email, OrganizationId, OwnedDomain};
use crate::policy::account::email::{DomainOwner, EmailProof, decide};
use crate::store::organization::{connections, domains};
use crate::store::{StoreError, Tx};

/// How far an email address is proven if a connection's provider vouches for it.
pub(in crate::flows) async fn email_proof(
    tx: &mut Tx,
    (organization, connection): (OrganizationId, ConnectionId),
    email: &Email,
) -> Result<EmailProof, StoreError> {
    let found = domains::find_owner_and_connections(tx, &OwnedDomain::candidates(email.domain())).await?;
    let owner =
        found.map(|(found, connections)| DomainOwner { organization: found.organization, connections });
    let routes = owner.as_ref().is_some_and(|owner| owner.routes(organization, connection));
    let record =
        if routes { None } else { connections::find_connection(tx, organization, connection).await? };
    let record = record.filter(|record| record.connection.enabled);
    let trusted = record.map(|record| record.connection.settings.trusted_email_domains).unwrap_or_default();
    Ok(decide(organization, connection, email.domain(), owner.as_ref(), &trusted))
}

/// How far the email address of an account is proven.
pub(in crate::flows) async fn account_email_proof(
    tx: &mut Tx,
    account: &Account,
) -> Result<EmailProof, StoreError> {
    let Some(email) = account.email.as_ref().filter(|_| account.email_verified) else {
        return Ok(EmailProof::Unproven);
    };
    match (account.email_from, account.organization) {
        // The operator has declared it.
        (None, _) => Ok(EmailProof::Everywhere),
        (Some(connection), Some(organization)) => email_proof(tx, (organization, connection), email).await,
        (Some(_), None) => Ok(EmailProof::Unproven),
    }
}
