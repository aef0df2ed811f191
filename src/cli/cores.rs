//! No core dumps: the memory of this process holds keys and persons, and a core is a file that others may read.

use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, setrlimit};

use crate::error::{Fault, Stage};

/// Switches core dumps off for this process and those it starts, and closes its memory to other processes of its account.
///
/// # Errors
/// The kernel refuses: nothing is started with dumps on.
pub(super) fn off() -> Result<(), Fault> {
    let refused = |errno: nix::Error| {
        Fault::operator(
            Stage::Config,
            format!(
                "core dumps cannot be switched off: {errno}; expected a kernel that allows setrlimit and prctl"
            ),
        )
    };
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(refused)?;
    set_dumpable(false).map_err(refused)
}

#[cfg(test)]
mod tests {
    use nix::sys::prctl::get_dumpable;
    use nix::sys::resource::getrlimit;

    use super::*;

    #[test]
    fn core_dumps_are_off_and_cannot_be_switched_on_again() {
        off().expect("the kernel allows it");
        assert_eq!(getrlimit(Resource::RLIMIT_CORE), Ok((0, 0)));
        assert_eq!(get_dumpable(), Ok(false));
    }
}
