//! The tour: a scripted browser performs the demo's sign-ins. It prints each hop with what was checked and how long it
//! took.
//!
//! It uses the same servers as a user's browser. It ends with an error at the first thing that is not as it should be.

mod forms;
mod inspect;
mod walker;

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use self::inspect::Inspector;
use self::walker::{Page, Walker};
use super::demo_plan::{DemoOrganization, DemoPerson, DemoPlan};
use super::fetch::{Fetch, FetchError};
use crate::model::Clock;

/// How often the tour looks for a mail, and how long it waits in between.
const MAIL_TRIES: usize = 20;
const MAIL_WAIT: Duration = Duration::from_millis(500);

/// Why the tour ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TourError {
    /// A server did not respond.
    #[error("{url} does not answer: {error}")]
    NoAnswer {
        /// The address, without its query.
        url: String,
        /// The cause.
        error: FetchError,
    },
    /// A page without the wanted link, button or field.
    #[error("{url} has no usable `{wanted}`; it is: {found}")]
    Page {
        /// The address, without its query.
        url: String,
        /// The element that was wanted.
        wanted: String,
        /// The description of the page.
        found: String,
    },
    /// Redirects that do not end, or do not name a target.
    #[error("the redirects from {0} lead nowhere")]
    Loop(String),
    /// A hop that does not meet a requirement.
    #[error("at {url}, this requirement is not met: {demand}")]
    Demand {
        /// The address, without its query.
        url: String,
        /// The requirement.
        demand: &'static str,
    },
    /// A claim with another value in the token that the app has validated.
    #[error("the app has got {name} = {found} instead of {wanted}")]
    Claim {
        /// The claim.
        name: &'static str,
        /// The value that it must have.
        wanted: String,
        /// The value that it has.
        found: String,
    },
}

/// The tour itself.
struct Tour<'a> {
    plan: &'a DemoPlan,
    fetch: &'a dyn Fetch,
    clock: &'a dyn Clock,
    report: &'a mut (dyn FnMut(&str) + Send),
}

