//! As whom an attempt runs when the daemon is root.

use crate::engine::RunAs;
use crate::sys;

/// The groups of a user, from the system's user database. `None` when it does not know the user: then
/// nothing may run as them. May ask a directory service; call it once a submission, not once a task.
pub fn lookup(uid: u32) -> Option<RunAs> {
    let (_, gid, groups) = sys::user_groups(uid)?;
    Some(RunAs { uid, gid, groups })
}

/// A user's name, for people and for `USER` and `LOGNAME`.
pub fn name(uid: u32) -> Option<String> {
    sys::user_groups(uid).and_then(|(name, ..)| name.into_string().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_nonsense_is_not() {
        assert_eq!(lookup(0).map(|user| (user.uid, user.gid)), Some((0, 0)));
        assert_eq!(name(0).as_deref(), Some("root"));
        assert_eq!(lookup(3_999_999_999), None);
    }
}
