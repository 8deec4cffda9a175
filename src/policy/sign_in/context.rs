//! Authentication contexts (`acr`) that apps demand (`OpenID` Connect Core, section 5.5.1.1).

use std::collections::BTreeMap;

/// Whether a sign-in in the context `acr` is one of the `essential` ones. Where the app demands none, every context is
/// accepted.
pub fn is_accepted(essential: &[String], acr: Option<&str>) -> bool {
    essential.is_empty() || acr.is_some_and(|acr| essential.iter().any(|it| it == acr))
}

/// Whether an identity provider can be asked for one of the `essential` contexts. The keys of `words` are the contexts
/// of apps for which the connection knows the provider's own word.
pub fn can_be_asked_for(essential: &[String], words: &BTreeMap<String, String>) -> bool {
    essential.is_empty() || essential.iter().any(|word| words.contains_key(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_is_demanded_is_reached_word_by_word() {
        for (essential, acr, verdict) in [
            (&[][..], None, true),
            (&[], Some("gold"), true),
            (&["gold"], Some("gold"), true),
            (&["gold", "silver"], Some("silver"), true),
            (&["gold"], None, false),
            (&["gold"], Some("silver"), false),
            (&["gold"], Some("Gold"), false),
            (&["gold"], Some(""), false),
        ] {
            assert_eq!(is_accepted(&words(essential), acr), verdict, "{essential:?} {acr:?}");
        }
    }

    #[test]
    fn a_provider_is_asked_only_for_what_it_has_a_word_for() {
        let mapped = [("gold".to_owned(), "urn:loa:3".to_owned())].into();
        for (essential, mapping, verdict) in [
            (&[][..], &BTreeMap::new(), true),
            (&["gold"], &BTreeMap::new(), false),
            (&["gold"], &mapped, true),
            (&["wood", "gold"], &mapped, true),
            (&["wood"], &mapped, false),
            (&["urn:loa:3"], &mapped, false),
        ] {
            assert_eq!(can_be_asked_for(&words(essential), mapping), verdict, "{essential:?}");
        }
    }
}
