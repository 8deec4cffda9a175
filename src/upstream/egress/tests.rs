use super::*;
use crate::upstream::testing::{Reply, Server};

fn settings(server: &Server) -> EgressSettings {
    EgressSettings {
        allow: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        extra_ca: Some(server.ca.clone()),
        ..EgressSettings::default()
    }
}

async fn get(egress: &Egress, url: &str) -> Result<Response<Bytes>, EgressError> {
    egress.send(Request::get(url).body(Bytes::new()).unwrap()).await
}

/// The result of a scripted reply.
async fn outcome(reply: Reply) -> Result<Response<Bytes>, EgressError> {
    let server = Server::start().await;
    server.on("/", reply);
    let egress = Egress::new(&settings(&server)).unwrap();
    get(&egress, &server.origin()).await
}

fn raw(head: &str, body: &str) -> Reply {
    Reply::Raw(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").into_bytes())
}

#[tokio::test]
async fn an_answer_comes_whole_and_the_request_offers_no_compression() {
    let server = Server::start().await;
    server.on("/a", Reply::Text(404, "text/plain", "no".to_owned()));
    let egress = Egress::new(&settings(&server)).unwrap();
    let answer = get(&egress, &format!("{}/a?x=1", server.origin())).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (404, &b"no"[..]));
    let seen = &server.seen("/a")[0];
    assert_eq!(seen.headers["accept-encoding"], "identity");
    assert!(seen.headers["user-agent"].starts_with("countersign/"));
}

