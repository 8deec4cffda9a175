//! File descriptors: once the system's limit is reached, even the database can no longer be reached.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that clients cannot take: they are for the database, identity providers, files, and the management
/// listener.
const RESERVE: u64 = 256;

/// How many of `wanted` sockets may be open at once, so that clients never take the last descriptors. Raises the limit
/// of the process (`RLIMIT_NOFILE`) as far as possible.
pub fn sockets_within_descriptors(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let needed = u64::try_from(wanted).unwrap_or(u64::MAX).saturating_add(RESERVE);
    let raised = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let current = match limit.current {
        Some(current) if current < raised => {
            let outcome = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit });
            outcome.map_or(current, |()| raised)
        }
        Some(current) => current,
        None => return wanted,
    };
    let allowed = within(wanted, current);
    if allowed < wanted {
        tracing::warn!(
            descriptors = current,
            sockets = allowed,
            "the system allows fewer open files than limits.sockets needs; raise the limit (LimitNOFILE)"
        );
    }
    allowed
}

/// All but the reserve; half if there is little more than the reserve.
fn within(wanted: usize, descriptors: u64) -> usize {
    let free = descriptors.saturating_sub(RESERVE).max(descriptors / 2);
    wanted.min(usize::try_from(free).unwrap_or(usize::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_never_get_the_last_descriptors() {
        for (wanted, descriptors, allowed) in [
            (20_000, 1_000_000, 20_000),
            (20_000, 20_256, 20_000),
            (20_000, 1_024, 768),
            (20_000, 64, 32),
            (1, 0, 1),
        ] {
            assert_eq!(within(wanted, descriptors), allowed, "{wanted} of {descriptors}");
        }
    }

    #[test]
    fn the_process_raises_its_own_limit() {
        let wanted = 600;
        assert_eq!(sockets_within_descriptors(wanted), wanted);
        assert!(getrlimit(Resource::Nofile).current.is_none_or(|current| current >= 856));
    }
}
