//! `[mail]`: how mails leave.

use std::path::PathBuf;

use crate::config::section::{Reader, Section, section};
use crate::model::Secret;
use crate::protocol::document::Complaint;

crate::setting_enum! {
    /// The way that mails take.
    pub enum MailTransport {
        /// None is sent.
        None = "none",
        /// One file a mail.
        File = "file",
        /// A mail server.
        Smtp = "smtp",
    }
}

crate::setting_enum! {
    /// How the conversation with the mail server is protected.
    pub enum MailTls {
        /// It begins in clear and must go over to TLS.
        StartTls = "starttls",
        /// TLS from the first byte.
        Implicit = "implicit",
        /// Not at all.
        None = "none",
    }
}

section! {
    /// How the broker sends mails that tell users about their accounts. Without a transport it sends none.
    pub struct Mail in "mail" {
        /// `smtp`, `file` (writes one `.eml` file for each mail into `dir`) or `none`.
        key transport: MailTransport = "none";
        /// The folder for `file`.
        key dir: PathBuf = "data/mails";
        /// The sender of the mails: an address, or `Name <address>`.
        key from: String = "Countersign <countersign@localhost>";
        /// The mail server, by the name in its certificate.
        optional smtp_host: String = "smtp.example.com";
        /// Its port.
        key smtp_port: u16 = "587";
        /// `starttls`, `implicit` (mostly port 465), or `none` for a server on this machine.
        key smtp_tls: MailTls = "starttls";
        /// The username at the mail server, if it needs one.
        optional smtp_username: String = "countersign";
        /// The password at the mail server.
        optional smtp_password: Secret = "correct horse battery staple";
        /// Or the file that holds it.
        optional smtp_password_file: PathBuf = "/run/secrets/smtp_password";
    }
}

impl Section for Mail {
    fn check(&self, reader: &Reader<'_>) {
        if matches!(self.transport, MailTransport::Smtp) && self.smtp_host.is_none() {
            let complaint = Complaint::with_remedy("needs a mail server", "set mail.smtp_host");
            reader.refuse("transport", complaint);
        }
        if self.smtp_password.is_some() && self.smtp_password_file.is_some() {
            let complaint = Complaint::with_remedy("smtp_password is given too", "keep one of the two");
            reader.refuse("smtp_password_file", complaint);
        }
        let local = |host: &str| ["localhost", "127.0.0.1", "::1"].contains(&host);
        if matches!(self.smtp_tls, MailTls::None)
            && self.smtp_host.as_deref().is_some_and(|host| !local(host))
        {
            let remedy = "use `starttls` or `implicit`; `none` is for a mail server on this machine";
            reader.refuse(
                "smtp_tls",
                Complaint::with_remedy("would send mails unencrypted over a network", remedy),
            );
        }
    }
}
