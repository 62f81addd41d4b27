//! This guest as server; the client does what libxenvchan's does.

use super::*;

const NODES: &str = "/local/domain/7/data/vchan/0/test";
const WRITTEN: u8 = 1;
const READ: u8 = 2;

/// A client of dom0.
pub(super) struct Client<'a> {
    guest: &'a Guest,
    pub(super) first: PeerPage,
    pub(super) port: u32,
}

impl<'a> Client<'a> {
    /// Finds what the guest has published.
    pub(super) fn find(guest: &'a Guest) -> Option<Self> {
        let value = |name: &str| guest.bench.value(&[NODES, name].concat())?.parse().ok();
        let (reference, port) = (value("/ring-ref")?, value("/event-channel")?);
        let first = Client::map(guest, reference)?;
        Some(Self { guest, first, port })
    }

    pub(super) fn map(guest: &Guest, reference: u32) -> Option<PeerPage> {
        PeerPage::map(guest.sharing.grants, DOM0, GrantRef(reference), Access::ReadWrite)
    }

    fn meet(&self) {
        self.first.byte(20).store(1, Ordering::SeqCst);
        self.first.byte(23).store(WRITTEN, Ordering::SeqCst);
        self.tell();
    }

    pub(super) fn tell(&self) {
        self.guest.raise(self.port);
        self.guest.settle();
    }

    pub(super) fn word(&self, offset: usize) -> u32 {
        self.first.word(offset).load(Ordering::SeqCst)
    }

    pub(super) fn set(&self, offset: usize, value: u32) {
        self.first.word(offset).store(value, Ordering::SeqCst);
    }

    /// The bits by which the server asks, cleared.
    fn asked(&self) -> u8 {
        self.first.byte(22).swap(0, Ordering::SeqCst)
    }
}

/// A guest with a server, its client, and the channel.
pub(super) fn met(guest: &Guest) -> (Client<'_>, Vchan) {
    let accepted = accept(guest, DOM0, RingSizes::default());
    guest.settle();
    let client = Client::find(guest).unwrap();
    client.meet();
    let vchan = accepted.take().unwrap().unwrap();
    (client, vchan)
}

#[test]
fn a_server_waits_for_entries_that_others_have() {
    let guest = Guest::new();
    let sizes = RingSizes { input: 2 << 12, output: 4 << 12 };
    // One page, two, and four.
    let mut taken = guest.take_grants(6);
    let _accepted = accept(&guest, DOM0, sizes);
    guest.settle();
    assert!(Client::find(&guest).is_none());
    taken.pop();
    guest.settle();
    assert!(Client::find(&guest).is_some());
    assert_eq!(guest.sharing.grants.free(), 0);
}

#[test]
fn what_is_published_is_what_libxenvchan_looks_for() {
    let guest = Guest::new();
    let accepted = accept(&guest, DOM0, RingSizes::default());
    guest.settle();
    assert!(accepted.take().is_none());
    let client = Client::find(&guest).unwrap();
    assert_eq!([0, 4, 8, 12].map(|offset| client.word(offset)), [0; 4]);
    assert_eq!(client.word(16), 10 | 11 << 16);
    // Not connected yet; there; tell me what you write.
    assert_eq!(
        [20, 21, 22, 23].map(|at| client.first.byte(at).load(Ordering::SeqCst)),
        [2, 1, 1, 0]
    );
    let store = guest.bench.store.clone();
    let permissions = guest.spawn(async move {
        let mut all = Vec::new();
        for name in ["ring-ref", "event-channel"] {
            all.push(store.permissions(&[NODES, "/", name].concat()).await.unwrap());
        }
        all
    });
    guest.settle();
    for permissions in permissions.take().unwrap() {
        assert_eq!((permissions.owner, permissions.default), (7, crate::store::Access::None));
        assert_eq!(permissions.others, [(0, crate::store::Access::Read)]);
    }
}

