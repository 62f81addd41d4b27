//! Both roles, one against the other.

use proptest::prelude::*;

use super::*;

/// A channel of a guest with itself: server and client.
pub(super) fn pair(guest: &Guest, sizes: RingSizes) -> (Vchan, Vchan) {
    let server = accept(guest, SELF, sizes);
    let client = connect_to(guest, SELF);
    guest.settle();
    (server.take().unwrap().unwrap(), client.take().unwrap().unwrap())
}

#[test]
fn a_client_that_is_early_waits() {
    let guest = Guest::new();
    guest.face_itself();
    let client = connect_to(&guest, SELF);
    guest.settle();
    assert!(client.take().is_none());
    let server = accept(&guest, SELF, RingSizes::default());
    guest.settle();
    assert!(client.take().unwrap().is_ok() && server.take().unwrap().is_ok());
}

#[test]
fn a_second_client_waits_for_the_next_channel() {
    let guest = Guest::new();
    guest.face_itself();
    let server = accept(&guest, SELF, RingSizes::default());
    let first = connect_to(&guest, SELF);
    guest.settle();
    let second = connect_to(&guest, SELF);
    guest.settle();
    assert!(first.take().unwrap().is_ok() && second.take().is_none());
    drop(server.take());
    guest.settle();
    assert!(second.take().is_none());
    let server = accept(&guest, SELF, RingSizes::default());
    guest.settle();
    assert!(second.take().unwrap().is_ok() && server.take().unwrap().is_ok());
}

#[test]
fn a_client_is_told_when_the_domain_of_its_server_is_gone() {
    let guest = Guest::new();
    guest.face_itself();
    let server = accept(&guest, SELF, RingSizes::default());
    let (store, sharing) = (guest.bench.store.clone(), guest.sharing);
    let ending = guest.spawn(async move {
        let (mut vchan, lookout) = connect(&store, sharing, SELF, "test").await?;
        let port = vchan.end().channel.port().number();
        vchan.end().channel.notify();
        store.write("data/port", std::format!("{port}")).await?;
        let mut lookout = core::pin::pin!(lookout.run(sleep));
        let mut buffer = [0; 8];
        let mut first = true;
        loop {
            let mut read = core::pin::pin!(vchan.read(&mut buffer));
            let count = core::future::poll_fn(|cx| {
                let _ = lookout.as_mut().poll(cx);
                read.as_mut().poll(cx)
            })
            .await?;
            assert!(core::mem::take(&mut first) && count == 4);
        }
        #[allow(unreachable_code, reason = "for the type")]
        Ok(())
    });
    guest.settle();
    let server = server.take().unwrap().unwrap();
    let (_reader, mut writer) = server.split();
    let port = guest.bench.value(&[HOME, "/data/port"].concat()).unwrap();
    guest.part(port.parse().unwrap());
    let written = guest.spawn(async move { writer.write_all(b"last").await.map(|()| writer) });
    guest.settle();
    // Nobody has asked Xen so far.
    assert!(ending.take().is_none() && written.take().unwrap().is_ok());
    guest.bench.take_away("/local/domain/7/data/vchan");
    guest.settle();
    assert_eq!(ending.take(), Some(Err(VchanError::Gone)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_goes_in_comes_out(
        input in 0_usize..20_000,
        output in 0_usize..20_000,
        lengths in (0_usize..60_000, 0_usize..60_000),
        steps in (1_usize..9000, 1_usize..9000, 1_usize..9000, 1_usize..9000),
        start: u32,
    ) {
        let guest = Guest::new();
        guest.face_itself();
        let places = guest.places();
        let (server, client) = pair(&guest, RingSizes { input, output });
        prop_assert!(server.sizes().0 >= input && server.sizes().1 >= output);
        prop_assert_eq!(server.sizes(), (client.sizes().1, client.sizes().0));
        begin_at(&server, &client, start);
        let (up, down) = (data(lengths.0, start), data(lengths.1, !start));
        let (server_reads, server_writes) = server.split();
        let (client_reads, client_writes) = client.split();
        let (got_up, _up_end) = read_all(&guest, server_reads, steps.0);
        let (got_down, down_end) = read_all(&guest, client_reads, steps.1);
        let sent_up = write_all(&guest, client_writes, up.clone(), steps.2);
        let sent_down = write_all(&guest, server_writes, down.clone(), steps.3);
        guest.settle();
        prop_assert_eq!(sent_up.take(), Some(Ok(())));
        prop_assert_eq!(sent_down.take(), Some(Ok(())));
        prop_assert!(*got_up.borrow() == up && *got_down.borrow() == down);
        // The halves that wrote are gone, those that read wait.
        prop_assert!(down_end.take().is_none());
        drop(guest.take_tasks());
        guest.settle();
        prop_assert_eq!(guest.places(), places);
        prop_assert_eq!(guest.resources().1, 0);
        prop_assert_eq!(guest.resources().2, 0);
        prop_assert_eq!(guest.bench.in_use(), (0, 0));
    }
}

/// Has all indices begin elsewhere, as after so many bytes.
fn begin_at(server: &Vchan, client: &Vchan, start: u32) {
    for offset in [0, 4, 8, 12] {
        server.end().first.word(offset).store(start, Ordering::SeqCst);
    }
    for end in [server.end(), client.end()] {
        end.input.next.set(start);
        end.output.next.set(start);
    }
}
