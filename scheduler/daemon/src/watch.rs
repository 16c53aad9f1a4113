//! Being told when a file grows, instead of looking again and again.

use rustix::fs::inotify;
use std::os::fd::OwnedFd;
use std::path::Path;
use tokio::io::unix::AsyncFd;

/// A watch on one file.
#[derive(Debug)]
pub(crate) struct Watch {
    fd: AsyncFd<OwnedFd>,
}

impl Watch {
    /// Watches a file that is there.
    pub(crate) fn new(path: &Path) -> std::io::Result<Self> {
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(
            &fd,
            path,
            inotify::WatchFlags::MODIFY | inotify::WatchFlags::DELETE_SELF | inotify::WatchFlags::CLOSE_WRITE,
        )?;
        Ok(Self { fd: AsyncFd::new(fd)? })
    }

    /// Returns when something has happened to it since the last call.
    pub(crate) async fn changed(&mut self) {
        loop {
            let Ok(mut ready) = self.fd.readable().await else { return };
            let mut buffer = [0_u8; 4096];
            match rustix::io::read(ready.get_inner(), &mut buffer) {
                Ok(n) if n > 0 => return,
                Err(error) if error == rustix::io::Errno::AGAIN => ready.clear_ready(),
                Ok(_) | Err(_) => return,
            }
        }
    }
}
