//! Being told when a file grows, instead of looking again and again.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Notify;

/// A watch on one file.
#[derive(Debug)]
pub(crate) struct Watch {
    changed: Arc<Notify>,
    /// Closing it ends the thread that waits.
    _end: OwnedFd,
}

impl Watch {
    /// Watches a file that is there. The waiting is a thread of its own: a follower is a person at a
    /// terminal, so there are few.
    pub(crate) fn new(path: &Path) -> std::io::Result<Self> {
        let file = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(
            &file,
            path,
            inotify::WatchFlags::MODIFY | inotify::WatchFlags::DELETE_SELF | inotify::WatchFlags::CLOSE_WRITE,
        )?;
        let (ending, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let changed = Arc::new(Notify::new());
        let tell = Arc::clone(&changed);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || wait(&file, &ending, &tell))?;
        Ok(Self { changed, _end: end })
    }

    /// Returns when something has happened to it since the last call.
    pub(crate) async fn changed(&mut self) {
        self.changed.notified().await;
    }
}

fn wait(file: &OwnedFd, ending: &OwnedFd, tell: &Notify) {
    let mut buffer = [0_u8; 4096];
    loop {
        let mut fds = [PollFd::new(file, PollFlags::IN), PollFd::new(ending, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(error) if error == rustix::io::Errno::INTR => continue,
            Err(_) => return,
        }
        if !fds[1].revents().is_empty() {
            return;
        }
        while rustix::io::read(file, &mut buffer).is_ok_and(|n| n > 0) {}
        tell.notify_one();
    }
}
