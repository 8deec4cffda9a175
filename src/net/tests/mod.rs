//! The listeners over real sockets.

mod drain;
mod http;
mod smuggling;
mod tls;
