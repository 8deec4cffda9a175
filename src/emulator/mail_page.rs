//! The demo's mails: a page that shows the mails in the broker's folder, newest first.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use mail_parser::MessageParser;

use super::html;

/// The most mails that are shown.
const MOST: usize = 100;

/// The page as a service.
pub fn router(folder: PathBuf) -> Router {
    Router::new().route("/", get(show)).with_state(Arc::new(folder))
}

async fn show(State(folder): State<Arc<PathBuf>>) -> Response {
    match read(&folder).await {
        Ok(mails) => html::page(StatusCode::OK, &Page { mails: &mails }, &[]),
        Err(error) => {
            let text = format!("{} cannot be read: {error}", folder.display());
            html::plain(StatusCode::INTERNAL_SERVER_ERROR, &text)
        }
    }
}

/// One mail, as text.
#[derive(Debug, PartialEq, Eq)]
struct Mail {
    to: String,
    subject: String,
    /// The words and the white space between them, so that addresses can be links.
    words: Vec<String>,
}

impl Mail {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let message = MessageParser::default().parse(bytes)?;
        let to = message.to().and_then(|to| to.first()).and_then(|to| to.address()).unwrap_or_default();
        let text = message.body_text(0)?;
        Some(Self {
            to: to.to_owned(),
            subject: message.subject().unwrap_or_default().to_owned(),
            words: text.split_inclusive(char::is_whitespace).map(str::to_owned).collect(),
        })
    }
}

/// The mails in a folder, newest first: their names begin with the time. A file that is not a mail is left out.
async fn read(folder: &Path) -> std::io::Result<Vec<Mail>> {
    let mut entries = match tokio::fs::read_dir(folder).await {
        Ok(entries) => entries,
        // The first mail creates it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        let path = entry.path();
        if path.extension().is_some_and(|kind| kind == "eml") {
            files.push(path);
        }
    }
    files.sort_unstable();
    let mut mails = Vec::new();
    for file in files.iter().rev().take(MOST) {
        mails.extend(Mail::parse(&tokio::fs::read(file).await?));
    }
    Ok(mails)
}

fn is_link(word: &str) -> bool {
    word.starts_with("https://")
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mails</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 10vh auto 48px; max-width: 44rem; padding: 0 16px; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.125rem; margin-block: 32px 0; overflow-wrap: anywhere; }
.to { margin-block: 0 8px; overflow-wrap: anywhere; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; padding: 16px; border: 1px solid #8886; }
:focus-visible { outline: 3px solid; outline-offset: 2px; }
</style>
</head>
<body>
<main>
<h1>Mails that the broker has sent</h1>
{% if mails.is_empty() %}<p id="no-mails">None yet. Link two ways to sign in, and a mail arrives here.</p>
{% else %}<p>Newest first. The demo writes mails into files and sends them to nobody.</p>{% endif %}
{% for mail in mails.iter() %}<article>
<h2 id="mail-{{ loop.index }}">{{ mail.subject }}</h2>
<p class="to" id="to-{{ loop.index }}">to {{ mail.to }}</p>
<div class="text">{% for word in mail.words.iter() %}{% if self::is_link(word) %}<a href="{{ word.trim() }}">{{ word }}</a>{% else %}{{ word }}{% endif %}{% endfor %}</div>
</article>
{% endfor %}
</main>
</body>
</html>
"#
)]
struct Page<'a> {
    mails: &'a [Mail],
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "To: Bob@acme.test\r\nSubject: Linked <b>\r\nMIME-Version: 1.0\r\n\
                        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
                        r=C3=BCckg=C3=A4ngig <script>\r\nhttps://localhost:8443/account =\r\nhere\r\n";

    #[tokio::test]
    async fn mails_are_shown_newest_first_as_text_with_their_links() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(&folder.path().join("none")).await.unwrap(), []);
        for (name, text) in [("mail_1.eml", MAIL.replace("Linked", "Older")), ("mail_2.eml", MAIL.to_owned())]
        {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::fs::write(folder.path().join("mail_3.part"), "half").unwrap();
        let mails = read(folder.path()).await.unwrap();
        let page = Page { mails: &mails }.render().unwrap();
        assert_eq!(
            mails.iter().map(|mail| mail.subject.as_str()).collect::<Vec<_>>(),
            ["Linked <b>", "Older <b>"]
        );
        assert!(page.contains("rückgängig") && !page.contains("<script>") && !page.contains("<b>"), "{page}");
        assert!(page.contains("<a href=\"https://localhost:8443/account\">"), "{page}");
        assert!(page.contains("to Bob@acme.test"), "{page}");
    }
}
