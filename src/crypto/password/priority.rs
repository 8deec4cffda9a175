//! How the system schedules the hashing threads: after everything else, and in short turns.

/// How much less than everything else they count. They compute whenever nothing else would, and a tenth of the time
/// when everything is busy: a crowd at the sign-in page slows down only itself.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// How long one of them may run on although something more urgent has woken up, in nanoseconds: the least that Linux
/// takes (6.12 and later; earlier ones have no such setting and let it be). By default it is up to 3 ms, and a sign-in
/// wakes up a dozen times.
#[cfg(target_os = "linux")]
const TURN: u64 = 100_000;

/// Lets this thread yield to everything else. On Linux a priority is a thread's own; elsewhere it would be the whole
/// program's, so nothing is done there.
pub(super) fn yield_to_everything_else() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        // Whoever started the program may have set it lower still.
        let niceness = getpriority_process(None).map_or(NICENESS, |now| now.max(NICENESS));
        if let Err(error) = take_short_turns(niceness) {
            tracing::debug!(%error, "a hashing thread takes turns as long as others");
            if let Err(error) = setpriority_process(None, niceness) {
                tracing::debug!(%error, "the priority of a hashing thread stays as it is");
            }
        }
    }
}

/// `sched_setattr` for this thread (sched(7)), which sets its niceness too.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no well-kept crate has this call; the only one of its kind here")]
fn take_short_turns(niceness: i32) -> std::io::Result<()> {
    let attributes = libc::sched_attr {
        size: 48, // SCHED_ATTR_SIZE_VER0: the members below, which every kernel with this call knows
        sched_policy: libc::SCHED_OTHER.cast_unsigned(),
        sched_flags: 0,
        sched_nice: niceness,
        sched_priority: 0,
        sched_runtime: TURN,
        sched_deadline: 0,
        sched_period: 0,
    };
    let this_thread: libc::pid_t = 0;
    let no_flags: libc::c_uint = 0;
    // SAFETY: the kernel reads the 48 bytes of `attributes`, which is there until the call returns, and keeps no
    // pointer; nothing of this program's memory is written.
    let done =
        unsafe { libc::syscall(libc::SYS_sched_setattr, this_thread, &raw const attributes, no_flags) };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn only_the_thread_that_asks_yields() {
        let niceness = || getpriority_process(None).unwrap();
        let before = niceness();
        let there = std::thread::spawn(move || {
            yield_to_everything_else();
            niceness()
        });
        assert_eq!(there.join().unwrap(), NICENESS.max(before));
        assert_eq!(niceness(), before);
    }

    #[test]
    fn the_attributes_have_the_size_that_the_kernel_is_told() {
        assert_eq!(size_of::<libc::sched_attr>(), 48);
        let niceness = getpriority_process(None).unwrap();
        std::thread::spawn(move || take_short_turns(niceness)).join().unwrap().unwrap();
    }
}
