//! Claims: the fence that lets an attempt start at most once.
//!
//! A claim is a file named after the attempt. It appears at once with its complete content, and only
//! one process can make it appear: the shim does so before it executes the command, and a recovery
//! does so to fence off an attempt that has not started. Whoever comes second leaves it alone.
//! The shim appends the exit record to the claim in one write; the claim stays until the daemon has
//! that fact on disk.
//!
//! A random token is kept here and in the store. When it is missing here on the same boot, the claims
//! are unknown, and every open attempt has to be proven dead in another way (see [`crate::sweep`]).
//! Until that is done a marker stands in the token's place ([`mark_proving`]), so that a daemon that
//! dies in the middle of it leaves the proof to the next one.

use crate::engine::Outcome;
use crate::frame::{self, FrameReader};
use crate::identity::{Presence, ProcessIdentity};
use crate::proto::WireId;
use dunnage_model::AttemptId;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The folder of claims.
#[derive(Debug)]
pub struct Claims {
    dir: OwnedFd,
}

/// What a claim says.
#[derive(Debug)]
pub enum ClaimState {
    /// There is none: the attempt has not started, and still could.
    None,
    /// A recovery took it: the attempt never started and never will.
    Fenced,
    /// A shim took it, and lives.
    Live {
        /// The shim.
        shim: ProcessIdentity,
        /// Becomes readable when the shim has ended.
        pidfd: OwnedFd,
    },
    /// The attempt has ended.
    Ended(Box<Outcome>),
    /// A shim took it and is gone without an exit record.
    ShimDied,
}

/// What the token in the runtime directory says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenState {
    /// It is the store's: the claims here are this store's claims.
    Same,
    /// There is none, or another's: nothing is known about what runs.
    RuntimeLost,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct ClaimHead {
    pub(crate) id: WireId,
    pub(crate) holder: ProcessIdentity,
    pub(crate) token: String,
    pub(crate) fence: bool,
}

