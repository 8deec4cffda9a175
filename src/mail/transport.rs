//! How mails leave: through the operator's mail server, into files, or into memory for tests.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message as Envelope, Tokio1Executor};
use tokio::time::timeout;

use super::message::{Letter, Rendered, Texts};
use super::text::MailTextError;
use crate::crypto::private_file;
use crate::model::{MailId, Secret, Timestamp};

/// How long a conversation with the mail server may take, from the first packet to the last.
pub const SMTP_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers that refuse the recipient for good (RFC 5321, section 4.2.3; RFC 7504, section 4). Others, such as a refused
/// password or sender, are the operator's to mend: the mails wait.
const REFUSED_FOR_GOOD: [u16; 4] = [550, 551, 553, 556];

/// How mails leave.
#[derive(Debug, Clone, Default)]
pub struct MailerSettings {
    /// Whom they are from: an address, or `Name <address>`.
    pub from: String,
    /// The way.
    pub transport: Transport,
}

/// The way that mails take.
#[derive(Debug, Clone, Default)]
pub enum Transport {
    /// None is sent.
    #[default]
    None,
    /// One `.eml` file a mail, in this folder.
    File(PathBuf),
    /// A mail server.
    Smtp(SmtpSettings),
    /// Into memory, for tests.
    Memory(Arc<Mutex<Vec<SentMail>>>),
}

/// How the mail server is reached.
#[derive(Debug, Clone)]
pub struct SmtpSettings {
    /// Its host name, which its certificate must have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the conversation is protected.
    pub tls: SmtpTls,
    /// Username and password.
    pub credentials: Option<(String, Secret)>,
    /// Further certificate authorities, as PEM.
    pub extra_ca: Option<Vec<u8>>,
    /// How long a conversation may take.
    pub timeout: Duration,
}

/// How the conversation with the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// It begins in clear and must go over to TLS (RFC 3207).
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// Not at all; for a mail server on the same machine.
    None,
}

/// A mail that was sent into memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMail {
    /// To whom.
    pub to: String,
    /// What it said.
    pub mail: Rendered,
}

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It never will be: the server refuses it for good, or it cannot be written.
    #[error("refused permanently: {0}")]
    Permanent(String),
    /// It may be sent later.
    #[error("refused for now: {0}")]
    Passing(String),
}

/// Why mails cannot be sent as configured.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// The texts.
    #[error(transparent)]
    Text(#[from] MailTextError),
    /// The sender's address.
    #[error("mail.from is not an email address: {0}")]
    From(lettre::address::AddressError),
    /// The protection of the conversation.
    #[error("mail.smtp cannot be used: {0}")]
    Smtp(lettre::transport::smtp::Error),
}

enum Channel {
    None,
    File(PathBuf),
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>, Duration),
    Memory(Arc<Mutex<Vec<SentMail>>>),
}

/// Renders and sends.
pub struct Mailer {
    texts: Texts,
    from: Option<Mailbox>,
    channel: Channel,
}

impl Mailer {
    /// As configured. Connects nowhere yet.
    pub fn new(settings: &MailerSettings) -> Result<Self, MailerError> {
        let channel = match &settings.transport {
            Transport::None => Channel::None,
            Transport::File(folder) => Channel::File(folder.clone()),
            Transport::Memory(sent) => Channel::Memory(Arc::clone(sent)),
            Transport::Smtp(smtp) => {
                let transport = smtp_transport(smtp).map_err(MailerError::Smtp)?;
                Channel::Smtp(Box::new(transport), smtp.timeout)
            }
        };
        let from = match &settings.transport {
            Transport::None => None,
            _ => Some(settings.from.parse().map_err(MailerError::From)?),
        };
        Ok(Self { texts: Texts::embedded()?, from, channel })
    }

    /// Whether mails leave at all.
    pub const fn is_configured(&self) -> bool {
        !matches!(self.channel, Channel::None)
    }

