//! The accounts that may use an app, and the scopes that it may have.

use crate::model::{Account, App, Audience, ConsentMode, LocalSignIn, Membership, Organization, Prompt};

/// Whether accounts of an organization may use an app. An unattached account may use an app that is open to any.
pub fn may_use(app: &App, account: Option<Membership<'_>>) -> bool {
    match (&app.settings.audience, account) {
        (Audience::Any, _) => true,
        (_, None) => false,
        (Audience::Own, Some(member)) => member.organization == app.organization,
        (Audience::Organizations(handles), Some(member)) => {
            member.organization == app.organization || handles.contains(member.handle)
        }
    }
}

/// Whether the app lets in the accounts of its own organization and no others.
pub fn serves_its_own_alone(app: &App) -> bool {
    app.settings.audience == Audience::Own
}

/// Whether an account may sign in by its password, and keep a session that a password opened, under the present rules
/// of its organization.
pub fn may_use_password(account: &Account, organization: Option<&Organization>) -> bool {
    let rule = organization.map(|organization| organization.policy.local_sign_in);
    allows_password(account.organization.is_some(), rule, account.break_glass)
}

/// The same decision from plain values. `attached` says whether the account belongs to an organization; `rule` is the
/// rule of that organization.
pub fn allows_password(attached: bool, rule: Option<LocalSignIn>, break_glass: bool) -> bool {
    match rule {
        None => !attached,
        Some(LocalSignIn::All) => true,
        Some(LocalSignIn::BreakGlass) => break_glass,
        Some(LocalSignIn::None) => false,
    }
}

/// The fewest people who must be able to sign in by password where only break-glass accounts may use one.
const BREAK_GLASS_PEOPLE: i64 = 2;

/// Whether an organization that keeps passwords for emergencies has enough people who could use one. `people` is the
/// number of its enabled break-glass accounts that have a password.
pub const fn has_enough_break_glass(local_sign_in: LocalSignIn, people: i64) -> bool {
    !matches!(local_sign_in, LocalSignIn::BreakGlass) || people >= BREAK_GLASS_PEOPLE
}

/// Whether the user must be asked before the app gets the scopes `wanted`. `given` are the scopes that the user has
/// consented to before.
pub fn needs_consent(app: &App, wanted: &[String], given: Option<&[String]>, prompt: &[Prompt]) -> bool {
    if prompt.contains(&Prompt::Consent) {
        return true;
    }
    // RFC 9700, section 4.14: another app on the device may receive the response of a public app at such an address.
    let can_be_impersonated =
        app.is_public() && app.settings.redirect_uris.iter().any(|uri| !uri.starts_with("https://"));
    if can_be_impersonated {
        return true;
    }
    let covered = given.is_some_and(|given| wanted.iter().all(|scope| given.contains(scope)));
    app.settings.consent == ConsentMode::Explicit && !covered
}

/// Those of `scopes` that are allowed now: the scopes of an app can shrink after some were granted.
pub fn within(scopes: &[String], allowed: &[String]) -> Vec<String> {
    scopes.iter().filter(|scope| allowed.contains(scope)).cloned().collect()
}

/// The scopes of a refresh request: what was granted, or fewer. `None` when it asks for more.
pub fn narrow_scopes(granted: &[String], asked: Option<&[String]>) -> Option<Vec<String>> {
    match asked {
        None => Some(granted.to_vec()),
        Some(asked) => asked.iter().all(|scope| granted.contains(scope)).then(|| asked.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppAuthMethod, Handle, OrganizationId};
    use crate::policy::provider::request::tests::app;

    fn scopes(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_organization_decides_who_may_use_a_password() {
        for (attached, rule, break_glass, expected) in [
            (false, None, false, true),
            (true, None, true, false),
            (true, Some(LocalSignIn::All), false, true),
            (true, Some(LocalSignIn::BreakGlass), true, true),
            (true, Some(LocalSignIn::BreakGlass), false, false),
            (true, Some(LocalSignIn::None), true, false),
        ] {
            assert_eq!(allows_password(attached, rule, break_glass), expected, "{rule:?}");
        }
    }

    #[test]
    fn an_app_serves_its_own_organization_unless_it_says_more() {
        let (acme, globex): (Handle, Handle) = ("acme".parse().unwrap(), "globex".parse().unwrap());
        let own = app(|_| ());
        let other = OrganizationId::from_bytes([9; 16]);
        let of = |organization, handle| Some(Membership { organization, handle });
        assert!(may_use(&own, of(own.organization, &acme)));
        assert!(!may_use(&own, of(other, &globex)));
        assert!(!may_use(&own, None));
        let listed = app(|settings| settings.audience = Audience::Organizations(vec![globex.clone()]));
        assert!(may_use(&listed, of(other, &globex)) && !may_use(&listed, of(other, &acme)));
        let any = app(|settings| settings.audience = Audience::Any);
        assert!(may_use(&any, None) && may_use(&any, of(other, &globex)));
        assert!(serves_its_own_alone(&own) && !serves_its_own_alone(&listed) && !serves_its_own_alone(&any));
    }

    #[test]
    fn an_emergency_needs_two_people_with_a_password() {
        assert!(!has_enough_break_glass(LocalSignIn::BreakGlass, 1));
        assert!(has_enough_break_glass(LocalSignIn::BreakGlass, 2));
        assert!(has_enough_break_glass(LocalSignIn::All, 0) && has_enough_break_glass(LocalSignIn::None, 0));
    }

    #[test]
    fn consent_is_asked_for_what_was_not_given() {
        let implicit = app(|_| ());
        let explicit = app(|settings| settings.consent = ConsentMode::Explicit);
        let (openid, more) = (scopes("openid"), scopes("openid email"));
        assert!(!needs_consent(&implicit, &more, None, &[]));
        assert!(needs_consent(&implicit, &more, Some(&more), &[Prompt::Consent]));
        assert!(needs_consent(&explicit, &openid, None, &[]));
        assert!(!needs_consent(&explicit, &openid, Some(&more), &[]));
        assert!(needs_consent(&explicit, &more, Some(&openid), &[]));
    }

    #[test]
    fn a_public_app_without_https_asks_every_time() {
        let native = app(|settings| {
            settings.auth_method = AppAuthMethod::None;
            settings.redirect_uris = vec!["com.example.app:/cb".to_owned()];
        });
        assert!(needs_consent(&native, &scopes("openid"), Some(&scopes("openid")), &[]));
    }

    #[test]
    fn a_scope_taken_from_the_app_is_taken_from_its_tokens() {
        assert_eq!(within(&scopes("openid email"), &scopes("openid phone")), scopes("openid"));
    }

    #[test]
    fn scopes_never_grow() {
        let granted = scopes("openid email");
        assert_eq!(narrow_scopes(&granted, None), Some(granted.clone()));
        assert_eq!(narrow_scopes(&granted, Some(&scopes("openid"))), Some(scopes("openid")));
        assert_eq!(narrow_scopes(&granted, Some(&scopes("openid phone"))), None);
    }
}
