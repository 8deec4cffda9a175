//! The foundation of the tests.

pub mod app;
pub mod beta;
pub mod browser;
pub mod database;
pub mod evidence;
pub mod hostile;
pub mod log;
pub mod mailbox;
pub mod pki;
pub mod program;
pub mod proxy;
pub mod relying_app;
pub mod server;
pub mod time;
pub mod watch;
pub mod world;
