//! A browser without a screen: keeps cookies, follows redirects, fills in forms that it finds in the HTML.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use scraper::{Html, Selector};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Url;

/// What went wrong on the way to a server.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The way to servers: their addresses by host and port, and whom to trust.
#[derive(Clone)]
pub struct Network {
    hosts: BTreeMap<String, SocketAddr>,
    pub tls: Arc<ClientConfig>,
    source: IpAddr,
}

impl Network {
    pub fn new(authority: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { hosts: BTreeMap::new(), tls: Arc::new(tls), source: Ipv4Addr::LOCALHOST.into() }
    }

    pub fn add(&mut self, authority: &str, address: SocketAddr) {
        self.hosts.insert(authority.to_owned(), address);
    }

    /// Reaches a further host where another one is.
    pub fn also(&mut self, authority: &str, like: &str) {
        let address = self.hosts[like];
        self.add(authority, address);
    }

    pub fn knows(&self, url: &Url) -> bool {
        self.hosts.contains_key(url.authority())
    }

    /// The same way, from another address of this machine.
    pub fn speaking_from(&self, source: [u8; 4]) -> Self {
        Self { source: source.into(), ..self.clone() }
    }

    /// A connection to a server, before anything was said.
    pub async fn socket(&self, authority: &str) -> io::Result<TcpStream> {
        let address = self.hosts.get(authority).unwrap_or_else(|| panic!("unknown host {authority}"));
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((self.source, 0).into()).unwrap();
        socket.connect(*address).await
    }

    /// A TLS connection to a server, for clients that say every byte themselves.
    pub async fn connect(&self, authority: &str, alpn: &[&str]) -> io::Result<TlsStream<TcpStream>> {
        let socket = self.socket(authority).await?;
        let mut tls = ClientConfig::clone(&self.tls);
        tls.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let host = authority.split(':').next().unwrap().to_owned();
        TlsConnector::from(Arc::new(tls)).connect(ServerName::try_from(host).unwrap(), socket).await
    }

    /// Sends one request on a connection of its own.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> http::Response<Bytes> {
        let url = Url::parse(&request.uri().to_string()).unwrap();
        self.try_send(request).await.unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    /// [`send`](Self::send), where the server may be gone.
    pub async fn try_send(&self, request: Request<Full<Bytes>>) -> Result<http::Response<Bytes>, BoxError> {
        let url = Url::parse(&request.uri().to_string()).unwrap();
        let mut sender = self.open(url.authority()).await?;
        exchange(&mut sender, url.authority(), request).await
    }

    /// A connection to the server of `url`, kept open for many requests one after another.
    pub async fn dial(&self, url: &Url) -> Line {
        let sender = self.open(url.authority()).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        Line { network: self.clone(), server: url.clone(), sender }
    }

    async fn open(&self, authority: &str) -> Result<SendRequest<Full<Bytes>>, BoxError> {
        let socket = self.connect(authority, &[]).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        // It ends when the sender is dropped.
        tokio::spawn(connection);
        Ok(sender)
    }
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    authority: &str,
    request: Request<Full<Bytes>>,
) -> Result<http::Response<Bytes>, BoxError> {
    let (mut parts, body) = request.into_parts();
    parts.headers.insert(header::HOST, authority.parse().unwrap());
    parts.uri = parts.uri.path_and_query().unwrap().as_str().parse().unwrap();
    let response = sender.send_request(Request::from_parts(parts, body)).await?;
    let (parts, body) = response.into_parts();
    Ok(http::Response::from_parts(parts, body.collect().await?.to_bytes()))
}

/// A connection for many requests. If the server has closed it, it is opened again.
pub struct Line {
    network: Network,
    server: Url,
    sender: SendRequest<Full<Bytes>>,
}

