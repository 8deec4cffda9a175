//! The texts of the pages, by key.
//!
//! They are Fluent files under `locales/`, one folder per language, embedded in the binary and read once at start. A
//! page reads them through [`Text`]. A test checks that the files have every key that a page uses, and that all
//! languages have the same keys.

pub mod locale;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use askama::filters::{Escaper, Html, HtmlSafeOutput};
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};

use crate::model::Timestamp;
use locale::Locale;

/// An embedded language file that cannot be read. This is a mistake in the build, found when the program starts.
#[derive(Debug, thiserror::Error)]
#[error("the texts of `{language}` cannot be read: {detail}")]
pub struct LocaleError {
    /// The tag of the language.
    pub language: &'static str,
    /// The message of the reader.
    pub detail: String,
}

/// Private-use characters that stand for the tags around a marked variable until the text is escaped.
const BEGIN: char = '\u{e000}';
const END: char = '\u{e001}';

type Bundle = FluentBundle<FluentResource>;

/// The texts of all languages, read once at start.
pub struct Locales {
    english: Bundle,
    german: Bundle,
}

impl fmt::Debug for Locales {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locales").finish_non_exhaustive()
    }
}

impl Locales {
    /// Reads the texts that were built into the binary.
    pub fn embedded() -> Result<Self, LocaleError> {
        Ok(Self { english: bundle(Locale::English)?, german: bundle(Locale::German)? })
    }

    /// The texts of one language.
    pub const fn text(&self, locale: Locale) -> Text<'_> {
        let bundle = match locale {
            Locale::English => &self.english,
            Locale::German => &self.german,
        };
        Text { locale, bundle }
    }
}

fn bundle(locale: Locale) -> Result<Bundle, LocaleError> {
    let error = |detail: String| LocaleError { language: locale.tag(), detail };
    let tag = locale.tag().parse().map_err(|wrong| error(format!("{wrong}")))?;
    let mut bundle = Bundle::new_concurrent(vec![tag]);
    // The page isolates names with `dir="auto"`. Marks in the text would be copied along with it.
    bundle.set_use_isolating(false);
    for source in sources(locale) {
        let resource =
            FluentResource::try_new(source.to_owned()).map_err(|(_, wrong)| error(format!("{wrong:?}")))?;
        bundle.add_resource(resource).map_err(|wrong| error(format!("{wrong:?}")))?;
    }
    Ok(bundle)
}

/// The embedded files of one language.
pub(super) const fn sources(locale: Locale) -> [&'static str; 2] {
    match locale {
        Locale::English => {
            [include_str!("../locales/en/pages.ftl"), include_str!("../locales/en/errors.ftl")]
        }
        Locale::German => [include_str!("../locales/de/pages.ftl"), include_str!("../locales/de/errors.ftl")],
    }
}

/// The texts of one language, by key. `sign-in` names a message, `error-busy.why` an attribute of one.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    locale: Locale,
    bundle: &'a Bundle,
}

impl<'a> Text<'a> {
    /// The language of these texts.
    pub const fn locale(self) -> Locale {
        self.locale
    }

    /// A text without variables.
    pub fn say(self, key: &str) -> Cow<'a, str> {
        self.format(key, None)
    }

    /// A text with one variable.
    pub fn tell<'v>(self, key: &str, name: &'static str, value: impl Into<FluentValue<'v>>) -> String {
        self.tell_all(key, [(name, value.into())])
    }

    /// A text with several variables.
    pub fn tell_all<'v>(
        self,
        key: &str,
        variables: impl IntoIterator<Item = (&'static str, FluentValue<'v>)>,
    ) -> String {
        let mut args = FluentArgs::new();
        variables.into_iter().for_each(|(name, value)| args.set(name, value));
        self.format(key, Some(&args)).into_owned()
    }

    /// A text with one variable that stands out in the page. The whole text is escaped, and the variable is strong and
    /// isolated from the direction of the text around it.
    pub fn mark(self, key: &str, name: &'static str, value: &str) -> HtmlSafeOutput<String> {
        let value: String = value.chars().filter(|c| !matches!(*c, BEGIN | END)).collect();
        let told = self.tell(key, name, format!("{BEGIN}{value}{END}"));
        let mut html = String::with_capacity(told.len().saturating_add(40));
        // Writing to a `String` cannot fail.
        let _ = Html.write_escaped_str(&mut html, &told);
        HtmlSafeOutput(html.replace(BEGIN, "<strong dir=\"auto\">").replace(END, "</strong>"))
    }

    /// A point in time in the usual form of the language, in UTC, to the minute.
    pub fn moment(self, time: Timestamp) -> String {
        let Ok(instant) = jiff::Timestamp::from_microsecond(time.unix_micros()) else {
            return time.to_string();
        };
        let civil = instant.to_zoned(jiff::tz::TimeZone::UTC).datetime();
        let clock = format!("{:02}:{:02}", civil.hour(), civil.minute());
        self.tell_all(
            "moment",
            [
                ("day", civil.day().into()),
                ("month", civil.month().into()),
                ("year", civil.year().to_string().into()),
                ("clock", clock.into()),
            ],
        )
    }

    /// The time to wait as a sentence: in seconds, or in minutes or hours, rounded up.
    pub fn wait(self, span: Duration) -> String {
        match whole_seconds(span) {
            seconds @ ..120 => self.tell("wait-seconds", "count", seconds),
            seconds @ ..7_200 => self.tell("wait-minutes", "count", seconds.div_ceil(60)),
            seconds => self.tell("wait-hours", "count", seconds.div_ceil(3_600)),
        }
    }

    /// The text, or its key if there is no such text.
    fn format(self, key: &str, args: Option<&FluentArgs<'_>>) -> Cow<'a, str> {
        let (message, attribute) = key.split_once('.').map_or((key, None), |(m, a)| (m, Some(a)));
        let pattern = self.bundle.get_message(message).and_then(|message| match attribute {
            Some(attribute) => message.get_attribute(attribute).map(|attribute| attribute.value()),
            None => message.value(),
        });
        let Some(pattern) = pattern else { return Cow::Owned(key.to_owned()) };
        // A missing variable shows as its name. The tests over every page find it before a user does.
        let mut errors = Vec::new();
        self.bundle.format_pattern(pattern, args, &mut errors)
    }
}

