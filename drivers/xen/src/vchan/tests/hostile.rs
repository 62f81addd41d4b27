//! The other side writes what it likes, when it likes.

use core::task::{Context, Poll, Waker};

use embedded_io_async::ReadReady as _;
use proptest::prelude::*;

use super::{both::pair, server::met, *};

#[test]
fn indices_that_make_no_sense_end_the_channel() {
    // More written than the ring holds; more read than was written.
    for (offset, value) in [(4, 1025), (4, u32::MAX), (8, 1), (8, 0_u32.wrapping_sub(2049))] {
        let guest = Guest::new();
        let (client, vchan) = met(&guest);
        client.set(offset, value);
        let (reader, writer) = vchan.split();
        let (collected, read) = read_all(&guest, reader, 10);
        let written = write_all(&guest, writer, vec![0; 3000], 3000);
        guest.settle();
        if offset == 4 {
            assert_eq!(read.take(), Some(Err(VchanError::Protocol)));
            // Who waits is woken, and it does not get better.
            client.set(offset, 0);
            client.tell();
        }
        assert_eq!(written.take(), Some(Err(VchanError::Protocol)), "{offset} {value}");
        assert!(collected.borrow().is_empty());
    }
}

#[test]
fn what_was_read_once_is_not_read_again() {
    let guest = Guest::new();
    guest.face_itself();
    let (server, client) = pair(&guest, RingSizes { input: 5000, output: 5000 });
    for end in [server.end(), client.end()] {
        // Other orders, and other grants.
        end.first.word(16).store(!0, Ordering::SeqCst);
        (24..4096).step_by(4).for_each(|at| end.first.word(at).store(!0, Ordering::SeqCst));
    }
    let (reader, _a) = server.split();
    let (_b, writer) = client.split();
    let (collected, _) = read_all(&guest, reader, 700);
    let written = write_all(&guest, writer, data(20_000, 3), 900);
    guest.settle();
    assert_eq!(written.take(), Some(Ok(())));
    assert!(*collected.borrow() == data(20_000, 3));
}

#[test]
fn a_side_that_is_always_ready_does_not_keep_the_other_one() {
    let guest = Guest::new();
    let (client, mut vchan) = met(&guest);
    let waiter = Waiter::new();
    let mut breaks = [0; 2];
    for _ in 0..100 {
        // It has always written something, and read what was written.
        client.set(4, client.word(0).wrapping_add(1));
        client.set(8, client.word(12));
        let is_ready = vchan.read_ready().unwrap();
        let read = waiter.poll(|cx| vchan.poll_read(cx, &mut [0]));
        assert_eq!(read.is_ready(), is_ready);
        breaks[0] += u32::from(read.is_pending() && waiter.is_woken());
        let written = waiter.poll(|cx| vchan.poll_write(cx, &[1]));
        breaks[1] += u32::from(written.is_pending() && waiter.is_woken());
        assert!(matches!(read, Poll::Pending | Poll::Ready(Ok(1))), "{read:?}");
        assert!(matches!(written, Poll::Pending | Poll::Ready(Ok(1))), "{written:?}");
    }
    assert!(breaks[0] + breaks[1] > 4, "{breaks:?}");
}

/// What a hostile client does, or the guest.
#[derive(Clone, Debug)]
enum Step {
    Word(usize, u32),
    Near(usize, u32),
    Byte(usize, u8),
    Event,
    Read(usize),
    Write(usize),
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    let index = prop::sample::select(vec![0_usize, 4, 8, 12]);
    prop_oneof![
        (0_usize..1024, any::<u32>()).prop_map(|(word, value)| Step::Word(word * 4, value)),
        (index, 0_u32..3000).prop_map(|(offset, value)| Step::Near(offset, value)),
        (16_usize..24, any::<u8>()).prop_map(|(offset, value)| Step::Byte(offset, value)),
        Just(Step::Event),
        (0_usize..3000).prop_map(Step::Read),
        (0_usize..3000).prop_map(Step::Write),
        Just(Step::Flush),
    ]
}

proptest! {
    #[test]
    fn whatever_the_other_side_writes_ends_well(steps in prop::collection::vec(step(), 1..100)) {
        let guest = Guest::new();
        let (client, vchan) = met(&guest);
        let mut cx = Context::from_waker(Waker::noop());
        for step in steps {
            let is_broken = vchan.end().failure.get().is_some();
            match step {
                Step::Word(offset, value) => client.set(offset, value),
                Step::Near(offset, change) => client.set(offset, client.word(offset).wrapping_add(change)),
                Step::Byte(offset, value) => client.first.byte(offset).store(value, Ordering::SeqCst),
                Step::Event => client.tell(),
                Step::Read(length) => {
                    let mut buffer = vec![0; length];
                    if let Poll::Ready(Ok(count)) = vchan.poll_read(&mut cx, &mut buffer) {
                        prop_assert!(count <= length.min(1024) && (count == 0 || !is_broken));
                    }
                }
                Step::Write(length) => {
                    if let Poll::Ready(Ok(count)) = vchan.poll_write(&mut cx, &vec![1; length]) {
                        prop_assert!(count <= length.min(2048) && !is_broken);
                    }
                }
                Step::Flush => {
                    if let Poll::Ready(Ok(())) = vchan.poll_flush(&mut cx) {
                        prop_assert!(!is_broken);
                    }
                }
            }
        }
        drop(vchan);
        drop(client);
        guest.settle();
        prop_assert_eq!(guest.resources().1, 0);
    }
}