    /// Whether mails would leave now: there is a folder, or can be one; the server answers. A sentence that says what was
    /// found.
    pub async fn probe(&self) -> Result<String, String> {
        match &self.channel {
            Channel::None => Ok("not configured".to_owned()),
            Channel::Memory(_) => Ok("kept in memory".to_owned()),
            Channel::File(folder) => match tokio::fs::metadata(folder).await {
                Ok(found) if found.is_dir() => Ok(format!("one file a mail in {}", folder.display())),
                Ok(_) => Err(format!("{} is not a folder", folder.display())),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    Ok(format!("one file a mail in {}, which the first one makes", folder.display()))
                }
                Err(error) => Err(format!("{}: {error}", folder.display())),
            },
            Channel::Smtp(transport, span) => match timeout(*span, transport.test_connection()).await {
                Ok(Ok(true)) => Ok("the mail server answers".to_owned()),
                Ok(Ok(false)) => Err("the mail server is not ready".to_owned()),
                Ok(Err(error)) => Err(format!("the mail server: {error}")),
                Err(_) => Err(TOO_SLOW.to_owned()),
            },
        }
    }

    /// Sends one mail. Where none leave, it is refused for good.
    pub async fn send(&self, id: MailId, letter: &Letter, now: Timestamp) -> Result<(), SendError> {
        let broken = |error: &dyn std::fmt::Display| SendError::Permanent(error.to_string());
        let rendered = self.texts.render(&letter.message).map_err(|error| broken(&error))?;
        let Some(from) = &self.from else {
            return Err(SendError::Permanent("no way to send mail is configured".to_owned()));
        };
        if let Channel::Memory(sent) = &self.channel {
            let mail = SentMail { to: letter.to.as_str().to_owned(), mail: rendered };
            sent.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
            return Ok(());
        }
        let envelope = envelope(id, from, letter, rendered, now)?;
        match &self.channel {
            Channel::File(folder) => write_file(folder, id, envelope.formatted()).await,
            Channel::Smtp(transport, span) => match timeout(*span, transport.send(envelope)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) if is_refused_for_good(&error) => Err(SendError::Permanent(status(&error))),
                Ok(Err(error)) => Err(SendError::Passing(status(&error))),
                Err(_) => Err(SendError::Passing(TOO_SLOW.to_owned())),
            },
            Channel::None | Channel::Memory(_) => Ok(()),
        }
    }
}

const TOO_SLOW: &str = "the mail server did not answer in time";

/// Whether an answer says that this recipient will never get mail here.
fn is_refused_for_good(error: &lettre::transport::smtp::Error) -> bool {
    let code = error.status().and_then(|code| code.to_string().parse::<u16>().ok());
    code.is_some_and(|code| REFUSED_FOR_GOOD.contains(&code))
}

/// What the mail server said, without its words: they may repeat the recipient.
fn status(error: &lettre::transport::smtp::Error) -> String {
    match error.status() {
        Some(code) => format!("the mail server answered {code}"),
        None if error.is_timeout() => TOO_SLOW.to_owned(),
        None => "the mail server cannot be reached".to_owned(),
    }
}

fn smtp_transport(
    smtp: &SmtpSettings,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, lettre::transport::smtp::Error> {
    let mut parameters = TlsParameters::builder(smtp.host.clone());
    if let Some(pem) = &smtp.extra_ca {
        parameters = parameters.add_root_certificate(Certificate::from_pem(pem)?);
    }
    let tls = match smtp.tls {
        SmtpTls::StartTls => Tls::Required(parameters.build_rustls()?),
        SmtpTls::Implicit => Tls::Wrapper(parameters.build_rustls()?),
        SmtpTls::None => Tls::None,
    };
    let mut builder =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host).port(smtp.port).tls(tls);
    if let Some((username, password)) = &smtp.credentials {
        builder = builder.credentials(Credentials::new(username.clone(), password.expose().to_owned()));
    }
    Ok(builder.build())
}

fn envelope(
    id: MailId,
    from: &Mailbox,
    letter: &Letter,
    rendered: Rendered,
    now: Timestamp,
) -> Result<Envelope, SendError> {
    let broken = |error: &dyn std::fmt::Display| SendError::Permanent(error.to_string());
    let to: Mailbox = letter.to.as_str().parse().map_err(|error| broken(&error))?;
    let micros = u64::try_from(now.unix_micros()).unwrap_or(0);
    let automatic =
        HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    let part = |kind: ContentType, body: String| SinglePart::builder().header(kind).body(body);
    let mut envelope = Envelope::builder()
        .message_id(Some(format!("<{id}@{}>", from.email.domain())))
        .date(SystemTime::UNIX_EPOCH + Duration::from_micros(micros))
        .from(from.clone())
        .to(to)
        .subject(rendered.subject)
        .multipart(
            MultiPart::alternative()
                .singlepart(part(ContentType::TEXT_PLAIN, rendered.text))
                .singlepart(part(ContentType::TEXT_HTML, rendered.html)),
        )
        .map_err(|error| broken(&error))?;
    envelope.headers_mut().insert_raw(automatic);
    Ok(envelope)
}