impl Claims {
    /// Opens the claims of a runtime directory, making the folder if needed.
    pub fn open(rundir: &Path) -> io::Result<Self> {
        let path = rundir.join("claims");
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { dir: rustix::fs::open(&path, flags, Mode::empty())? })
    }

    pub(crate) const fn from_fd(dir: OwnedFd) -> Self {
        Self { dir }
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.dir
    }

    /// Takes the claim; the file is returned for the exit record. `AlreadyExists` means that somebody
    /// else has it.
    pub(crate) fn take(&self, head: &ClaimHead, scratch: &mut Vec<u8>) -> io::Result<File> {
        scratch.clear();
        frame::encode(head, scratch).map_err(io::Error::other)?;
        let name = AttemptId::from(head.id).to_string();
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.dir, ".", flags, mode) {
            Ok(fd) => {
                let mut file = File::from(fd);
                file.write_all(scratch)?;
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                rustix::fs::linkat(CWD, path.as_str(), &self.dir, name.as_str(), AtFlags::SYMLINK_FOLLOW)?;
                Ok(file)
            }
            // A file system without unnamed files: a name of our own, then a link, which fails like one.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
                let temporary = format!(".{name}.{}", std::process::id());
                let flags =
                    OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC;
                let mut file = File::from(rustix::fs::openat(&self.dir, temporary.as_str(), flags, mode)?);
                file.write_all(scratch)?;
                let linked = rustix::fs::linkat(
                    &self.dir,
                    temporary.as_str(),
                    &self.dir,
                    name.as_str(),
                    AtFlags::empty(),
                );
                let _ = rustix::fs::unlinkat(&self.dir, temporary.as_str(), AtFlags::empty());
                linked?;
                Ok(file)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is known of an attempt.
    pub fn inspect(&self, attempt: AttemptId) -> io::Result<ClaimState> {
        let Some((head, record)) = self.read(attempt)? else { return Ok(ClaimState::None) };
        if let Some(outcome) = record {
            return Ok(ClaimState::Ended(Box::new(outcome)));
        }
        let Some(head) = head else { return Ok(ClaimState::ShimDied) };
        if head.fence {
            return Ok(ClaimState::Fenced);
        }
        match head.holder.presence() {
            Presence::Alive(pidfd) => Ok(ClaimState::Live { shim: head.holder, pidfd }),
            // It may have written its record and left between our two looks.
            Presence::Ended | Presence::OutOfSight => match self.read(attempt)? {
                Some((_, Some(outcome))) => Ok(ClaimState::Ended(Box::new(outcome))),
                _ => Ok(ClaimState::ShimDied),
            },
        }
    }

    /// Takes the claim so that the attempt can never start. `false` when it is taken already.
    pub fn fence(&self, attempt: AttemptId, token: &str) -> io::Result<bool> {
        let head = ClaimHead {
            id: attempt.into(),
            holder: ProcessIdentity::of_self(),
            token: token.to_owned(),
            fence: true,
        };
        match self.take(&head, &mut Vec::new()) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes the claim on behalf of a shim that is no more: the attempt can never start, and may have
    /// started. Says [`ClaimState::ShimDied`] from then on. `false` when it is taken already.
    pub(crate) fn bury(&self, attempt: AttemptId, token: &str) -> io::Result<bool> {
        let nobody = ProcessIdentity { pid: 0, start_time: 0, boot_id: "none".to_owned(), pid_namespace: 0 };
        let head = ClaimHead { id: attempt.into(), holder: nobody, token: token.to_owned(), fence: false };
        match self.take(&head, &mut Vec::new()) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The living shim that has the claim, where it works for the store with this token.
    pub(crate) fn living_shim(&self, attempt: AttemptId, token: &str) -> Option<OwnedFd> {
        let (head, _) = self.read(attempt).ok()??;
        let head = head.filter(|head| !head.fence && head.token == token)?;
        match head.holder.presence() {
            Presence::Alive(pidfd) => Some(pidfd),
            Presence::Ended | Presence::OutOfSight => None,
        }
    }

    /// Removes the claims of other stores: they carry the same names as ours and say nothing of ours.
    pub(crate) fn remove_foreign(&self, token: &str) -> io::Result<()> {
        for attempt in self.list()? {
            // Of a claim that cannot be read it is not known whose it is: it stays.
            if let Ok(Some((Some(head), _))) = self.read(attempt)
                && head.token != token
            {
                self.remove(attempt)?;
            }
        }
        Ok(())
    }

    /// Forgets an attempt whose end is on disk.
    pub fn remove(&self, attempt: AttemptId) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.dir, attempt.to_string().as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// All attempts that have a claim.
    pub fn list(&self) -> io::Result<Vec<AttemptId>> {
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.dir)? {
            let entry = entry?;
            if let Some(id) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
                found.push(id);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn read(&self, attempt: AttemptId) -> io::Result<Option<(Option<ClaimHead>, Option<Outcome>)>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file =
            match rustix::fs::openat(self.dir.as_fd(), attempt.to_string().as_str(), flags, Mode::empty()) {
                Ok(fd) => File::from(fd),
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
        let mut bytes = Vec::new();
        // A claim is some hundred bytes; a kernel result never stands in one.
        file.take(64 << 10).read_to_end(&mut bytes)?;
        let mut reader = FrameReader::default();
        reader.push(&bytes);
        // A torn or damaged record is no record.
        let head = reader.next_message::<ClaimHead>().ok().flatten();
        let record = if head.is_some() { reader.next_message::<Outcome>().ok().flatten() } else { None };
        Ok(Some((head, record)))
    }
}

/// Compares the token of a runtime directory with the store's. The marker of a proof that was not
/// finished is nobody's token.
pub fn token_state(rundir: &Path, token: &str) -> TokenState {
    match fs::read_to_string(rundir.join("token")) {
        Ok(text) if text.trim_end() == token => TokenState::Same,
        _ => TokenState::RuntimeLost,
    }
}

/// Puts the store's token into a runtime directory, at once and whole.
pub fn write_token(rundir: &Path, token: &str) -> io::Result<()> {
    let temporary = rundir.join(format!(".token.{}", std::process::id()));
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(token.as_bytes())?;
    fs::rename(&temporary, rundir.join("token"))
}

/// Puts a marker in the token's place: old attempts of the store are being proven dead. It is replaced
/// by [`write_token`] when that is done.
pub fn mark_proving(rundir: &Path, token: &str) -> io::Result<()> {
    // Tokens are letters and digits, so that this is none.
    write_token(rundir, &format!("proving:{token}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Ending;
    use dunnage_model::{Attempt, GraphId};

    fn id(index: u32) -> AttemptId {
        GraphId(7).task(index).attempt(Attempt::FIRST)
    }

    fn head(index: u32, holder: ProcessIdentity) -> ClaimHead {
        ClaimHead { id: id(index).into(), holder, token: "t".into(), fence: false }
    }

    #[test]
    fn one_of_many_who_race_for_a_claim_gets_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let won: usize = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|n| {
                    let path = folder.path();
                    scope.spawn(move || {
                        let claims = Claims::open(path).expect("opens");
                        (0..200)
                            .filter(|index| {
                                if n % 2 == 0 {
                                    claims.fence(id(*index), "t").expect("fences")
                                } else {
                                    claims
                                        .take(&head(*index, ProcessIdentity::of_self()), &mut Vec::new())
                                        .is_ok()
                                }
                            })
                            .count()
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().expect("no panic")).sum()
        });
        assert_eq!(won, 200, "each claim has exactly one owner");
        let claims = Claims::open(folder.path()).expect("opens");
        assert_eq!(claims.list().expect("lists").len(), 200);
        for index in 0..200 {
            assert!(matches!(
                claims.inspect(id(index)).expect("reads"),
                ClaimState::Fenced | ClaimState::Live { .. }
            ));
        }
    }

    #[test]
    fn a_claim_tells_its_story() {
        let folder = tempfile::tempdir().expect("a folder");
        let claims = Claims::open(folder.path()).expect("opens");
        assert!(matches!(claims.inspect(id(1)).expect("reads"), ClaimState::None));
        let mut file = claims.take(&head(1, ProcessIdentity::of_self()), &mut Vec::new()).expect("takes");
        assert!(matches!(claims.inspect(id(1)).expect("reads"), ClaimState::Live { .. }));
        assert!(!claims.fence(id(1), "t").expect("reads"), "it is taken");
        let outcome = Outcome::bare(Ending::Exited { code: 3 });
        let mut record = Vec::new();
        frame::encode(&outcome, &mut record).expect("encodes");
        file.write_all(&record[..record.len() - 1]).expect("writes");
        assert!(
            matches!(claims.inspect(id(1)).expect("reads"), ClaimState::Live { .. }),
            "half a record is none"
        );
        file.write_all(&record[record.len() - 1..]).expect("writes");
        assert!(matches!(claims.inspect(id(1)).expect("reads"), ClaimState::Ended(o) if *o == outcome));
        claims.remove(id(1)).expect("removes");
        claims.remove(id(1)).expect("again is fine");
        assert!(matches!(claims.inspect(id(1)).expect("reads"), ClaimState::None));
    }

    #[test]
    fn a_shim_of_an_earlier_boot_has_died() {
        let folder = tempfile::tempdir().expect("a folder");
        let claims = Claims::open(folder.path()).expect("opens");
        let holder = ProcessIdentity { boot_id: "earlier".into(), ..ProcessIdentity::of_self() };
        claims.take(&head(1, holder), &mut Vec::new()).expect("takes");
        assert!(matches!(claims.inspect(id(1)).expect("reads"), ClaimState::ShimDied));
        fs::write(folder.path().join("claims/7.2.1"), b"\xff\xff\xff\xffgarbage").expect("writes");
        assert!(
            matches!(claims.inspect(id(2)).expect("reads"), ClaimState::ShimDied),
            "damaged is not absent"
        );
    }

    #[test]
    fn a_buried_attempt_has_died_and_other_stores_claims_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let claims = Claims::open(folder.path()).expect("opens");
        assert!(claims.bury(id(1), "t").expect("buries"));
        assert!(matches!(claims.inspect(id(1)).expect("reads"), ClaimState::ShimDied));
        assert!(claims.living_shim(id(1), "t").is_none());
        claims.take(&head(2, ProcessIdentity::of_self()), &mut Vec::new()).expect("takes");
        assert!(!claims.bury(id(2), "t").expect("reads"), "it is taken");
        assert!(claims.living_shim(id(2), "t").is_some());
        assert!(claims.living_shim(id(2), "other").is_none(), "another store's shim is not ours to kill");
        let foreign = ClaimHead { token: "other".into(), ..head(3, ProcessIdentity::of_self()) };
        claims.take(&foreign, &mut Vec::new()).expect("takes");
        claims.remove_foreign("t").expect("removes");
        assert_eq!(claims.list().expect("lists"), [id(1), id(2)]);
    }

    #[test]
    fn a_missing_or_other_token_means_that_nothing_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(token_state(folder.path(), "abc"), TokenState::RuntimeLost);
        write_token(folder.path(), "abc").expect("writes");
        assert_eq!(token_state(folder.path(), "abc"), TokenState::Same);
        assert_eq!(token_state(folder.path(), "abd"), TokenState::RuntimeLost);
        mark_proving(folder.path(), "abc").expect("writes");
        assert_eq!(token_state(folder.path(), "abc"), TokenState::RuntimeLost, "not proven yet");
    }
}
