//! The words of mails: Fluent files under `locales/`, read once at start.

use std::borrow::Cow;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};

/// An embedded file that cannot be read; a mistake in the build, found when the program starts.
#[derive(Debug, thiserror::Error)]
#[error("the mails' texts in `{language}` cannot be read: {detail}")]
pub struct MailTextError {
    /// The tag of the language.
    pub language: &'static str,
    /// What the reader said.
    pub detail: String,
}

/// The words of one language.
pub(super) struct Words(FluentBundle<FluentResource>);

impl Words {
    /// Reads what was built into the binary.
    pub(super) fn read(language: &'static str, source: &str) -> Result<Self, MailTextError> {
        let error = |detail: String| MailTextError { language, detail };
        let tag = language.parse().map_err(|wrong| error(format!("{wrong}")))?;
        let mut bundle = FluentBundle::new_concurrent(vec![tag]);
        bundle.set_use_isolating(false);
        let resource =
            FluentResource::try_new(source.to_owned()).map_err(|(_, wrong)| error(format!("{wrong:?}")))?;
        bundle.add_resource(resource).map_err(|wrong| error(format!("{wrong:?}")))?;
        Ok(Self(bundle))
    }

    /// The text of `key`, or of its attribute after a dot; the key itself where there is none.
    pub(super) fn say(&self, key: &str, variables: &[(&'static str, &str)]) -> String {
        let (name, attribute) =
            key.split_once('.').map_or((key, None), |(name, attribute)| (name, Some(attribute)));
        let message = self.0.get_message(name);
        let pattern = message.and_then(|message| match attribute {
            None => message.value(),
            Some(attribute) => message.get_attribute(attribute).map(|found| found.value()),
        });
        let Some(pattern) = pattern else { return key.to_owned() };
        let mut args = FluentArgs::new();
        for (name, value) in variables {
            args.set(*name, FluentValue::String(Cow::Borrowed(value)));
        }
        self.0.format_pattern(pattern, Some(&args), &mut Vec::new()).into_owned()
    }
}
