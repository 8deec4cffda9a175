//! The languages of the pages, and the choice of one for a request.
//!
//! `ui_locales` follows `OpenID` Connect Core 1.0, section 3.1.2.1; `Accept-Language` RFC 9110, section 12.5.4.
//! The texts themselves are in [`text`](crate::web::text).

use crate::protocol::count::MOST;
use crate::protocol::weighted::weighted;

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Locale {
    /// English, which is the default.
    English,
    /// German.
    German,
}

impl Locale {
    /// Every language, in the order of the footer.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// The language tag (BCP 47), as in `lang` and `ui_locales`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// The language's name in the language itself.
    pub const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::German => "Deutsch",
        }
    }

    /// The language of a tag such as `de`, `de-AT` or `DE`. Regions and scripts are ignored.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let language = tag.split(['-', '_']).next().unwrap_or_default();
        Self::ALL.into_iter().find(|locale| locale.tag().eq_ignore_ascii_case(language))
    }

    /// The language of a request: the first supported tag of `wishes`, else the best of `Accept-Language`, else
    /// English. Each wish is a space-separated list, and the most binding comes first: the user's choice, then the
    /// app's `ui_locales`. Only the first [`MOST`] tags of each list are read.
    pub fn choose<'a>(wishes: impl IntoIterator<Item = &'a str>, accept_language: Option<&str>) -> Self {
        wishes
            .into_iter()
            .flat_map(|wish| wish.split_ascii_whitespace().take(MOST))
            .find_map(Self::from_tag)
            .or_else(|| accept_language.and_then(Self::accepted))
            .unwrap_or(Self::English)
    }

    /// The supported range with the highest weight in an `Accept-Language`; among equals, the first.
    fn accepted(header: &str) -> Option<Self> {
        let mut best: Option<(u16, Self)> = None;
        for (range, weight) in weighted(header) {
            let locale = if range == "*" { Some(Self::English) } else { Self::from_tag(range) };
            if let Some(locale) = locale
                && weight > best.map_or(0, |(heaviest, _)| heaviest)
            {
                best = Some((weight, locale));
            }
        }
        best.map(|(_, locale)| locale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_supported_wish_wins() {
        assert_eq!(Locale::choose(["fr de-AT en"], Some("en")), Locale::German);
        assert_eq!(Locale::choose(["", "en", "de"], Some("de")), Locale::English);
        assert_eq!(Locale::choose(["DE"], None), Locale::German);
    }

    #[test]
    fn without_a_wish_the_heaviest_accepted_language_wins() {
        for (header, locale) in [
            ("de", Locale::German),
            ("en-GB,en;q=0.9,de;q=0.8", Locale::English),
            ("en;q=0.5, de-CH;q=0.7", Locale::German),
            ("fr-FR, de;q=0.1", Locale::German),
            ("*;q=0.5, de;q=0.4", Locale::English),
            ("de;q=0, fr", Locale::English),
            ("en;q=1.000;x=y, de", Locale::English),
        ] {
            assert_eq!(Locale::choose([], Some(header)), locale, "{header}");
        }
    }

    #[test]
    fn nonsense_is_answered_in_english() {
        for header in ["", ";;;", "de;q=2", "de;q=0.1234", "de;q=-1", "deutsch", "q=1", "de;q=1.5"] {
            assert_eq!(Locale::choose([header], Some(header)), Locale::English, "{header}");
        }
        assert_eq!(Locale::choose([], None), Locale::English);
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_the_choice_fail(wish in ".*", header in ".*") {
            Locale::choose([wish.as_str()], Some(&header));
        }
    }
}
