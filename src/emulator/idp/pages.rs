//! The identity provider's own pages: plain, in its own colour, without script.

use askama::Template;

/// One page of an identity provider.
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
:root { color-scheme: light; font: 16px/1.5 Georgia, serif; background: #fff; color: #1b1e22; }
body { margin: 12vh auto 0; max-width: 22rem; padding: 0 16px; border-block-start: 8px solid {{ colour }}; }
h1 { font-size: 1.25rem; color: {{ colour }}; }
label { display: block; margin-block-start: 16px; }
input { font: inherit; width: 100%; padding: 8px; border: 1px solid #70757c; box-sizing: border-box; }
button { font: inherit; margin-block-start: 24px; padding: 8px 24px; border: 0; color: #fff; background: {{ colour }}; }
:focus-visible { outline: 3px solid {{ colour }}; outline-offset: 2px; }
#emulator-error { color: #a4262c; }
</style>
</head>
<body>
<main>
<h1>{{ name }}</h1>
{% match body %}
{% when Body::SignIn with { action, request, username, error } %}
<p>Sign in to continue.</p>
{% if let Some(error) = error %}<p id="emulator-error" role="alert">{{ error }}</p>{% endif %}
<form method="post" action="{{ action }}">
<input type="hidden" name="request" value="{{ request }}">
<label for="emulator-username">Username or email</label>
<input id="emulator-username" name="username" value="{{ username }}" autocomplete="username" autocapitalize="none" spellcheck="false" required>
<label for="emulator-password">Password</label>
<input id="emulator-password" name="password" type="password" autocomplete="current-password" required>
<button id="emulator-sign-in">Sign in</button>
</form>
{% when Body::FormPost with { action, fields } %}
<form method="post" action="{{ action }}">
{% for field in *fields %}<input type="hidden" name="{{ field.0 }}" value="{{ field.1 }}">
{% endfor %}<p>You are signed in here.</p>
<button id="emulator-continue">Continue</button>
</form>
{% when Body::SignedOut %}
<p id="emulator-signed-out">You are signed out here. Close this window, or go back to where you came from.</p>
{% when Body::Error with { reason } %}
<p id="emulator-error" role="alert">{{ reason }}</p>
<p>Nothing was sent anywhere. Go back to where you came from; the people who run that app can correct it.</p>
{% endmatch %}
</main>
</body>
</html>
"#
)]
pub(super) struct Page<'a> {
    pub(super) name: &'a str,
    pub(super) colour: &'a str,
    pub(super) body: Body<'a>,
}

/// The content of a page.
pub(super) enum Body<'a> {
    /// The sign-in form.
    SignIn { action: &'a str, request: &'a str, username: &'a str, error: Option<&'a str> },
    /// The response to the client, posted by the browser.
    FormPost { action: &'a str, fields: &'a [(&'a str, &'a str)] },
    /// The page after a sign-out without a return address.
    SignedOut,
    /// A request that cannot be served.
    Error { reason: &'a str },
}
