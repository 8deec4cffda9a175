//! Where a user signs in: one decision from the request and the directory.

use crate::model::{ConnectionId, OrganizationId, Routing};

/// The route of a name (handle or domain).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedRoute {
    /// The organization.
    pub organization: OrganizationId,
    /// Whether the shared sign-in page may reveal the route.
    pub routing: Routing,
    /// Whether a domain of the organization is proven.
    pub has_proven_domain: bool,
    /// Its enabled connections for this name, in the order in which they are offered.
    pub connections: Vec<ConnectionId>,
}

/// Where the name was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// In `domain_hint`, by an app of this organization.
    App(OrganizationId),
    /// In the path of a link (`/sso/{name}`).
    Link,
    /// On the shared page, as a domain or in an email address.
    PersonByDomain,
    /// On the shared page, as a handle.
    PersonByHandle,
}

/// The routes of a request's hints; `None` for each hint that the request does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// `idp_hint`: the connections with that handle in the organizations that the app serves.
    pub idp: Option<Vec<ConnectionId>>,
    /// `domain_hint`.
    pub domain: Option<Vec<ConnectionId>>,
    /// The domain of an email in `login_hint`.
    pub login: Option<Vec<ConnectionId>>,
    /// The connections that the app demands.
    pub app: Option<Vec<ConnectionId>>,
}

/// Where to sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// At the identity provider of this connection.
    Connection(ConnectionId),
    /// At one of these connections, as the user chooses.
    Choice(Vec<ConnectionId>),
    /// At the sign-in page, where the user decides.
    Page,
    /// Nowhere: the demands contradict each other, or the connection is disabled.
    Nowhere,
}

/// The connections that a name routes to; none if the asker must not learn of them.
pub fn connections_of(route: Option<&NamedRoute>, by: NamedBy) -> Vec<ConnectionId> {
    let Some(route) = route else { return Vec::new() };
    let known = match (route.routing, by) {
        (_, NamedBy::Link) => true,
        (_, NamedBy::App(organization)) if organization == route.organization => true,
        (Routing::Closed, _) => false,
        (Routing::Open, NamedBy::PersonByHandle) => route.has_proven_domain,
        (Routing::Open, _) => true,
    };
    if known { route.connections.clone() } else { Vec::new() }
}

/// Decides where the user signs in. The demands of the app, of `idp_hint` and of `domain_hint` must all hold; a hint
/// that routes nowhere is ignored. The domain of a `login_hint` narrows the choice where that leaves a connection, and
/// decides alone where nothing else is demanded.
pub fn decide(hints: &Hints) -> Destination {
    let hinted = [&hints.idp, &hints.domain].into_iter().flatten().filter(|hint| !hint.is_empty());
    let demanded = hints.app.iter().chain(hinted).fold(None, |so_far: Option<Vec<ConnectionId>>, hint| {
        Some(match so_far {
            None => hint.clone(),
            Some(before) => before.into_iter().filter(|one| hint.contains(one)).collect(),
        })
    });
    let choice = match (demanded, hints.login.as_ref().filter(|hint| !hint.is_empty())) {
        (None, None) => return Destination::Page,
        (Some(demanded), None) => demanded,
        (None, Some(login)) => login.clone(),
        (Some(demanded), Some(login)) => {
            let both: Vec<_> = demanded.iter().copied().filter(|one| login.contains(one)).collect();
            if both.is_empty() { demanded } else { both }
        }
    };
    match choice.as_slice() {
        [] => Destination::Nowhere,
        [only] => Destination::Connection(*only),
        _ => Destination::Choice(choice),
    }
}

/// The connections through which a session must have been opened: those that the app, `idp_hint` and `domain_hint`
/// allow. `None` if all are allowed.
pub fn allowed_connections(hints: &Hints) -> Option<Vec<ConnectionId>> {
    let mut allowed: Option<Vec<ConnectionId>> = None;
    for hint in [&hints.app, &hints.idp, &hints.domain].into_iter().flatten() {
        allowed = Some(match allowed {
            None => hint.clone(),
            Some(before) => before.into_iter().filter(|one| hint.contains(one)).collect(),
        });
    }
    allowed
}

/// Whether a sign-in through `connection` (`None`: by password) is what the request asked for. The app's own demand
/// always counts; a hint counts unless it routes nowhere.
pub fn is_among(hints: &Hints, connection: Option<ConnectionId>) -> bool {
    let inside = |list: &Vec<ConnectionId>| connection.is_some_and(|used| list.contains(&used));
    let demanded = hints.app.as_ref().is_none_or(inside);
    let hinted =
        [&hints.idp, &hints.domain].into_iter().flatten().filter(|list| !list.is_empty()).all(inside);
    demanded && hinted
}

