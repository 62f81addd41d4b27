use alloc::collections::VecDeque;
use core::{
    cell::Cell,
    pin::pin,
    task::{Context, Poll, Waker},
};

use super::*;

/// The other end is this one: what was written is what there is to be read.
#[derive(Debug, Default)]
struct Mirror {
    bytes: RefCell<VecDeque<u8>>,
    is_gone: Rc<Cell<bool>>,
}

impl Channel for Mirror {
    fn poll_read(&self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
        self.check()?;
        let mut bytes = self.bytes.borrow_mut();
        let count = bytes.len().min(buffer.len());
        buffer.iter_mut().zip(bytes.drain(..count)).for_each(|(place, byte)| *place = byte);
        if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
    }

    fn poll_write(&self, _: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, Error>> {
        self.check()?;
        let part = data.get(..3).unwrap_or(data);
        self.bytes.borrow_mut().extend(part);
        Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.check()?;
        if self.bytes.borrow().is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn is_readable(&self) -> bool {
        !self.bytes.borrow().is_empty()
    }

    fn is_writable(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), Error> {
        if self.is_gone.get() { Err(Error::Reset) } else { Ok(()) }
    }
}

/// Knows one name.
struct One(Rc<Cell<bool>>);

impl Names for One {
    fn connect<'a>(&'a self, name: &'a str, port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let is_gone = Rc::clone(&self.0);
            match (name, port) {
                ("Peer", 80) => Ok(Box::new(Mirror { is_gone, ..Mirror::default() }) as _),
                _ => Err(crate::Error::App("unknown")),
            }
        })
    }
}

fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn connect(name: &str) -> crate::Result<Stream> {
    let Poll::Ready(result) = poll(connect_to_domain(name, 80)) else { panic!("it waits") };
    result
}

#[test]
fn names_of_domains_end_in_xen() {
    assert_eq!(xen_name("peer.xen"), Some("peer"));
    assert_eq!(xen_name("Peer.Xen"), Some("Peer"));
    assert_eq!(xen_name(".xen"), Some(""));
    for other in ["", "xen", "peer.xen.org", "peerxen", "10.0.0.1", "peer.xen.", "é.xe"] {
        assert_eq!(xen_name(other), None, "{other}");
    }
}

#[test]
fn without_conduit_the_error_says_what_to_call() {
    let Err(error) = connect("Peer") else { panic!("it is connected") };
    assert!(matches!(error, crate::Error::Missing(text) if text.contains("use_for_names")));
}

#[test]
fn a_stream_with_a_domain_is_as_any_other() {
    let is_gone = Rc::new(Cell::new(false));
    set_names(Rc::new(One(Rc::clone(&is_gone))));
    assert!(matches!(connect("other"), Err(crate::Error::App("unknown"))));
    let mut stream = connect("Peer").unwrap();
    assert!(stream.tcp().is_none());
    let mut buffer = [0; 9];
    assert!(poll(stream.read(&mut buffer)).is_pending());
    assert_eq!(poll(stream.write_all(b"hello")), Poll::Ready(Ok(())));
    assert!(poll(stream.flush()).is_pending());
    assert_eq!(poll(stream.read(&mut buffer)), Poll::Ready(Ok(5)));
    assert_eq!((&buffer[..5], poll(stream.flush())), (&b"hello"[..], Poll::Ready(Ok(()))));
    let (mut reader, mut writer) = stream.split();
    assert_eq!(poll(writer.write(b"bye")), Poll::Ready(Ok(3)));
    writer.shutdown();
    assert_eq!(poll(writer.write(b"more")), Poll::Ready(Err(Error::Closed)));
    drop(writer);
    assert_eq!(poll(reader.read(&mut buffer)), Poll::Ready(Ok(3)));
    is_gone.set(true);
    assert_eq!(poll(reader.read(&mut buffer)), Poll::Ready(Err(Error::Reset)));
}
