//! Addresses that resemble a registered one: row 34 sends them wherever a target is accepted.

use std::collections::BTreeSet;

/// Whose server the browser must never reach.
pub const EVIL: &str = "evil.test";

/// Written by hand. `{S}`, `{H}`, `{P}` stand for scheme, host and path of the registered address, `{U}` for all of
/// it, `{E}` for the foreign host.
const SHAPES: [&str; 108] = [
    // Another host altogether, in every way of writing one.
    "{S}://{E}",
    "{S}://{E}/",
    "{S}://{E}{P}",
    "http://{E}{P}",
    "//{E}",
    "//{E}{P}",
    "///{E}{P}",
    "////{E}{P}",
    "/\\{E}{P}",
    "\\/{E}{P}",
    "\\\\{E}{P}",
    "/\\/{E}",
    "/{E}",
    "{E}",
    "{E}{P}",
    ".{E}",
    "/.{E}",
    "./{E}",
    "../{E}",
    "{S}:{E}",
    "{S}:/{E}",
    "{S}:\\\\{E}{P}",
    "{S}:///{E}{P}",
    "{S}:////{E}{P}",
    "{S}:/\\{E}{P}",
    "{S}::{E}",
    ":{E}",
    // The registered host as something that it is not.
    "{S}://{H}.{E}{P}",
    "{S}://{E}/{H}{P}",
    "{S}://{E}?{H}{P}",
    "{S}://{E}#{H}{P}",
    "{S}://{E}?{U}",
    "{S}://{E}#{U}",
    "{S}://{E}/{U}",
    "{S}://{H}@{E}{P}",
    "{S}://{H}:443@{E}{P}",
    "{S}://{H}:x@{E}{P}",
    "{S}://user:{H}@{E}{P}",
    "{S}://{E}@{H}{P}",
    "{S}://{E}:443@{H}{P}",
    "{S}://x@{H}{P}",
    "{S}://@{H}{P}",
    "{S}://:@{H}{P}",
    "{S}://{H}{E}{P}",
    "{S}://{H}\\@{E}{P}",
    "{S}://{H}\\.{E}{P}",
    "{S}://{E}\\@{H}{P}",
    "{S}://{E}\\.{H}{P}",
    "{S}://{E}\\{H}{P}",
    "{S}://{H}/@{E}{P}",
    "{S}://{H}%40{E}{P}",
    "{S}://{H}%2f@{E}{P}",
    "{S}://{H}%5c@{E}{P}",
    "{S}://{H}%23@{E}{P}",
    "{S}://{H}%00.{E}{P}",
    "{S}://{H}%0a.{E}{P}",
    "{S}://{H}#@{E}{P}",
    "{S}://{H}?@{E}{P}",
    "{S}://{H};@{E}{P}",
    "{S}://{H}&@{E}{P}",
    "{S}://{H},{E}{P}",
    "{S}://{H} {E}{P}",
    "{S}://{H}\t{E}{P}",
    "{S}://[{H}]@{E}{P}",
    // Its own name, a little different.
    "{S}://x{H}{P}",
    "{S}://x.{H}{P}",
    "{S}://{H}x{P}",
    "{S}://{H}.{P}",
    "{S}://{H}..{P}",
    "{S}://{H}:80{P}",
    "{S}://{H}:443{P}",
    "{S}://{H}:{P}",
    "{S}://{H}:0{P}",
    "{S}://{H}:99999{P}",
    "http://{H}{P}",
    "ftp://{H}{P}",
    "{S}://{H}/{P}",
    "{S}://{H}{P}/",
    "{S}://{H}{P}//",
    "{S}://{H}{P}?",
    "{S}://{H}{P}?x=1",
    "{S}://{H}{P}#",
    "{S}://{H}{P}#x",
    "{S}://{H}{P};x",
    "{S}://{H}{P}&x=1",
    "{S}://{H}{P}%20",
    "{S}://{H}{P} ",
    "{S}://{H}{P}%00",
    "{S}://{H}{P}\\",
    "{S}://{H}{P}/..",
    "{S}://{H}{P}/../..{P}",
    "{S}://{H}/x/..{P}",
    "{S}://{H}/.{P}",
    "{S}://{H}/%2e%2e{P}",
    "{S}://{H}{P}/%2e%2e/%2e%2e",
    "{S}://{H}{P}/..;/x",
    "{S}://{H}/%2f{E}{P}",
    "{S}://{H}",
    // What no browser should open.
    "javascript:alert(1)",
    "javascript://{H}{P}%0aalert(1)",
    "JaVaScRiPt://{H}{P}",
    "data:text/html,<script>1</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:{U}",
    "about:blank",
    "view-source:{U}",
    "intent://{H}{P}#Intent;end",
];