impl Line {
    /// Sends one request.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> http::Response<Bytes> {
        let authority = self.server.authority();
        if self.sender.ready().await.is_err() {
            self.sender = self.network.open(authority).await.unwrap();
        }
        exchange(&mut self.sender, authority, request).await.unwrap()
    }
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Page {
    pub url: Url,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Page {
    /// Where a redirect leads.
    pub fn location(&self) -> Option<Url> {
        let text = self.headers.get(header::LOCATION)?.to_str().unwrap();
        Some(self.url.join(text).unwrap())
    }

    /// A query parameter of where a redirect leads.
    pub fn location_parameter(&self, name: &str) -> Option<String> {
        let url = self.location()?;
        url.query_pairs().find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
    }

    fn attribute(&self, selector: &str, attribute: &str) -> Option<String> {
        let html = Html::parse_document(&self.body);
        let element = html.select(&Selector::parse(selector).unwrap()).next()?;
        element.value().attr(attribute).map(str::to_owned)
    }

    /// Where the link with this id leads.
    pub fn link(&self, id: &str) -> Option<Url> {
        self.attribute(&format!("a[id='{id}']"), "href").map(|href| self.url.join(&href).unwrap())
    }

    /// Whether a link leads to this path.
    pub fn leads_to(&self, path: &str) -> bool {
        self.attribute(&format!("a[href='{path}']"), "href").is_some()
    }

    /// Whether an element with this id is there.
    pub fn has(&self, id: &str) -> bool {
        self.attribute(&format!("[id='{id}']"), "id").is_some()
    }

    /// The text of the element with this id.
    pub fn text(&self, id: &str) -> Option<String> {
        let html = Html::parse_document(&self.body);
        let element = html.select(&Selector::parse(&format!("[id='{id}']")).unwrap()).next()?;
        Some(element.text().collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// The code of the failure that the page tells of.
    pub fn error(&self) -> Option<String> {
        self.attribute("#error", "data-error")
    }

    /// Fails with the whole page when it is not the one that was expected.
    #[track_caller]
    pub fn expect(&self, status: u16, id: &str) -> &Self {
        assert!(
            self.status == status && self.has(id),
            "expected {status} with #{id}, got {} from {}: {}",
            self.status,
            self.url,
            self.body
        );
        self
    }
}

/// A browser.
#[derive(Clone)]
pub struct Browser {
    pub network: Network,
    /// By host, then by name; ports share cookies.
    pub cookies: BTreeMap<String, BTreeMap<String, String>>,
    pub language: &'static str,
    /// Whether it sends `Sec-Fetch-Site`.
    pub fetch_metadata: bool,
}

impl Browser {
    pub fn new(network: &Network) -> Self {
        Self { network: network.clone(), cookies: BTreeMap::new(), language: "en", fetch_metadata: true }
    }

    /// The cookies of a host.
    pub fn cookies_of(&self, host: &str) -> BTreeMap<String, String> {
        self.cookies.get(host).cloned().unwrap_or_default()
    }

    /// One request, without following anything. `site` is who made the browser send it.
    pub async fn request(
        &mut self,
        method: Method,
        url: &Url,
        body: Option<String>,
        site: &str,
        origin: Option<&str>,
    ) -> Page {
        let page = self.try_request(method, url, body, site, origin).await;
        page.unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    /// [`request`](Self::request), where the server may be gone.
    pub async fn try_request(
        &mut self,
        method: Method,
        url: &Url,
        body: Option<String>,
        site: &str,
        origin: Option<&str>,
    ) -> Result<Page, BoxError> {
        let mut builder = Request::builder().method(method).uri(url.as_str());
        builder = builder.header(header::ACCEPT_LANGUAGE, self.language);
        builder = builder.header(header::USER_AGENT, "Test/1.0");
        if self.fetch_metadata {
            builder = builder.header("sec-fetch-site", site);
        }
        if let Some(origin) = origin {
            builder = builder.header(header::ORIGIN, origin);
        }
        let host = url.host_str().unwrap().to_owned();
        let jar = self.cookies_of(&host);
        if !jar.is_empty() {
            let text: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            builder = builder.header(header::COOKIE, text.join("; "));
        }
        if body.is_some() {
            builder = builder.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = builder.body(Full::new(Bytes::from(body.unwrap_or_default()))).unwrap();
        let response = self.network.try_send(request).await?;
        self.keep_cookies(&host, response.headers());
        let (parts, body) = response.into_parts();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Page { url: url.clone(), status: parts.status, headers: parts.headers, body })
    }

    fn keep_cookies(&mut self, host: &str, headers: &HeaderMap) {
        let jar = self.cookies.entry(host.to_owned()).or_default();
        for value in headers.get_all(header::SET_COOKIE) {
            let text = value.to_str().unwrap();
            let (pair, attributes) = text.split_once(';').unwrap_or((text, ""));
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.to_ascii_lowercase().contains("max-age=0") {
                jar.remove(name.trim());
            } else {
                jar.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }

    /// Opens an address as if it were typed, and follows redirects as far as the network knows the way.
    pub async fn open(&mut self, url: &str) -> Page {
        self.try_open(url).await.unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    /// [`open`](Self::open), where the server may be gone.
    pub async fn try_open(&mut self, url: &str) -> Result<Page, BoxError> {
        let page = self.try_request(Method::GET, &Url::parse(url).unwrap(), None, "none", None).await?;
        self.try_follow(page).await
    }

    /// Follows redirects as far as the network knows the way.
    pub async fn follow(&mut self, page: Page) -> Page {
        let url = page.url.clone();
        self.try_follow(page).await.unwrap_or_else(|error| panic!("after {url}: {error}"))
    }

    /// [`follow`](Self::follow), where the server may be gone.
    pub async fn try_follow(&mut self, mut page: Page) -> Result<Page, BoxError> {
        for _ in 0..20 {
            let Some(next) = page.location().filter(|url| self.network.knows(url)) else { return Ok(page) };
            let site = if next.origin() == page.url.origin() { "same-origin" } else { "cross-site" };
            page = self.try_request(Method::GET, &next, None, site, None).await?;
        }
        panic!("too many redirects at {}", page.url);
    }

    /// Fills in the form that holds the button with this id, and presses it. What `fields` does not name is sent as
    /// the form has it.
    pub async fn press(&mut self, page: &Page, button: &str, fields: &[(&str, &str)]) -> Page {
        let posted = self.press_only(page, button, fields).await;
        self.follow(posted).await
    }

    /// [`press`](Self::press), without following the answer.
    pub async fn press_only(&mut self, page: &Page, button: &str, fields: &[(&str, &str)]) -> Page {
        let pressed = self.try_press_only(page, button, fields).await;
        pressed.unwrap_or_else(|error| panic!("{}: {error}", page.url))
    }

    /// [`press`](Self::press), where the server may be gone.
    pub async fn try_press(
        &mut self,
        page: &Page,
        button: &str,
        fields: &[(&str, &str)],
    ) -> Result<Page, BoxError> {
        let posted = self.try_press_only(page, button, fields).await?;
        self.try_follow(posted).await
    }

    async fn try_press_only(
        &mut self,
        page: &Page,
        button: &str,
        fields: &[(&str, &str)],
    ) -> Result<Page, BoxError> {
        let (action, body) = filled_form(page, button, fields);
        let url = page.url.join(&action).unwrap();
        let same = url.origin() == page.url.origin();
        let site = if same { "same-origin" } else { "cross-site" };
        let origin = page.url.origin().ascii_serialization();
        self.try_request(Method::POST, &url, Some(body), site, Some(&origin)).await
    }

    /// Follows the link with this id.
    pub async fn click(&mut self, page: &Page, id: &str) -> Page {
        let href =
            page.attribute(&format!("a[id='{id}']"), "href").unwrap_or_else(|| panic!("no link #{id}"));
        let url = page.url.join(&href).unwrap();
        let page = self.request(Method::GET, &url, None, "same-origin", None).await;
        self.follow(page).await
    }
}

fn filled_form(page: &Page, button: &str, fields: &[(&str, &str)]) -> (String, String) {
    let html = Html::parse_document(&page.body);
    let all = |text: &str| Selector::parse(text).unwrap();
    let form = html
        .select(&all("form"))
        .find(|form| form.select(&all(&format!("[id='{button}']"))).next().is_some())
        .unwrap_or_else(|| panic!("no form with #{button} at {}: {}", page.url, page.body));
    let mut values: Vec<(String, String)> = Vec::new();
    for input in form.select(&all("input")) {
        if let Some(name) = input.value().attr("name") {
            let given = fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
            let written = input.value().attr("value");
            // Of the radios of one question, the one that was chosen.
            if input.value().attr("type") == Some("radio") {
                let chosen =
                    given.map_or(input.value().attr("checked").is_some(), |given| written == Some(given));
                values.extend(chosen.then(|| (name.to_owned(), written.unwrap_or("on").to_owned())));
                continue;
            }
            values.push((name.to_owned(), given.or(written).unwrap_or_default().to_owned()));
        }
    }
    for (name, _) in fields {
        assert!(values.iter().any(|(known, _)| known == name), "the form has no field {name}");
    }
    let pressed = form.select(&all(&format!("[id='{button}']"))).next().unwrap().value();
    if let (Some(name), Some(value)) = (pressed.attr("name"), pressed.attr("value")) {
        values.push((name.to_owned(), value.to_owned()));
    }
    let action = form.value().attr("action").unwrap_or_default().to_owned();
    (action, url::form_urlencoded::Serializer::new(String::new()).extend_pairs(values).finish())
}