/// Whole seconds to wait, rounded up, so that a client that waits this long does not come too early.
pub fn whole_seconds(span: Duration) -> u64 {
    (span.as_secs() + u64::from(span.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;
    use crate::flows::refusal::PublicCode;

    /// Every text of a language with the variables in it, read from the files themselves.
    fn texts(locale: Locale) -> BTreeMap<String, BTreeSet<String>> {
        let (mut texts, mut message, mut key) = (BTreeMap::new(), String::new(), String::new());
        for line in
            sources(locale).iter().flat_map(|source| source.lines()).filter(|line| !line.starts_with('#'))
        {
            if let Some((name, _)) = line.split_once(" = ") {
                if !name.starts_with(' ') {
                    name.clone_into(&mut message);
                    name.clone_into(&mut key);
                } else if let Some(attribute) = name.trim().strip_prefix('.') {
                    key = format!("{message}.{attribute}");
                }
            }
            let variables = texts.entry(key.clone()).or_insert_with(BTreeSet::new);
            for rest in line.split('$').skip(1) {
                variables.insert(rest.chars().take_while(|c| c.is_alphanumeric()).collect::<String>());
            }
        }
        texts.remove("");
        texts
    }

    /// Every key that a source file or template uses by name.
    fn asked_for(folder: &Path) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                keys.extend(asked_for(&path));
            } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "html") {
                let source = std::fs::read_to_string(&path).unwrap();
                for call in ["say(\"", "tell(\"", "mark(\"", "tell_all(\""] {
                    keys.extend(
                        source
                            .split(call)
                            .skip(1)
                            .filter_map(|rest| rest.split('"').next())
                            .map(str::to_owned),
                    );
                }
            }
        }
        keys
    }

    #[test]
    fn the_languages_have_the_same_texts_with_the_same_variables() {
        let english = texts(Locale::English);
        assert!(english.len() > 100);
        assert_eq!(english, texts(Locale::German));
    }

    #[test]
    fn every_text_that_is_asked_for_exists_and_none_lies_idle() {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
        let mut asked = BTreeSet::new();
        for folder in ["templates", "pages", "sign_in", "account"] {
            asked.extend(asked_for(&web.join(folder)));
        }
        asked.extend(["moment", "wait-seconds", "wait-minutes", "wait-hours"].map(str::to_owned));
        asked.extend(["help-app", "help-administrator", "help-operator", "help-named"].map(str::to_owned));
        for code in PublicCode::all() {
            asked
                .extend(["", ".why", ".next"].map(|attribute| format!("error-{}{attribute}", code.as_str())));
        }
        assert_eq!(texts(Locale::English).into_keys().collect::<BTreeSet<_>>(), asked);
    }

    #[test]
    fn a_marked_name_is_escaped_and_stands_out() {
        let locales = Locales::embedded().unwrap();
        let html = locales.text(Locale::English).mark("continue-to", "app", "<b>\u{e000}Notes").to_string();
        assert_eq!(html, "to continue to <strong dir=\"auto\">&#60;b&#62;Notes</strong>");
    }

    #[test]
    fn times_and_waits_are_written_as_people_write_them() {
        let locales = Locales::embedded().unwrap();
        let (english, german) = (locales.text(Locale::English), locales.text(Locale::German));
        let time = Timestamp::from_unix_seconds(1_763_898_180);
        assert_eq!(english.moment(time), "23 November 2025, 11:43 UTC");
        assert_eq!(german.moment(time), "23. November 2025, 11:43 Uhr (UTC)");
        for (seconds, text) in [
            (0, "Try again in one second."),
            (119, "Try again in 119 seconds."),
            (121, "Try again in 3 minutes."),
            (86_400, "Try again in 24 hours."),
        ] {
            assert_eq!(english.wait(Duration::from_secs(seconds)), text);
        }
        assert_eq!(english.wait(Duration::from_millis(1_001)), "Try again in 2 seconds.");
    }
}