#[tokio::test]
async fn loopback_is_refused_in_every_spelling_and_the_canary_stays_silent() {
    let canary = Server::start().await;
    let egress = Egress::new(&EgressSettings { allow: Vec::new(), ..settings(&canary) }).unwrap();
    let hosts = [
        "localhost",
        "LOCALHOST",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "0.0.0.0",
        "[::]",
    ];
    for host in hosts {
        let error = get(&egress, &format!("https://{host}:{}/", canary.port)).await.unwrap_err();
        assert!(matches!(error, EgressError::AddressRefused { .. }), "{host}: {error}");
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn other_private_addresses_are_refused_without_a_packet() {
    let server = Server::start().await;
    let egress = Egress::new(&settings(&server)).unwrap();
    for host in ["169.254.169.254", "10.0.0.1", "192.168.1.1", "[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]"] {
        let error = get(&egress, &format!("https://{host}/")).await.unwrap_err();
        assert_eq!(error.code(), "outbound_address_refused", "{host}");
    }
}

#[tokio::test]
async fn only_https_is_called() {
    let server = Server::start().await;
    let egress = Egress::new(&settings(&server)).unwrap();
    for url in [format!("http://localhost:{}/", server.port), "/".to_owned(), "ftp://localhost/".to_owned()] {
        assert_eq!(get(&egress, &url).await.unwrap_err(), EgressError::InvalidUrl, "{url}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let canary = Server::start().await;
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let head =
            format!("HTTP/1.1 {status} X\r\nlocation: {}/\r\ncontent-length: 0\r\n\r\n", canary.origin());
        let error = outcome(Reply::Raw(head.into_bytes())).await.unwrap_err();
        assert!(matches!(error, EgressError::Redirect(code) if code.as_u16() == status), "{error}");
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_for_the_name() {
    let server = Server::start().await;
    let strangers = Egress::new(&EgressSettings { extra_ca: None, ..settings(&server) }).unwrap();
    assert_eq!(get(&strangers, &server.origin()).await.unwrap_err().code(), "outbound_tls_failed");
    let egress = Egress::new(&settings(&server)).unwrap();
    let by_address = format!("https://127.0.0.1:{}/", server.port);
    assert_eq!(get(&egress, &by_address).await.unwrap_err().code(), "outbound_tls_failed");
}

#[tokio::test]
async fn the_body_is_bounded_whatever_its_length_claims() {
    let just = "x".repeat(1024 * 1024);
    assert_eq!(
        outcome(raw(&format!("content-length: {}", just.len()), &just)).await.unwrap().body().len(),
        just.len()
    );
    let announced =
        outcome(Reply::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\n".to_vec())).await;
    assert_eq!(announced.unwrap_err(), EgressError::TooLarge);
    let endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    assert_eq!(outcome(Reply::Endless(endless)).await.unwrap_err(), EgressError::TooLarge);
    let until_close = outcome(raw("connection: close", &"x".repeat(1024 * 1024 + 1))).await;
    assert_eq!(until_close.unwrap_err(), EgressError::TooLarge);
    let understated = outcome(raw("content-length: 2", "okay")).await.unwrap();
    assert_eq!(understated.body().as_ref(), b"ok");
}

#[tokio::test]
async fn an_answer_that_is_broken_or_encoded_is_refused() {
    let broken = [
        raw("content-length: 100", "early end"),
        raw("transfer-encoding: chunked", "zz\r\n"),
        raw("content-length: 1\r\ncontent-length: 2", "ab"),
        raw("content-length: +5", "abcde"),
        raw(&format!("x: {}", "y".repeat(300_000)), ""),
        raw(&"x: y\r\n".repeat(200), ""),
        Reply::Raw(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        Reply::Raw(Vec::new()),
    ];
    for (index, reply) in broken.into_iter().enumerate() {
        assert_eq!(outcome(reply).await.err().map(|e| e.code()), Some("outbound_broken_answer"), "{index}");
    }
    let gzip = outcome(raw("content-encoding: gzip\r\ncontent-length: 2", "ok")).await;
    assert_eq!(gzip.unwrap_err(), EgressError::Encoded);
    assert!(outcome(raw("content-encoding: identity\r\ncontent-length: 2", "ok")).await.is_ok());
}

#[tokio::test]
async fn silence_and_dribbling_end_in_time() {
    let heads =
        ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nslow"];
    for head in heads {
        let server = Server::start().await;
        server.on("/", Reply::Hang(head.as_bytes().to_vec()));
        let hasty = EgressSettings { total_timeout: Duration::from_millis(300), ..settings(&server) };
        let egress = Egress::new(&hasty).unwrap();
        assert_eq!(get(&egress, &server.origin()).await.unwrap_err(), EgressError::Timeout, "{head:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_named() {
    let server = Server::start().await;
    let egress = Egress::new(&settings(&server)).unwrap();
    let error = get(&egress, "https://no-such-name.invalid/").await.unwrap_err();
    assert_eq!(error.code(), "outbound_lookup_failed");
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = get(&egress, &format!("https://{closed}/")).await.unwrap_err();
    assert_eq!(error.code(), "outbound_connect_failed");
}

#[tokio::test]
async fn a_listener_that_never_answers_the_handshake_is_given_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start().await;
    let hasty = EgressSettings { connect_timeout: Duration::from_millis(300), ..settings(&server) };
    let egress = Egress::new(&hasty).unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    assert_eq!(get(&egress, &url).await.unwrap_err(), EgressError::ConnectTimeout);
}

#[test]
fn malformed_certificate_authorities_are_refused() {
    for pem in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let settings =
            EgressSettings { extra_ca: Some(pem.as_bytes().to_vec()), ..EgressSettings::default() };
        assert!(matches!(Egress::new(&settings), Err(EgressBuildError::ExtraCa(_))), "{pem:?}");
    }
}

/// A resolver that never answers for names below `silent.test`, and answers `localhost` for all others.
#[derive(Default)]
struct Quiet(std::sync::Mutex<Vec<String>>);

impl Quiet {
    fn asked(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Resolver for Quiet {
    fn resolve(
        &self,
        host: String,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send>> {
        let silent = host.ends_with("silent.test");
        self.0.lock().unwrap().push(host);
        Box::pin(async move {
            if silent {
                std::future::pending::<()>().await;
            }
            Ok(vec![std::net::Ipv4Addr::LOCALHOST.into()])
        })
    }
}

/// A connection of an organization, by number.
fn connection_of(organization: u8, connection: u8) -> Connection {
    Connection {
        id: crate::model::ConnectionId::from_bytes([connection; 16]),
        organization: crate::model::OrganizationId::from_bytes([organization; 16]),
        ..crate::upstream::testing::connection("https://idp.test")
    }
}

/// Calls these URLs with this client at the same time. Returns the tasks.
fn crowd(egress: &Egress, urls: impl Iterator<Item = String>) -> Vec<tokio::task::JoinHandle<&'static str>> {
    urls.map(|url| {
        let egress = egress.clone();
        tokio::spawn(
            async move { get(&egress, &url).await.map_or_else(|error| error.code(), |_| "answered") },
        )
    })
    .collect()
}

#[tokio::test]
async fn names_that_never_resolve_cost_their_own_organization_and_no_other() {
    let server = Server::start().await;
    server.on("/", Reply::Text(200, "text/plain", String::new()));
    let quiet = Arc::new(Quiet::default());
    let patient = EgressSettings { connect_timeout: Duration::from_mins(1), ..settings(&server) };
    let patient = EgressSettings { total_timeout: Duration::from_mins(1), ..patient };
    let egress = Egress::with_resolver(&patient, quiet.clone()).unwrap();
    // Eight connections of one organization, each with forty names of its own.
    let mut hanging = Vec::new();
    for connection in 0..8 {
        let hostile = egress.of(&connection_of(1, connection));
        let urls = (0..40).map(move |number| format!("https://n{number}.c{connection}.silent.test/"));
        for task in crowd(&hostile, urls) {
            // A call that finds no free place fails at once; the others hang.
            hanging.push(task);
        }
    }
    while hanging.iter().filter(|task| task.is_finished()).count() < 320 - 16 {
        tokio::task::yield_now().await;
    }
    assert_eq!((quiet.asked(), egress.shared.names.under_way()), (16, 16));
    // The rest of the look-ups are free for other organizations, and their names resolve.
    for organization in 2..100 {
        let other = egress.of(&connection_of(organization, 1));
        assert_eq!(get(&other, &server.origin()).await.unwrap().status(), 200, "{organization}");
    }
    for task in hanging {
        task.abort();
    }
    // A look-up whose callers have gone still holds its thread, so it still counts.
    assert_eq!(egress.shared.names.under_way(), 16);
    let hostile = egress.of(&connection_of(1, 100));
    assert_eq!(get(&hostile, "https://another.silent.test/").await.unwrap_err(), EgressError::Busy);
}

#[tokio::test]
async fn a_connection_alone_hangs_at_four_names_and_each_name_is_looked_up_once() {
    let server = Server::start().await;
    let quiet = Arc::new(Quiet::default());
    let hasty = EgressSettings { connect_timeout: Duration::from_millis(300), ..settings(&server) };
    let egress = Egress::with_resolver(&hasty, quiet.clone()).unwrap().of(&connection_of(1, 1));
    let many = crowd(&egress, (0..50).map(|_| "https://One.silent.test/".to_owned()));
    for task in many {
        assert_eq!(task.await.unwrap(), "outbound_connect_timeout");
    }
    assert_eq!(quiet.asked(), 1);
    // It has already taken too long: no caller waits for it, and none starts another.
    let error = get(&egress, "https://one.silent.test/").await.unwrap_err();
    assert_eq!((error, quiet.asked()), (EgressError::ConnectTimeout, 1));
    for number in 0..10 {
        let error = get(&egress, &format!("https://n{number}.silent.test/")).await.unwrap_err();
        let expected = if number < 3 { EgressError::ConnectTimeout } else { EgressError::Busy };
        assert_eq!(error, expected, "{number}");
    }
    assert_eq!(quiet.asked(), 4);
}

#[tokio::test]
async fn calls_that_hang_leave_half_of_what_is_free_to_other_organizations() {
    let slow = Server::start().await;
    slow.on("/", Reply::Hang(Vec::new()));
    let server = Server::start().await;
    server.on("/", Reply::Text(200, "text/plain", String::new()));
    let both =
        EgressSettings { extra_ca: Some([slow.ca.clone(), server.ca.clone()].concat()), ..settings(&slow) };
    let patient = EgressSettings { total_timeout: Duration::from_mins(1), ..both };
    let patient = EgressSettings { connect_timeout: Duration::from_mins(1), ..patient };
    let egress = Egress::new(&patient).unwrap();
    let mut hanging = Vec::new();
    for connection in 0..4 {
        let hostile = egress.of(&connection_of(1, connection));
        hanging.extend(crowd(&hostile, (0..100).map(|_| slow.origin())));
    }
    while slow.seen("/").len() < 96 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for organization in 2..20 {
        let other = egress.of(&connection_of(organization, 1));
        assert_eq!(get(&other, &server.origin()).await.unwrap().status(), 200, "{organization}");
    }
    assert_eq!(slow.connections(), 96);
    for task in hanging {
        task.abort();
    }
}