/// How a sign-in starts at the app.
enum Start<'a> {
    /// With the app's ordinary link; at the broker, the user enters the domain of their organization.
    CustomDomain(&'a DemoOrganization),
    /// With the app's link for that organization.
    Shortcut(&'a DemoOrganization),
}

/// Performs all of the demo's sign-ins, each in a browser of its own, and reports line by line.
pub async fn run(
    plan: &DemoPlan,
    fetch: &dyn Fetch,
    clock: &dyn Clock,
    report: &mut (dyn FnMut(&str) + Send),
) -> Result<(), TourError> {
    let mut tour = Tour { plan, fetch, clock, report };
    tour.brokered(&Start::CustomDomain(&plan.acme)).await?;
    tour.brokered(&Start::Shortcut(&plan.globex)).await?;
    tour.link().await?;
    tour.local().await?;
    (tour.report)("The tour is done: every step worked.");
    Ok(())
}

impl Tour<'_> {
    /// A sign-in at the organization's own identity provider.
    async fn brokered(&mut self, start: &Start<'_>) -> Result<(), TourError> {
        let (Start::CustomDomain(organization) | Start::Shortcut(organization)) = start;
        let provider = organization.vendor.habits().name;
        let how = match start {
            Start::CustomDomain(_) => "by \"Use custom domain\"",
            Start::Shortcut(_) => "by the app's own link (domain_hint)",
        };
        (self.report)(&format!("{}: a sign-in at {provider}, {how}", organization.name));
        let mut inspector = Inspector::new(self.plan, Some(organization), self.report);
        let mut walker = Walker::new(self.fetch, self.clock, &mut inspector);
        let home = walker.open(&self.plan.app).await?;
        let sign_in = match start {
            Start::CustomDomain(_) => {
                let page = walker.click(&home, "sign-in-with-countersign", &[]).await?;
                let page = walker.click(&page, "use-custom-domain", &[]).await?;
                walker.click(&page, "continue", &[("domain", organization.domain)]).await?
            }
            Start::Shortcut(_) => {
                walker.click(&home, &format!("sign-in-{}", organization.handle), &[]).await?
            }
        };
        let person = &organization.person;
        let filled = [("emulator-username", person.email), ("emulator-password", person.password.expose())];
        let done = walker.click(&sign_in, "emulator-sign-in", &filled).await?;
        inspector.finish()?;
        self.validate(&done, person)
    }

    /// A first sign-in at the identity provider, linked with an account that has a password: offer, proof,
    /// confirmation. Then the other way leads to the same account.
    async fn link(&mut self) -> Result<(), TourError> {
        let (organization, linker) = (&self.plan.acme, &self.plan.linker);
        let provider = organization.vendor.habits().name;
        let title = format!("{}: a first sign-in at {provider}, linked with a password", organization.name);
        (self.report)(&title);
        let mut inspector = Inspector::new(self.plan, Some(organization), self.report);
        let mut walker = Walker::new(self.fetch, self.clock, &mut inspector);
        let home = walker.open(&self.plan.app).await?;
        let sign_in = walker.click(&home, &format!("sign-in-{}", organization.handle), &[]).await?;
        let (there, here) = (&linker.at_provider, &linker.local);
        let filled = [("emulator-username", there.email), ("emulator-password", there.password.expose())];
        let offer = walker.click(&sign_in, "emulator-sign-in", &filled).await?;
        let prove = walker.click(&offer, "link-accounts", &[]).await?;
        let filled = [("username", here.username), ("password", here.password.expose())];
        let confirm = walker.click(&prove, "sign-in", &filled).await?;
        let linked = walker.click(&confirm, "link-confirm", &[]).await?;
        inspector.finish()?;
        self.validate(&linked, here)?;
        (self.report)("    the same person, with the password this time");
        let by_password = self.by_password(here).await?;
        let (one, other) = (linked.document.text("claim-sub"), by_password.document.text("claim-sub"));
        let (Some(wanted), true) = (one, one == other) else {
            let text = |sub: Option<&str>| sub.unwrap_or("missing").to_owned();
            return Err(TourError::Claim { name: "sub", wanted: text(one), found: text(other) });
        };
        (self.report)(&format!("    both ways lead to one account: sub = {wanted}"));
        self.mail(here).await
    }

    /// Waits for the mail that tells the user about the link; the broker sends it within a second.
    async fn mail(&mut self, person: &DemoPerson) -> Result<(), TourError> {
        let mut inspector = Inspector::new(self.plan, None, self.report);
        let mut walker = Walker::new(self.fetch, self.clock, &mut inspector);
        let mut page = walker.open(&self.plan.mails).await?;
        for _ in 0..MAIL_TRIES {
            if page.document.has("mail-1") {
                break;
            }
            tokio::time::sleep(MAIL_WAIT).await;
            page = walker.open(&self.plan.mails).await?;
        }
        let (Some(subject), Some(to)) = (page.document.text("mail-1"), page.document.text("to-1")) else {
            return Err(page.lacks("mail-1"));
        };
        if to != format!("to {}", person.email) {
            let (wanted, found) = (person.email.to_owned(), to.to_owned());
            return Err(TourError::Claim { name: "to", wanted, found });
        }
        (self.report)(&format!("    a mail {to} tells of it: {subject}"));
        Ok(())
    }

    /// A sign-in with a password at the broker.
    async fn local(&mut self) -> Result<(), TourError> {
        let person = &self.plan.local;
        (self.report)(&format!("{}: a sign-in with a password at the broker", self.plan.acme.name));
        self.by_password(person).await.map(drop)
    }

    async fn by_password(&mut self, person: &DemoPerson) -> Result<Page, TourError> {
        let mut inspector = Inspector::new(self.plan, None, self.report);
        let mut walker = Walker::new(self.fetch, self.clock, &mut inspector);
        let home = walker.open(&self.plan.app).await?;
        let sign_in = walker.click(&home, "sign-in-with-countersign", &[]).await?;
        let filled = [("username", person.username), ("password", person.password.expose())];
        let done = walker.click(&sign_in, "sign-in", &filled).await?;
        inspector.finish()?;
        self.validate(&done, person)?;
        Ok(done)
    }

    /// Checks the claims that the app has validated, and prints them. UserInfo may have those that the ID token leaves
    /// out.
    fn validate(&mut self, page: &Page, person: &DemoPerson) -> Result<(), TourError> {
        let wanted = [
            ("iss", self.plan.issuer()),
            ("aud", super::demo_plan::APP_CLIENT_ID),
            ("email", person.email),
            ("email_verified", "true"),
        ];
        if !page.document.has("sign-out") {
            return Err(page.lacks("sign-out"));
        }
        for (name, wanted) in wanted {
            let in_userinfo = || page.document.text(&format!("userinfo-{name}"));
            let found =
                page.document.text(&format!("claim-{name}")).or_else(in_userinfo).unwrap_or("missing");
            if found != wanted {
                let (wanted, found) = (wanted.to_owned(), found.to_owned());
                return Err(TourError::Claim { name, wanted, found });
            }
        }
        (self.report)("    the app validated an ID token (signature, iss, aud, exp, iat, nonce, at_hash):");
        for (name, value) in page.document.texts("claim-") {
            (self.report)(&format!("        {name} = {value}"));
        }
        Ok(())
    }
}
