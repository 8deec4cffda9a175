//! Whole sign-ins through the real listener: brokered, local, resumed, refused.

mod asked_for;
mod brokered;
mod context;
mod local;
mod requests;
mod routing;
mod vendors;
