//! The sample app's pages.

use askama::Template;
use serde_json::{Map, Value};

use super::Shortcut;

/// One page of the app.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ name }}</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 10vh auto 48px; max-width: 44rem; padding: 0 16px; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.125rem; margin-block-start: 32px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: start; vertical-align: top; padding: 4px 16px 4px 0; border-block-end: 1px solid #8886; }
td { font-family: ui-monospace, monospace; font-size: 0.875rem; overflow-wrap: anywhere; }
button { font: inherit; padding: 8px 24px; }
:focus-visible { outline: 3px solid; outline-offset: 2px; }
</style>
</head>
<body>
<main>
{% match body %}
{% when Body::Home with { shortcuts } %}
<h1>{{ name }}</h1>
<p>This app has no users of its own. It asks Countersign who you are.</p>
<p><a id="sign-in-with-countersign" href="/sign-in">Sign in with Countersign</a></p>
{% for shortcut in *shortcuts %}<p><a id="sign-in-{{ shortcut.handle }}" href="{{ shortcut.link() }}">Sign in as a member of {{ shortcut.name }}</a></p>
{% endfor %}
{% when Body::SignedIn with { claims, userinfo, checks } %}
<h1>You are signed in to {{ name }}</h1>
<form method="post" action="/sign-out"><button id="sign-out">Sign out</button></form>
<h2>The ID token says</h2>
<table>
<tbody>
{% for row in *claims %}<tr><th scope="row">{{ row.name }}</th><td id="claim-{{ row.name }}">{{ row.value }}</td></tr>
{% endfor %}</tbody>
</table>
<h2>Userinfo says</h2>
<table>
<tbody>
{% for row in *userinfo %}<tr><th scope="row">{{ row.name }}</th><td id="userinfo-{{ row.name }}">{{ row.value }}</td></tr>
{% endfor %}</tbody>
</table>
<h2>What was checked</h2>
<ul>
{% for check in *checks %}<li>{{ check }}</li>
{% endfor %}</ul>
{% when Body::SignedOut %}
<h1 id="app-signed-out">You are signed out of {{ name }}</h1>
<p><a href="/">Sign in again</a></p>
{% when Body::Failed with { reason } %}
<h1>The sign-in did not work</h1>
<p id="app-error" role="alert">{{ reason }}</p>
<p><a href="/">Start again</a></p>
{% endmatch %}
</main>
</body>
</html>
"#
)]
pub(super) struct Page<'a> {
    pub(super) name: &'a str,
    pub(super) body: Body<'a>,
}

/// The content of a page.
pub(super) enum Body<'a> {
    /// No user is signed in.
    Home { shortcuts: &'a [Shortcut] },
    /// A user is signed in.
    SignedIn { claims: &'a [Row], userinfo: &'a [Row], checks: &'a [&'a str] },
    /// After the broker's sign-out.
    SignedOut,
    /// A check failed.
    Failed { reason: &'a str },
}

/// One claim.
pub(super) struct Row {
    name: String,
    value: String,
}

impl Row {
    /// All claims of a document as text: strings unchanged, everything else as JSON.
    pub(super) fn all(claims: &Map<String, Value>) -> Vec<Self> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        claims.iter().map(|(name, value)| Self { name: name.clone(), value: text(value) }).collect()
    }
}
