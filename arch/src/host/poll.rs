//! File descriptors in the place of interrupt lines.
//!
//! A driver of the Unix platform watches a descriptor and asks, like one for hardware, to be woken
//! when it is ready; `cpu::wait_for_interrupt` waits for all of them at once, in poll(2). Every
//! thread has its own list.

use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::{read, write},
};

use super::cpu;

thread_local! {
    static SOURCES: RefCell<Sources> = const { RefCell::new(Sources(Vec::new())) };
    static BELL: OnceLock<Arc<OwnedFd>> = const { OnceLock::new() };
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, or the end of it.
    Read,
    /// Room to write.
    Write,
    /// Either.
    ReadOrWrite,
}

impl Interest {
    fn flags(self) -> PollFlags {
        match self {
            Self::Read => PollFlags::IN,
            Self::Write => PollFlags::OUT,
            Self::ReadOrWrite => PollFlags::IN | PollFlags::OUT,
        }
    }
}

/// A descriptor that this thread watches, until this is dropped.
#[derive(Debug)]
pub struct Watch {
    fd: Rc<OwnedFd>,
    slot: usize,
}

impl Watch {
    /// Watches `fd`. It should be non-blocking.
    pub fn new(fd: OwnedFd) -> Self {
        let fd = Rc::new(fd);
        let slot = SOURCES.with_borrow_mut(|sources| sources.add(Rc::clone(&fd)));
        Self { fd, slot }
    }

    /// Ready when the descriptor has become ready since this last said so. Otherwise the task of
    /// `cx` is woken when it is; only the last task that asked. What happened between the driver's
    /// last look at the descriptor and this call is not lost: poll(2) tells of states, not of
    /// changes.
    pub fn poll_ready(&self, cx: &mut Context<'_>, interest: Interest) -> Poll<()> {
        SOURCES.with_borrow_mut(|sources| {
            let Some(source) = sources.get_mut(self.slot) else { return Poll::Ready(()) };
            if std::mem::take(&mut source.ready) {
                return Poll::Ready(());
            }
            source.waiting = Some((interest, cx.waker().clone()));
            Poll::Pending
        })
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The list is gone already when the thread ends.
        let _ = SOURCES.try_with(|sources| sources.borrow_mut().remove(self.slot));
    }
}

struct Source {
    fd: Rc<OwnedFd>,
    waiting: Option<(Interest, Waker)>,
    ready: bool,
}

/// The descriptors of one thread. The place in the list is a watch's slot.
struct Sources(Vec<Option<Source>>);

impl Sources {
    fn add(&mut self, fd: Rc<OwnedFd>) -> usize {
        let source = Some(Source { fd, waiting: None, ready: false });
        match self.0.iter().position(Option::is_none) {
            Some(slot) => {
                self.0[slot] = source;
                slot
            }
            None => {
                self.0.push(source);
                self.0.len() - 1
            }
        }
    }

    fn get_mut(&mut self, slot: usize) -> Option<&mut Source> {
        self.0.get_mut(slot)?.as_mut()
    }

    fn remove(&mut self, slot: usize) {
        if let Some(source) = self.0.get_mut(slot) {
            *source = None;
        }
    }

    /// Waits in poll(2) and returns the tasks to wake.
    fn wait(&mut self, timeout: Option<Duration>, bell: &OwnedFd) -> Vec<Waker> {
        let mut waiting = Vec::new();
        let mut fds = vec![PollFd::new(bell, PollFlags::IN)];
        for source in self.0.iter_mut().flatten() {
            if let Some((interest, waker)) = source.waiting.take() {
                fds.push(PollFd::from_borrowed_fd(source.fd.as_fd(), interest.flags()));
                waiting.push((&mut source.waiting, &mut source.ready, interest, waker));
            }
        }
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        // An interrupted call, by a signal, is an early return, which is allowed.
        let _ = poll(&mut fds, timeout.as_ref());
        let (rung, ready) = match fds.split_first() {
            Some((bell, rest)) => (!bell.revents().is_empty(), rest),
            None => (false, &[][..]),
        };
        if rung {
            let _ = read(bell, &mut [0; 8]);
        }
        let mut woken = Vec::new();
        for (fd, (slot, is_ready, interest, waker)) in ready.iter().zip(waiting) {
            if fd.revents().is_empty() {
                *slot = Some((interest, waker));
            } else {
                *is_ready = true;
                woken.push(waker);
            }
        }
        woken
    }
}

/// The descriptor that ends the wait of this thread: see eventfd(2).
fn bell() -> io::Result<Arc<OwnedFd>> {
    BELL.with(|bell| {
        if let Some(bell) = bell.get() {
            return Ok(Arc::clone(bell));
        }
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Arc::clone(bell.get_or_init(|| Arc::new(fd))))
    })
}

/// Waits for one of this thread's descriptors, for at most `timeout`, and wakes the tasks that
/// wait for it. May return early.
pub fn wait(timeout: Option<Duration>) {
    let Ok(bell) = bell() else { return std::thread::yield_now() };
    let woken = SOURCES.with_borrow_mut(|sources| sources.wait(timeout, &bell));
    woken.into_iter().for_each(Waker::wake);
}

/// Makes `cpu::wait_for_interrupt` of the calling thread wait for its descriptors, too. Call it
/// before the executor first runs.
///
/// # Errors
/// The process has too many open files.
pub fn install() -> io::Result<()> {
    let interrupt = Arc::new(interrupter()?);
    cpu::wait_with(cpu::Waiting { wait, interrupt });
    Ok(())
}

/// What makes `wait` on the calling thread return, now or the next time, when called from another.
///
/// # Errors
/// The process has too many open files.
pub fn interrupter() -> io::Result<impl Fn() + Send + Sync + 'static> {
    let bell = bell()?;
    Ok(move || {
        // It fails when the bell was rung 2^64 - 2 times and not heard: then it is rung.
        let _ = write(&*bell, &1u64.to_ne_bytes());
    })
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
        time::Instant,
    };

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_readable_descriptor_wakes_its_task_once() {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).expect("a pipe");
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let watch = Watch::new(reader);

        assert!(watch.poll_ready(&mut cx, Interest::Read).is_pending());
        wait(Some(Duration::ZERO));
        assert_eq!(count.0.load(Ordering::Relaxed), 0);

        write(&writer, b"x").expect("room in the pipe");
        wait(None);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        wait(Some(Duration::ZERO)); // nobody waits: not told again
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(watch.poll_ready(&mut cx, Interest::Read).is_ready());
        assert!(watch.poll_ready(&mut cx, Interest::Read).is_pending());
        wait(None); // still readable: what was there before is not lost
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn slots_are_used_again() {
        let pipes: Vec<_> =
            (0..4).map(|_| pipe_with(PipeFlags::NONBLOCK).expect("a pipe")).collect();
        for (reader, writer) in pipes {
            let (first, second) = (Watch::new(reader), Watch::new(writer));
            assert_eq!((first.slot, second.slot), (0, 1));
        }
    }

    #[test]
    fn another_thread_ends_the_wait() {
        let interrupt = interrupter().expect("an eventfd");
        let thread = std::thread::spawn(interrupt);
        wait(None);
        thread.join().expect("rings");
        let start = Instant::now();
        wait(Some(Duration::from_millis(20)));
        assert!(start.elapsed() >= Duration::from_millis(20));
    }
}