#[cfg(test)]
mod tests {
    use super::*;
    use NamedBy::{App, Link, PersonByDomain, PersonByHandle};
    use Routing::{Closed, Open};

    fn con(number: u8) -> ConnectionId {
        ConnectionId::from_bytes([number; 16])
    }

    fn list(numbers: &[u8]) -> Vec<ConnectionId> {
        numbers.iter().map(|number| con(*number)).collect()
    }

    #[test]
    fn what_is_demanded_holds_and_a_login_hint_only_narrows() {
        let none = Hints::default();
        let only = |number| Destination::Connection(con(number));
        for (hints, destination) in [
            (none.clone(), Destination::Page),
            (Hints { idp: Some(list(&[1])), domain: Some(list(&[1, 2])), ..none.clone() }, only(1)),
            (Hints { idp: Some(list(&[1])), domain: Some(list(&[2])), ..none.clone() }, Destination::Nowhere),
            (Hints { idp: Some(list(&[])), domain: Some(list(&[2])), ..none.clone() }, only(2)),
            (Hints { domain: Some(list(&[1, 2])), ..none.clone() }, Destination::Choice(list(&[1, 2]))),
            (Hints { domain: Some(list(&[1, 2])), login: Some(list(&[2])), ..none.clone() }, only(2)),
            (
                Hints { login: Some(list(&[3])), app: Some(list(&[1, 2])), ..none.clone() },
                Destination::Choice(list(&[1, 2])),
            ),
            (Hints { login: Some(list(&[2])), app: Some(list(&[1, 2])), ..none.clone() }, only(2)),
            (Hints { app: Some(list(&[1])), idp: Some(list(&[2])), ..none.clone() }, Destination::Nowhere),
            (Hints { app: Some(list(&[])), ..none.clone() }, Destination::Nowhere),
            (Hints { app: Some(list(&[1])), ..none.clone() }, only(1)),
            (Hints { login: Some(list(&[4])), ..none.clone() }, only(4)),
            (Hints { login: Some(list(&[])), ..none }, Destination::Page),
        ] {
            assert_eq!(decide(&hints), destination, "{hints:?}");
        }
    }

    #[test]
    fn a_session_must_fit_app_and_hints_but_not_the_login_hint() {
        let none = Hints::default();
        assert_eq!(allowed_connections(&none), None);
        assert_eq!(allowed_connections(&Hints { login: Some(list(&[1])), ..none.clone() }), None);
        assert_eq!(
            allowed_connections(&Hints {
                app: Some(list(&[1, 2])),
                idp: Some(list(&[2, 3])),
                ..none.clone()
            }),
            Some(list(&[2]))
        );
        assert_eq!(allowed_connections(&Hints { idp: Some(list(&[])), ..none }), Some(list(&[])));
    }

    #[test]
    fn a_sign_in_by_another_way_is_not_what_was_asked_for() {
        let none = Hints::default();
        assert!(is_among(&none, None) && is_among(&none, Some(con(1))));
        let app = Hints { app: Some(list(&[1])), ..none.clone() };
        assert!(is_among(&app, Some(con(1))) && !is_among(&app, Some(con(2))) && !is_among(&app, None));
        let unknown = Hints { idp: Some(list(&[])), ..none.clone() };
        assert!(is_among(&unknown, None));
        let hinted = Hints { domain: Some(list(&[1, 2])), ..none };
        assert!(
            is_among(&hinted, Some(con(2))) && !is_among(&hinted, Some(con(3))) && !is_among(&hinted, None)
        );
        let nothing_left = Hints { app: Some(list(&[])), ..Hints::default() };
        assert!(!is_among(&nothing_left, Some(con(1))));
    }

    #[test]
    fn closed_routing_tells_only_its_own_link_and_apps() {
        let (own, other) = (OrganizationId::from_bytes([1; 16]), OrganizationId::from_bytes([2; 16]));
        let route = |routing, has_proven_domain| NamedRoute {
            organization: own,
            routing,
            has_proven_domain,
            connections: vec![con(1)],
        };
        let known = |route: NamedRoute, by| !connections_of(Some(&route), by).is_empty();
        for (routing, proven, by, expected) in [
            (Open, true, PersonByDomain, true),
            (Open, true, PersonByHandle, true),
            (Open, false, PersonByHandle, false),
            (Open, false, App(other), true),
            (Closed, true, PersonByDomain, false),
            (Closed, true, PersonByHandle, false),
            (Closed, true, App(own), true),
            (Closed, true, App(other), false),
            (Closed, true, Link, true),
            (Open, false, Link, true),
        ] {
            assert_eq!(known(route(routing, proven), by), expected, "{routing} {proven} {by:?}");
        }
        assert!(connections_of(None, Link).is_empty());
    }
}
