//! What an organization owns: itself, its domains, its connections, its apps, and how its pages look. Each call names the
//! organization and looks under it.

pub mod apps;
pub mod connections;
pub mod domains;
pub mod looks;
pub mod organizations;