/// Writes a mail whole or not at all: under another name first. Only the owner of the folder can read it.
async fn write_file(folder: &Path, id: MailId, text: Vec<u8>) -> Result<(), SendError> {
    let (part, whole) = (folder.join(format!("{id}.part")), folder.join(format!("{id}.eml")));
    let target = folder.to_owned();
    let writing = tokio::task::spawn_blocking(move || {
        private_file::make_folder(&target)?;
        private_file::write(&part, &text)?;
        std::fs::rename(&part, &whole)
    });
    let written = writing.await.unwrap_or_else(|_| Err(std::io::Error::other("it was interrupted")));
    written.map_err(|error| SendError::Passing(format!("{}: {error}", folder.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Message;

    fn letter(to: &str) -> Letter {
        Letter {
            to: to.parse().unwrap(),
            message: Message::ProfileUnlinked {
                organization: "Acme\r\nBcc: evil@evil.test".to_owned(),
                what: "bob\r\nBcc: evil@evil.test".to_owned(),
                account: "https://id.test/account".to_owned(),
            },
        }
    }

    #[tokio::test]
    async fn a_file_is_one_mail_to_one_recipient() {
        let folder = tempfile::tempdir().unwrap();
        let settings = MailerSettings {
            from: "Countersign <id@id.test>".to_owned(),
            transport: Transport::File(folder.path().join("mails")),
        };
        let mailer = Mailer::new(&settings).unwrap();
        let id = MailId::from_bytes([7; 16]);
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        mailer.send(id, &letter("Bob.Berger+x@Acme.test"), now).await.unwrap();
        let text = std::fs::read_to_string(folder.path().join(format!("mails/{id}.eml"))).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        assert!(head.contains("To: Bob.Berger+x@Acme.test"), "{head}");
        assert!(head.contains("Date: Fri, 15 Jan 2027 08:00:00 +0000"), "{head}");
        assert!(
            head.contains("Auto-Submitted: auto-generated")
                && head.contains("From: Countersign <id@id.test>")
        );
        assert!(!text.contains("\nBcc:"), "{text}");
        assert_eq!(std::fs::read_dir(folder.path().join("mails")).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_mail_server_that_is_not_there_is_for_later() {
        let smtp = SmtpSettings {
            host: "127.0.0.1".to_owned(),
            port: 9,
            tls: SmtpTls::None,
            credentials: None,
            extra_ca: None,
            timeout: SMTP_TIMEOUT,
        };
        let settings = MailerSettings { from: "id@id.test".to_owned(), transport: Transport::Smtp(smtp) };
        let mailer = Mailer::new(&settings).unwrap();
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        let sent = mailer.send(MailId::from_bytes([7; 16]), &letter("bob@acme.test"), now).await;
        assert!(matches!(sent, Err(SendError::Passing(_))), "{sent:?}");
        assert!(mailer.probe().await.is_err());
    }

    #[tokio::test]
    async fn a_mail_server_that_falls_silent_holds_nothing_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let smtp = SmtpSettings {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
            tls: SmtpTls::None,
            credentials: None,
            extra_ca: None,
            timeout: Duration::from_millis(50),
        };
        let settings = MailerSettings { from: "id@id.test".to_owned(), transport: Transport::Smtp(smtp) };
        let mailer = Mailer::new(&settings).unwrap();
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        let (id, letter) = (MailId::from_bytes([7; 16]), letter("bob@acme.test"));
        let ends = Duration::from_mins(1);
        let sent = timeout(ends, mailer.send(id, &letter, now)).await.expect("it ends");
        assert!(matches!(&sent, Err(SendError::Passing(why)) if why == TOO_SLOW), "{sent:?}");
        assert_eq!(timeout(ends, mailer.probe()).await.expect("it ends"), Err(TOO_SLOW.to_owned()));
    }

    #[tokio::test]
    async fn a_folder_that_the_first_mail_makes_is_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mailer_of = |path: PathBuf| {
            let settings = MailerSettings { from: "id@id.test".to_owned(), transport: Transport::File(path) };
            Mailer::new(&settings).unwrap()
        };
        assert!(mailer_of(folder.path().join("mails")).probe().await.is_ok());
        assert!(mailer_of(folder.path().to_owned()).probe().await.is_ok());
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(mailer_of(folder.path().join("file")).probe().await.is_err());
        assert!(mailer_of(folder.path().join("file/mails")).probe().await.is_err());
    }

    #[test]
    fn a_sender_that_is_no_address_is_said_at_start() {
        let transport = Transport::File("x".into());
        assert!(Mailer::new(&MailerSettings { from: "nobody".to_owned(), transport }).is_err());
        assert!(Mailer::new(&MailerSettings::default()).is_ok());
    }
}
