//! Whether an email that an identity provider vouches for counts as proven, and for which apps.
//!
//! An identity provider vouches for the domains that route to its connection, and for the domains that the
//! connection's settings name (`trusted_email_domains`). It never vouches for a domain that another organization owns.

use crate::model::{ConnectionId, DomainName, OrganizationId, OwnedDomain};

/// How far an email counts as proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EmailProof {
    /// It is not proven at all.
    Unproven,
    /// It counts only for apps of the account's own organization.
    OwnApps,
    /// It counts for every app.
    Everywhere,
}

impl EmailProof {
    /// Whether it counts inside the account's organization.
    pub const fn is_proven(self) -> bool {
        !matches!(self, Self::Unproven)
    }

    /// Whether it counts for an app. `own` says whether the app belongs to the account's organization.
    pub const fn counts_for(self, own: bool) -> bool {
        match self {
            Self::Unproven => false,
            Self::OwnApps => own,
            Self::Everywhere => true,
        }
    }
}

/// The owner of an email's domain, found by the most specific name that an organization owns, and the connections to
/// which that name routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainOwner {
    /// The organization.
    pub organization: OrganizationId,
    /// The enabled connections to which the name routes.
    pub connections: Vec<ConnectionId>,
}

impl DomainOwner {
    /// Whether the name belongs to this organization and routes to this connection.
    pub fn routes(&self, organization: OrganizationId, connection: ConnectionId) -> bool {
        self.organization == organization && self.connections.contains(&connection)
    }
}

/// Decides how far an email counts as proven. The identity provider of `connection` vouches for it; `organization`
/// owns that connection; `owner` owns the email's domain; `trusted` are the domains that the connection's settings
/// name.
pub fn decide(
    organization: OrganizationId,
    connection: ConnectionId,
    domain: &DomainName,
    owner: Option<&DomainOwner>,
    trusted: &[OwnedDomain],
) -> EmailProof {
    let is_named = trusted.iter().any(|named| named.covers(domain));
    match owner {
        Some(owner) if owner.routes(organization, connection) => EmailProof::Everywhere,
        Some(owner) if owner.organization == organization && is_named => EmailProof::Everywhere,
        None if is_named => EmailProof::OwnApps,
        Some(_) | None => EmailProof::Unproven,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALPHA: OrganizationId = OrganizationId::from_bytes([1; 16]);
    const BETA: OrganizationId = OrganizationId::from_bytes([2; 16]);
    const MAIN: ConnectionId = ConnectionId::from_bytes([3; 16]);
    const PARTNER: ConnectionId = ConnectionId::from_bytes([4; 16]);

    fn owned(organization: OrganizationId, connections: &[ConnectionId]) -> DomainOwner {
        DomainOwner { organization, connections: connections.to_vec() }
    }

    /// A name, the connection that vouches, the owner of the domain, the domains that the settings name, and the
    /// expected proof.
    type Case = (&'static str, ConnectionId, Option<DomainOwner>, &'static [&'static str], EmailProof);

    #[test]
    fn a_provider_speaks_for_what_routes_to_it_or_was_named_and_never_for_what_others_own() {
        use EmailProof::{Everywhere, OwnApps, Unproven};
        let cases: [Case; 16] = [
            ("the domain routes here", MAIN, Some(owned(ALPHA, &[MAIN])), &[], Everywhere),
            ("it routes here among others", PARTNER, Some(owned(ALPHA, &[MAIN, PARTNER])), &[], Everywhere),
            ("it routes to another connection", PARTNER, Some(owned(ALPHA, &[MAIN])), &[], Unproven),
            ("it routes nowhere", MAIN, Some(owned(ALPHA, &[])), &[], Unproven),
            (
                "it routes elsewhere and is named",
                PARTNER,
                Some(owned(ALPHA, &[MAIN])),
                &["a.test"],
                Everywhere,
            ),
            ("it routes nowhere and is named", MAIN, Some(owned(ALPHA, &[])), &["a.test"], Everywhere),
            ("a neighbour is named", PARTNER, Some(owned(ALPHA, &[MAIN])), &["b.test"], Unproven),
            ("names below are named", PARTNER, Some(owned(ALPHA, &[MAIN])), &["*.a.test"], Unproven),
            ("nobody owns it", MAIN, None, &[], Unproven),
            ("nobody owns it and it is named", PARTNER, None, &["a.test"], OwnApps),
            ("the second name is it", PARTNER, None, &["b.test", "a.test"], OwnApps),
            ("nobody owns it and names below are named", PARTNER, None, &["*.a.test"], Unproven),
            ("another organization owns it", MAIN, Some(owned(BETA, &[])), &[], Unproven),
            ("another owns it although it is named", MAIN, Some(owned(BETA, &[])), &["a.test"], Unproven),
            (
                "another owns it and names our connection",
                MAIN,
                Some(owned(BETA, &[MAIN])),
                &["a.test"],
                Unproven,
            ),
            ("the suffix alone is equal", PARTNER, None, &["test.test", "aa.test"], Unproven),
        ];
        for (name, connection, owner, trusted, expected) in cases {
            let trusted: Vec<OwnedDomain> = trusted.iter().map(|text| text.parse().unwrap()).collect();
            let decided = decide(ALPHA, connection, &"a.test".parse().unwrap(), owner.as_ref(), &trusted);
            assert_eq!(decided, expected, "{name}");
        }
        let below = "x.a.test".parse().unwrap();
        let trusted = ["*.a.test".parse().unwrap()];
        assert_eq!(decide(ALPHA, PARTNER, &below, None, &trusted), OwnApps);
    }

    #[test]
    fn what_is_proven_outside_the_own_domains_is_no_news_for_apps_of_others() {
        for (proof, inside, own, other) in [
            (EmailProof::Unproven, false, false, false),
            (EmailProof::OwnApps, true, true, false),
            (EmailProof::Everywhere, true, true, true),
        ] {
            assert_eq!(
                (proof.is_proven(), proof.counts_for(true), proof.counts_for(false)),
                (inside, own, other),
                "{proof:?}"
            );
        }
    }
}
