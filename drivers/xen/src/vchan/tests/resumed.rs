//! Channels of a guest that goes on in another domain: they have ended, and new ones can be made.

use super::{both::pair, *};

#[test]
fn both_ends_are_over_and_new_ones_are_made() {
    let guest = Guest::new();
    guest.face_itself();
    let free = guest.places();
    let (server, client) = pair(&guest, RingSizes { input: 8192, output: 100 });
    let (server_reads, _server_writes) = server.split();
    let (client_reads, mut client_writes) = client.split();
    let (_, server_end) = read_all(&guest, server_reads, 10);
    let (_, client_end) = read_all(&guest, client_reads, 10);
    guest.settle();
    assert!(server_end.take().is_none() && client_end.take().is_none());
    guest.move_on();
    guest.settle();
    assert_eq!(server_end.take(), Some(Err(VchanError::Gone)));
    assert_eq!(client_end.take(), Some(Err(VchanError::Gone)));
    let written = guest.spawn(async move { client_writes.write_all(b"x").await });
    guest.settle();
    assert_eq!(written.take(), Some(Err(VchanError::Gone)));
    drop(_server_writes);
    guest.settle();
    assert_eq!(guest.places(), free);
    let (server, client) = pair(&guest, RingSizes::default());
    assert!(server.is_open() && client.is_open());
}

#[test]
fn who_waits_goes_on_waiting() {
    let guest = Guest::new();
    guest.face_itself();
    let client = connect_to(&guest, SELF);
    guest.settle();
    guest.move_on();
    guest.settle();
    assert!(client.take().is_none());
    drop(guest.take_tasks());
    let server = accept(&guest, SELF, RingSizes::default());
    guest.settle();
    guest.move_on();
    guest.settle();
    let client = connect_to(&guest, SELF);
    guest.settle();
    assert!(client.take().unwrap().is_ok() && server.take().unwrap().is_ok());
}
