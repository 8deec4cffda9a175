//! The text of an authorization code. It names its grant, and a keyed hash ties it to the values that the app must
//! repeat. So the broker recognizes a code that comes again, and revokes its tokens, even when its row is long gone.

use crate::flows::provider::Tokens;
use crate::model::{GrantId, Secret};
use crate::protocol::base64url;

/// The number of random bytes in a code.
const RANDOM: usize = 24;

/// The number of letters before the tag: base64url of the grant's id (16 bytes) and the random bytes.
const NAME: usize = (16 + RANDOM) * 4 / 3 + 1;

impl Tokens {
    /// A new code of a grant. The app must repeat `redirect_uri` and, if there is a challenge, prove it.
    pub(super) fn new_code(&self, grant: GrantId, redirect_uri: &str, challenge: Option<&str>) -> Secret {
        let mut bytes = [0u8; 16 + RANDOM];
        let (id, random) = bytes.split_at_mut(16);
        id.copy_from_slice(&grant.into_bytes());
        self.core.random.fill(random);
        let name = base64url::encode(bytes);
        let tag = self.code_mac.tag(&tied(&name, redirect_uri, challenge));
        Secret::new(format!("{name}{tag}"))
    }

    /// The grant that a code was made for; `None` unless this deployment made the code for these values.
    pub(super) fn grant_of_code(
        &self,
        code: &str,
        redirect_uri: &str,
        challenge: Option<&str>,
    ) -> Option<GrantId> {
        let (name, tag) = code.split_at_checked(NAME)?;
        if !self.code_mac.verify(&tied(name, redirect_uri, challenge), tag) {
            return None;
        }
        let bytes = base64url::decode(name).ok()?;
        bytes.first_chunk::<16>().map(|id| GrantId::from_bytes(*id))
    }
}

/// The values that a code is tied to. A missing challenge is not the same as an empty one.
fn tied<'a>(name: &'a str, redirect_uri: &'a str, challenge: Option<&'a str>) -> [&'a [u8]; 4] {
    let has_challenge: &[u8] = if challenge.is_some() { b"S256" } else { b"" };
    [name.as_bytes(), redirect_uri.as_bytes(), has_challenge, challenge.unwrap_or_default().as_bytes()]
}
