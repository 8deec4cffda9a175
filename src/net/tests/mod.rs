//! The listeners over real sockets.

mod drain;
mod held;
mod http;
mod smuggling;
mod tls;
