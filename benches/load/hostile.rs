//! One address that sends the worst possible inputs and reads no answers: the effect on other clients, and the cost in
//! memory.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Method, Request, Version};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::{JoinHandle, spawn_local};

use crate::Arguments;
use crate::agent::{Agent, Form, ISSUER, parameter};
use crate::drive::Line;
use crate::scenario::{Scenario, authorize};
use crate::special::{PACE, against_quiet, probed};
use crate::world::{World, organization};

/// The addresses that send the worst inputs. No other client has them.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 251);
const OTHER_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 252);

/// Connections that send without a pause, each the next input as soon as the last one is answered.
const SENDING: usize = 6;

/// Connections, over the two addresses, that open no window for their answers; each has this many requests.
const UNREAD: usize = 500;
const REQUESTS: usize = 20;

/// The largest form, less what its heads and names take.
const LARGEST: usize = 65_000;

/// Token, keys and redirect, a hundred a second each: alone, and beside one address that sends the worst inputs and
/// five hundred connections that take no answers.
pub async fn worst(arguments: &Arguments, world: &Rc<World>) -> Result<Vec<Line>> {
    let probes = [Scenario::ClientCredentials, Scenario::Jwks, Scenario::DomainLookup];
    let quiet = probed("worst-quiet", &probes, PACE, arguments, world).await?;
    let (stopped, sent) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0_u64)));
    let callback = callback_path(world).await?;
    let mut tasks = Vec::new();
    for number in 0..SENDING {
        tasks.push(send(world, number, &callback, &stopped, &sent)?);
    }
    let unread = open_unread(world, &callback).await?;
    tokio::time::sleep(Duration::from_secs_f64(arguments.warmup)).await;
    let mut lines = against_quiet(probed("worst", &probes, PACE, arguments, world).await?, &quiet);
    for line in &mut lines {
        line.more.insert("worst_inputs".to_owned(), sent.get().into());
        line.more.insert("connections_unread".to_owned(), unread.len().into());
    }
    lines.extend(quiet);
    stopped.set(true);
    for task in tasks.into_iter().chain(unread) {
        task.abort();
    }
    Ok(lines)
}

/// The callback of a connection that exists.
async fn callback_path(world: &Rc<World>) -> Result<String> {
    let mut agent = Agent::at(world.target(0)?, ADDRESS);
    let answer = agent.get(&authorize("nonce", Some(&format!("{}.test", organization(0))))).await?;
    let address = parameter(answer.redirect()?, "redirect_uri").context("no redirect_uri")?;
    Ok(address.strip_prefix(ISSUER).unwrap_or(&address).to_owned())
}

/// The worst inputs, one after another.
fn inputs(callback: &str) -> Vec<(String, Option<String>)> {
    let distinct: String = (0..).map(|number| format!("a{number}=&")).take(LARGEST / 8).collect();
    let long = format!("a={}", "x".repeat(LARGEST));
    let escaped = format!("a={}", "%41".repeat(LARGEST / 3));
    let separators = "&".repeat(LARGEST);
    let words = format!("{}&scope={}", authorize("nonce", None), "a%20".repeat(3_000));
    let code = format!("{callback}?state={}&code=garbage", "s".repeat(2_000));
    let token = format!("token={0}.{0}.{0}", "A".repeat(20_000));
    let nested = format!("logout_token=e30.{}.AA", "W1tbW1tbW1tb".repeat(5_000));
    let logout = callback.replace("/callback/", "/backchannel-logout/");
    let mut inputs = Vec::new();
    for path in
        ["/oauth2/token", "/oauth2/authorize", "/signin", callback, "/oauth2/userinfo", "/oauth2/logout"]
    {
        for form in [&distinct, &long, &escaped, &separators] {
            inputs.push((path.to_owned(), Some(form.clone())));
        }
    }
    inputs.push((words, None));
    inputs.push((code, None));
    inputs.push(("/oauth2/introspect".to_owned(), Some(token.clone())));
    inputs.push(("/oauth2/userinfo".to_owned(), Some(token.replace("token=", "access_token="))));
    inputs.push((logout, Some(nested)));
    inputs.push(("/oauth2/authorize?client_id=nobody".to_owned(), None));
    inputs
}

fn send(
    world: &Rc<World>,
    number: usize,
    callback: &str,
    stopped: &Rc<Cell<bool>>,
    sent: &Rc<Cell<u64>>,
) -> Result<JoinHandle<()>> {
    let mut agent = Agent::at(world.target(number)?, ADDRESS);
    let inputs = inputs(callback);
    let (stopped, sent) = (Rc::clone(stopped), Rc::clone(sent));
    Ok(spawn_local(async move {
        for (path, body) in inputs.iter().cycle().skip(number * 5) {
            if stopped.get() {
                return;
            }
            let answer = match body {
                None => agent.get(path).await,
                Some(body) => agent.post(path, Form::Page { body: body.clone() }).await,
            };
            sent.set(sent.get() + 1);
            if answer.is_err() {
                // The broker refused the input before it read it. The next one needs another connection.
                agent.disconnect();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            agent.forget_cookies();
        }
    }))
}

/// Opens connections whose clients never open a window, each with requests for pages.
async fn open_unread(world: &Rc<World>, callback: &str) -> Result<Vec<JoinHandle<()>>> {
    let body = Bytes::from(format!("state={0}&error_description={0}", "x".repeat(4_000)));
    let mut open = Vec::new();
    for number in 0..UNREAD {
        let address = if number % 2 == 0 { ADDRESS } else { OTHER_ADDRESS };
        let mut agent = Agent::at(world.target(number)?, address);
        // The broker limits the sockets of one address, and refuses those beyond the limit.
        let Ok(stream) = agent.handshake_h2().await else { continue };
        let (callback, body) = (callback.to_owned(), body.clone());
        open.push(spawn_local(async move {
            let mut builder = http2::Builder::new(crate::hostile::Local);
            builder.timer(TokioTimer::new()).initial_stream_window_size(0);
            let Ok((mut sender, connection)) = builder.handshake(TokioIo::new(stream)).await else { return };
            spawn_local(async move {
                let _ = connection.await;
            });
            let mut waiting = Vec::new();
            for _ in 0..REQUESTS {
                let request = Request::builder()
                    .method(Method::POST)
                    .uri(format!("{ISSUER}{callback}"))
                    .version(Version::HTTP_2)
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(Full::<Bytes>::from(body.clone()));
                let Ok(request) = request else { return };
                waiting.push(sender.send_request(request));
            }
            let _held = futures_util::future::join_all(waiting).await;
            std::future::pending::<()>().await;
        }));
    }
    Ok(open)
}

/// Runs the tasks of a connection where this bench runs.
#[derive(Clone)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}