#[test]
fn bytes_and_events_go_both_ways() {
    let guest = Guest::new();
    let (client, mut vchan) = met(&guest);
    assert_eq!(vchan.sizes(), (1024, 2048));
    assert_eq!(client.asked(), WRITTEN);
    let heard = guest.spawn(async move {
        let mut buffer = [0; 100];
        let count = vchan.read(&mut buffer).await.unwrap();
        vchan.write_all(&buffer[..count]).await.unwrap();
        vchan.flush().await.unwrap();
        vchan
    });
    guest.settle();
    assert!(heard.take().is_none() && client.asked() == WRITTEN);
    assert_eq!(guest.take_sent(client.port), 0);
    client.first.write(1024, b"hello");
    client.set(4, 5);
    client.tell();
    // It was not asked to tell what it reads, but what it writes.
    assert_eq!((client.word(0), client.word(12)), (5, 5));
    let mut echo = [0; 5];
    client.first.read(2048, &mut echo);
    assert_eq!(&echo, b"hello");
    assert_eq!(guest.take_sent(client.port), 1);
    assert_eq!(client.first.byte(23).load(Ordering::SeqCst), 0);
    // It waits for the client to read.
    assert_eq!(client.asked(), READ);
    client.set(8, 5);
    client.tell();
    let vchan = heard.take().unwrap();
    drop(vchan);
    assert_eq!(client.first.byte(21).load(Ordering::SeqCst), 0);
    guest.settle();
    assert_eq!(guest.bench.value(NODES), None);
}

#[test]
fn all_that_was_written_before_the_end_is_read() {
    let guest = Guest::new();
    let before = guest.resources();
    let (client, vchan) = met(&guest);
    let (reader, writer) = vchan.split();
    let (collected, ending) = read_all(&guest, reader, 3);
    guest.settle();
    client.first.write(1024, b"the end");
    client.set(4, 7);
    client.first.byte(20).store(0, Ordering::SeqCst);
    client.tell();
    assert_eq!(*collected.borrow(), b"the end");
    assert_eq!(ending.take(), Some(Ok(())));
    let ending = write_all(&guest, writer, vec![1], 1);
    guest.settle();
    assert_eq!(ending.take(), Some(Err(VchanError::Closed)));
    // As long as the client has the page, it stays.
    assert_eq!(guest.resources().1, 1);
    drop(client);
    // A frame of the table was added.
    assert_eq!((guest.resources().1, guest.resources().2), (before.1, before.2));
    assert_eq!(guest.bench.in_use(), (0, 0));
}

#[test]
fn a_listener_goes_on_after_the_first_client() {
    let guest = Guest::new();
    let (store, sharing) = (guest.bench.store.clone(), guest.sharing);
    let listened = guest.spawn(async move {
        let sizes = RingSizes::default();
        let mut listener = Listener::bind(&store, sharing, DOM0, "test", sizes).await.unwrap();
        let first = listener.accept().await.unwrap();
        let second = listener.accept().await.unwrap();
        (listener, first, second)
    });
    guest.settle();
    let client = Client::find(&guest).unwrap();
    client.meet();
    let next = Client::find(&guest).unwrap();
    assert_ne!(client.port, next.port);
    next.meet();
    let (listener, first, second) = listened.take().unwrap();
    drop(second);
    drop(listener);
    guest.settle();
    // The nodes stay with the last connection.
    assert!(guest.bench.value(NODES).is_some());
    drop(first);
    guest.settle();
    assert_eq!(guest.bench.value(NODES), None);
}

#[test]
fn a_server_is_told_when_the_domain_of_its_client_is_gone() {
    let guest = Guest::new();
    guest.face_itself();
    let (store, sharing) = (guest.bench.store.clone(), guest.sharing);
    let client = connect_to(&guest, SELF);
    let ending = guest.spawn(async move {
        let sizes = RingSizes::default();
        let mut listener = Listener::bind(&store, sharing, SELF, "test", sizes).await?;
        let (mut vchan, lookout) = listener.accept().await?;
        let mut lookout = core::pin::pin!(lookout.run(sleep));
        let mut buffer = [0; 8];
        let mut read = core::pin::pin!(vchan.read(&mut buffer));
        core::future::poll_fn(move |cx| {
            let _ = lookout.as_mut().poll(cx);
            read.as_mut().poll(cx)
        })
        .await
    });
    guest.settle();
    let _client = client.take().unwrap().unwrap();
    // Another domain is gone.
    guest.bench.put("@releaseDomain", "", 7);
    guest.settle();
    assert!(ending.take().is_none());
    let port = guest.bench.value("/local/domain/7/data/vchan/7/test/event-channel").unwrap();
    guest.part(port.parse().unwrap());
    guest.bench.put("@releaseDomain", "", 7);
    guest.settle();
    assert_eq!(ending.take(), Some(Err(VchanError::Gone)));
}
