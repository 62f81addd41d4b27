//! What is not copied: netback reads what is sent where the stack wrote it, and the stack reads what
//! comes in where netback wrote it, if that is one page.

use super::{back::start_of, long::SEGMENT, *};

#[test]
fn netback_reads_the_pages_that_the_stack_has_written() {
    let guest = Guest::new();
    let mut card = connect_with(&guest, &[], long::FEATURES);
    for payload in [100, 1460, 30_000] {
        let (bytes, is_long) = (tcp(payload), payload > 1460);
        let long = card.device.large_pool().filter(|_| is_long);
        let mut frame = FrameBuf::allocate(&long.unwrap_or(card.device.pool()), 0).unwrap();
        assert!(frame.set_range(0, bytes.len()));
        frame.bytes_mut().copy_from_slice(&bytes);
        let mut pages: Vec<usize> = frame.bytes().iter().map(|byte| page_of(byte)).collect();
        pages.dedup();
        match is_long {
            true => card.device.transmit_segmented(frame, SEGMENT).unwrap(),
            false => card.device.transmit(frame).unwrap(),
        }
        card.device.flush();
        let sent = card.netback.take().unwrap();
        let read: Vec<usize> = sent.parts.iter().map(|(_, page)| page_of(start_of(page))).collect();
        assert_eq!(read, pages);
        card.netback.answer(sent, 0);
    }
}

/// The number of the page in which an address is.
fn page_of(address: *const u8) -> usize {
    address.addr() / 4096
}

#[test]
fn the_stack_reads_the_page_that_netback_has_written() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    for length in [60, 1514, 4096] {
        let page = card.netback.place(&pattern(length, length), 0).unwrap();
        let received = card.device.receive().unwrap();
        assert_eq!((received.frame.bytes().as_ptr(), received.frame.bytes().len()), (page, length));
    }
}
