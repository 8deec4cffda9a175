//! How much clients may hold at once: sockets, memory, descriptors; counted by address and network.

pub(super) mod descriptors;
pub(super) mod held;
mod networks;
pub(super) mod sockets;
