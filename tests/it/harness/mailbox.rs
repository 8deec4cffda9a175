//! Where the broker's mails arrive: a folder of `.eml` files, or a mail server that a test tells what to answer.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use countersign::flows::Broker;
use countersign::jobs::send_mail::SendMail;
use countersign::jobs::worker::Worker;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Sends the mails that are due, until there are none. The broker's own worker may be sending some of them at the same
/// time.
pub async fn send_mails(broker: &Arc<Broker>) {
    let mut worker = Worker::new(Arc::clone(broker), SendMail);
    while worker.begin_due().await.unwrap() > 0 || worker.next_end().await {}
}

/// A mail as its recipient reads it.
#[derive(Debug, Clone)]
pub struct Received {
    pub to: String,
    pub subject: String,
    /// The plain text.
    pub text: String,
}

impl Received {
    /// Reads a message (RFC 5322) with a plain-text part in quoted-printable or as it is (RFC 2045, section 6.7).
    pub fn read(message: &str) -> Self {
        let (head, body) = message.split_once("\r\n\r\n").unwrap();
        let unfolded = head.replace("\r\n ", " ");
        let header = |name: &str| {
            let found = unfolded.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            found.unwrap_or_else(|| panic!("no {name} in {head}")).to_owned()
        };
        let part = &body[body.find("Content-Type: text/plain").expect("a plain part")..];
        let (part_head, part_body) = part.split_once("\r\n\r\n").unwrap();
        let boundary = unfolded.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
        let end = part_body.find(&format!("\r\n--{boundary}")).unwrap();
        let quoted = part_head.to_ascii_lowercase().contains("quoted-printable");
        let text = if quoted { unquote(&part_body[..end]) } else { part_body[..end].to_owned() };
        assert!(body.contains("Content-Type: text/html"), "{body}");
        Self { to: header("To"), subject: header("Subject"), text: text.replace("\r\n", "\n") }
    }

    /// The first address in the text.
    pub fn link(&self) -> &str {
        let start = self.text.find("https://").unwrap();
        self.text[start..].split_whitespace().next().unwrap()
    }
}

fn unquote(text: &str) -> String {
    let joined = text.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        if *first == b'=' {
            let code = std::str::from_utf8(&more[..2]).unwrap();
            bytes.push(u8::from_str_radix(code, 16).unwrap());
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// A folder in which mails arrive.
pub struct Mailbox(TempDir);

impl Mailbox {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// What has arrived, in the order in which it was written.
    pub fn mails(&self) -> Vec<Received> {
        let files = std::fs::read_dir(self.folder()).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "eml")).collect();
        files.sort();
        files.iter().map(|path| Received::read(&std::fs::read_to_string(path).unwrap())).collect()
    }
}

/// A mail server (RFC 5321) that answers to some recipients with another code, and keeps what it takes.
#[derive(Clone, Default)]
pub struct MailServer(Arc<State>);

#[derive(Default)]
struct State {
    codes: Mutex<HashMap<String, u16>>,
    taken: Mutex<Vec<Received>>,
    tried: Mutex<Vec<String>>,
}

impl MailServer {
    /// Serves on this port of loopback, 0 for any; gives the port.
    pub async fn listen(&self, port: u16) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move {
                    // A peer that goes away ends its own conversation alone.
                    let _ = server.talk(stream).await;
                });
            }
        });
        port
    }

    /// Answers to this recipient with this code from now on.
    pub fn answer(&self, recipient: &str, code: u16) {
        self.0.codes.lock().unwrap().insert(recipient.to_owned(), code);
    }

    pub fn taken(&self) -> Vec<Received> {
        self.0.taken.lock().unwrap().clone()
    }

    /// How often mail to this recipient was tried.
    pub fn tries(&self, recipient: &str) -> usize {
        self.0.tried.lock().unwrap().iter().filter(|tried| *tried == recipient).count()
    }

    async fn talk(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 mail.test\r\n").await?;
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let command = line.to_ascii_uppercase();
            let answer = if command.starts_with("EHLO") {
                "250-mail.test\r\n250 8BITMIME".to_owned()
            } else if command.starts_with("RCPT") {
                let address = line.split(['<', '>']).nth(1).unwrap().to_owned();
                let code = self.0.codes.lock().unwrap().get(&address).copied().unwrap_or(250);
                self.0.tried.lock().unwrap().push(address);
                format!("{code} as told")
            } else if command.starts_with("DATA") {
                stream.write_all(b"354 go on\r\n").await?;
                let message = read_message(&mut stream).await?;
                self.0.taken.lock().unwrap().push(Received::read(&message));
                "250 taken".to_owned()
            } else if command.starts_with("QUIT") {
                "221 bye".to_owned()
            } else {
                "250 well".to_owned()
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
    }
}

async fn read_message(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut message = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(message);
        }
        message.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
