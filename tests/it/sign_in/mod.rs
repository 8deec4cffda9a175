//! Whole sign-ins through the real listener: brokered, local, resumed, refused.

mod brokered;
mod local;
mod requests;
mod routing;
