//! The parts around every page (language, header, footer), and the small values that several pages share.

use std::borrow::Cow;

use askama::filters::HtmlSafeOutput;
use http::StatusCode;

use super::path;
use crate::flows::directory::BrandView;
use crate::flows::refusal::PublicCode;
use crate::model::Timestamp;
use crate::web::asset::Assets;
use crate::web::errors::{helper, status};
use crate::web::text::locale::Locale;
use crate::web::text::{LocaleError, Locales, Text};

/// Texts and assets of all pages, read once at start and shared.
#[derive(Debug)]
pub struct Pages {
    locales: Locales,
    assets: Assets,
}

impl Pages {
    /// Reads the texts and assets that were built into the binary.
    pub fn embedded() -> Result<Self, LocaleError> {
        Ok(Self { locales: Locales::embedded()?, assets: Assets::embedded() })
    }

    /// The files that pages refer to.
    pub const fn assets(&self) -> &Assets {
        &self.assets
    }

    /// An organization as its pages show it.
    fn brand(&self, view: BrandView) -> Brand {
        Brand {
            style: self.assets.style_of(view.organization, &view.look),
            has_logo: view.look.logo.is_some(),
            name: view.name,
        }
    }

    /// A frame with the organization's brand, if the page belongs to one.
    pub fn branded(&self, locale: Locale, here: &str, brand: Option<BrandView>) -> Frame<'_> {
        Frame { organization: brand.map(|view| self.brand(view)), ..self.frame(locale, here) }
    }

    /// A frame in `locale`. `here` is the path and query with which a GET shows the same page again. The links to the
    /// other languages lead there, with `ui_locales` added.
    pub fn frame(&self, locale: Locale, here: &str) -> Frame<'_> {
        Frame {
            text: self.locales.text(locale),
            assets: &self.assets,
            here: here.to_owned(),
            organization: None,
            app: None,
            receipt: None,
        }
    }
}

/// An organization as its pages show it.
#[derive(Debug, Clone, Default)]
pub struct Brand {
    /// Its name.
    pub name: String,
    /// The path of its stylesheet, if it has a look of its own.
    pub style: Option<String>,
    /// Whether that stylesheet has its logo.
    pub has_logo: bool,
}

/// The parts around a page's own content.
pub struct Frame<'a> {
    text: Text<'a>,
    assets: &'a Assets,
    here: String,
    /// The organization whose page this is; its name takes the wordmark's place.
    pub organization: Option<Brand>,
    /// The name of the app that sent the user here.
    pub app: Option<String>,
    /// The short code under which the attempt can be looked up.
    pub receipt: Option<String>,
}

impl<'a> Frame<'a> {
    /// The texts of the page's language.
    pub const fn text(&self) -> Text<'a> {
        self.text
    }

    /// The links of the footer: every language with its address, `None` for the language of this page.
    pub(in crate::web) fn languages(&self) -> impl Iterator<Item = (Locale, Option<String>)> + '_ {
        Locale::ALL.into_iter().map(|locale| {
            let elsewhere = locale != self.text.locale();
            (locale, elsewhere.then(|| path::in_language(&self.here, locale.tag())))
        })
    }

    /// The name of the site, which ends the title of every page.
    pub(in crate::web) fn site(&self) -> Cow<'_, str> {
        self.organization.as_ref().map_or_else(|| self.say("site"), |brand| Cow::Borrowed(&brand.name))
    }

    pub(in crate::web) fn style(&self) -> &str {
        let own = self.organization.as_ref().and_then(|brand| brand.style.as_deref());
        own.unwrap_or_else(|| self.assets.style())
    }

    pub(in crate::web) fn has_logo(&self) -> bool {
        self.organization.as_ref().is_some_and(|brand| brand.has_logo)
    }

    pub(in crate::web) fn script(&self) -> &str {
        self.assets.script()
    }

    pub(in crate::web) fn say(&self, key: &str) -> Cow<'a, str> {
        self.text.say(key)
    }

    pub(in crate::web) fn tell(&self, key: &str, name: &'static str, value: &str) -> String {
        self.text.tell(key, name, value)
    }

    pub(in crate::web) fn mark(&self, key: &str, name: &'static str, value: &str) -> HtmlSafeOutput<String> {
        self.text.mark(key, name, value)
    }

    /// A point in time. It is passed by reference because templates hold references.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass what they show by reference")]
    pub(in crate::web) fn moment(&self, time: &Timestamp) -> String {
        self.text.moment(*time)
    }

    /// The text that says what happened.
    pub(in crate::web) fn what(&self, failure: &Failure) -> Cow<'a, str> {
        self.text.say(&failure.key(""))
    }

    /// The text that says why it happened.
    pub(in crate::web) fn why(&self, failure: &Failure) -> Cow<'a, str> {
        self.text.say(&failure.key(".why"))
    }

    /// The text that says what to do now, and who can help if the page shows a receipt.
    pub(in crate::web) fn next(&self, failure: &Failure) -> Cow<'a, str> {
        let next = match failure.code.wait() {
            Some(span) => Cow::Owned(self.text.wait(span)),
            None => self.text.say(&failure.key(".next")),
        };
        match (helper(&failure.code), &self.receipt) {
            (Some(helper), Some(_)) => Cow::Owned(format!("{next} {}", self.text.say(helper.key()))),
            _ => next,
        }
    }
}

/// The failure that a page reports. If the time to wait is known, it replaces the text about what to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    code: PublicCode,
}

impl Failure {
    /// The failure with this code.
    pub const fn new(code: PublicCode) -> Self {
        Self { code }
    }

    /// The code, as `data-error` carries it.
    pub const fn code(&self) -> &'static str {
        self.code.as_str()
    }

    /// The status of a page that shows nothing but this failure.
    pub const fn status(&self) -> StatusCode {
        status(&self.code)
    }

    fn key(&self, attribute: &str) -> String {
        format!("error-{}{attribute}", self.code.as_str())
    }
}

/// The hidden fields of a form.
#[derive(Debug, Clone, Default)]
pub struct Form {
    /// The token that proves that the broker made the form (field `form_token`).
    pub token: String,
    /// The flow that the form belongs to (field `flow`), if it has one.
    pub flow: Option<String>,
}

impl Form {
    /// The address of `path` within the same flow.
    pub(in crate::web) fn link(&self, path: &str) -> String {
        self.flow.as_deref().map_or_else(|| path.to_owned(), |flow| path::with_query(path, "flow", flow))
    }
}