type Change = fn(&str) -> String;

/// By table: what makes one address out of another.
const CHANGES: [(&str, Change); 20] = [
    ("as it is", str::to_owned),
    ("encoded", |text| percent(text, |_| true)),
    ("encoded twice", |text| percent(&percent(text, |byte| b":/@?#\\".contains(&byte)), |byte| byte == b'%')),
    ("separators encoded", |text| percent(text, |byte| b":/@?#\\".contains(&byte))),
    ("dots encoded", |text| text.replace('.', "%2e")),
    ("dots of another script", |text| text.replace('.', "\u{3002}")),
    ("slashes of another script", |text| text.replace('/', "\u{2044}")),
    ("wide slashes", |text| text.replace('/', "\u{ff0f}")),
    ("wide letters", |text| text.replace('e', "\u{ff45}")),
    ("letters that look the same", |text| text.replace('e', "\u{435}")),
    ("upper case", str::to_uppercase),
    ("backslashes", |text| text.replace('/', "\\")),
    ("a space before", |text| format!(" {text}")),
    ("a line break before", |text| format!("\r\n{text}")),
    ("a header after", |text| format!("{text}\r\nLocation: https://evil.test/")),
    ("a tab inside", |text| text.replacen("//", "/\t/", 1)),
    ("a zero before", |text| format!("\0{text}")),
    ("a zero after", |text| format!("{text}\0")),
    ("a mark before", |text| format!("\u{feff}{text}")),
    ("an escape before", |text| format!("\u{1b}{text}")),
];

fn percent(text: &str, which: fn(u8) -> bool) -> String {
    let mut encoded = String::new();
    for letter in text.chars() {
        let mut bytes = [0; 4];
        for byte in letter.encode_utf8(&mut bytes).bytes() {
            if which(byte) || !byte.is_ascii() {
                encoded.push_str(&format!("%{byte:02x}"));
            } else {
                encoded.push(char::from(byte));
            }
        }
    }
    encoded
}

/// Every address that is not `registered`, but that a careless reader could mistake for it.
pub fn corpus(registered: &str) -> Vec<String> {
    let (scheme, rest) = registered.split_once("://").unwrap();
    let at = rest.find('/').unwrap();
    let (host, path) = rest.split_at(at);
    let mut all = BTreeSet::new();
    for (number, shape) in SHAPES.iter().enumerate() {
        let shaped = shape
            .replace("{U}", registered)
            .replace("{S}", scheme)
            .replace("{H}", host)
            .replace("{P}", path)
            .replace("{E}", EVIL);
        // Each shape as it is, and five of the other changes in turn, so that each change meets a quarter of them.
        all.insert(shaped.clone());
        for turn in 0..5 {
            let (_, change) = CHANGES[1 + (number + turn * 4) % (CHANGES.len() - 1)];
            all.insert(change(&shaped));
        }
    }
    for (_, change) in &CHANGES[1..] {
        all.insert(change(registered));
    }
    all.remove(registered);
    all.into_iter().collect()
}

#[test]
fn the_corpus_is_large_and_holds_each_kind() {
    let all = corpus("https://notes.acme.test/callback");
    assert!(all.len() > 559, "{}", all.len());
    for wanted in [
        "//evil.test",
        "https://notes.acme.test@evil.test/callback",
        "https://evil.test\\@notes.acme.test/callback",
    ] {
        assert!(all.iter().any(|one| one == wanted), "{wanted}");
    }
    assert!(!all.iter().any(|one| one == "https://notes.acme.test/callback"));
}
