//! A XenStore daemon that breaks its protocol, and begins anew when the guest asks for that.
//!
//! dom0's own daemon does not break it. So this program writes to the rings beside it
//! (xen/include/public/io/xs_wire.h) while it has nothing to do for the guest. oxenstored begins anew
//! by itself. xenstored does not, so there this program empties the rings in its name: xenstored keeps
//! the guest's watches, and refuses them when they are registered again. If it looked meanwhile, it
//! would find indices that make no sense, and never serve the guest again.

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use backends::xen::Page;

use crate::guest::{Guest, Outcome, until};

/// The grant of the rings' page (`GNTTAB_RESERVED_XENSTORE`).
const RINGS: u32 = 1;
/// Where the replies are in it.
const REPLIES: usize = 0x400;
const INDICES: [usize; 4] = [0x800, 0x804, 0x808, 0x80c];
const PRODUCED: usize = 0x80c;
const FEATURES: usize = 0x810;
const CONNECTION: usize = 0x814;
const ERROR: usize = 0x818;

/// `XENSTORE_SERVER_FEATURE_RECONNECTION`
const RECONNECTION: u32 = 1;
/// That and `XENSTORE_SERVER_FEATURE_ERROR`.
const OFFERED: u32 = 3;
/// `XENSTORE_ERROR_RINGIDX`
const RING_INDEX: u32 = 2;

/// A header: the kind of the message, the request that it answers, its transaction, and its length.
type Header = [u32; 4];
/// Bytes of it.
const HEADER: u32 = 16;

/// What comes, or with `None` only that the daemon tells of an error.
const CASES: [(&str, Option<Header>); 5] = [
    ("reply-to-nothing", Some([2, 0x7fff_ffff, 0, 0])),
    ("reply-too-long", Some([2, 1, 0, 1 << 20])),
    ("event-without-text", Some([15, 0, 0, 0])),
    ("error-to-nothing", Some([16, 0, 0, 0])),
    ("error-of-the-ring", None),
];

/// Does all of it, or what has one of the names, and begins anew in the daemon's name.
pub fn run(
    guest: &Guest,
    names: &[String],
    report: &mut dyn FnMut(&str, Outcome) -> Outcome,
) -> Outcome {
    let page = Page::map(guest.domain, RINGS)?;
    guest.ask("ping")?;
    page.word(FEATURES).store(OFFERED, SeqCst);
    for (name, message) in wanted(names) {
        report(name, break_off(guest, &page, message))?;
    }
    page.word(FEATURES).store(0, SeqCst);
    crate::harm::is_idle(guest)
}

/// As [`run`], where the daemon is to begin anew by itself.
pub fn run_beside_oxenstored(
    guest: &Guest,
    names: &[String],
    report: &mut dyn FnMut(&str, Outcome) -> Outcome,
) -> Outcome {
    let page = Page::map(guest.domain, RINGS)?;
    guest.ask("ping")?;
    let features = page.word(FEATURES).load(SeqCst);
    if features & RECONNECTION == 0 {
        return Err(format!("the daemon cannot begin anew, its features are {features}").into());
    }
    for (name, message) in wanted(names) {
        match message {
            Some(header) => report(name, break_reply(guest, &page, header))?,
            None => println!("left out {name}: the daemon does not tell of errors"),
        }
    }
    crate::harm::is_idle(guest)
}

/// The cases with these names, or all.
fn wanted(names: &[String]) -> impl Iterator<Item = (&'static str, Option<Header>)> {
    CASES
        .into_iter()
        .filter(move |(name, _)| names.is_empty() || names.iter().any(|wanted| wanted == name))
}

/// Waits until nothing is under way between the guest and the daemon: the guest sleeps, and the daemon,
/// which does one thing after the other, has nothing to tell it before it answers somebody else.
fn settle(guest: &Guest, page: &Page) -> Outcome {
    let indices = || INDICES.map(|index| page.word(index).load(SeqCst));
    until("that all is quiet", || {
        let before = indices();
        if !guest.is_blocked()? {
            return Ok(None);
        }
        guest.store.read("/")?;
        Ok((indices() == before).then_some(()))
    })
}

/// Breaks the protocol, and waits until the daemon has begun anew, as the guest asks it to.
fn break_reply(guest: &Guest, page: &Page, header: Header) -> Outcome {
    settle(guest, page)?;
    reply(page, header);
    let produced = page.word(PRODUCED).load(SeqCst);
    guest.wake()?;
    until("that the daemon begins anew", || {
        let has_emptied = page.word(PRODUCED).load(SeqCst) < produced;
        Ok((has_emptied && page.word(CONNECTION).load(SeqCst) == 0).then_some(()))
    })
}

/// Breaks the protocol, and begins anew as soon as the guest asks for it.
fn break_off(guest: &Guest, page: &Page, message: Option<Header>) -> Outcome {
    // What the guest still had to ask would be answered while the rings are emptied.
    settle(guest, page)?;
    match message {
        Some(header) => reply(page, header),
        None => page.word(ERROR).store(RING_INDEX, SeqCst),
    }
    let next = page.word(PRODUCED).load(SeqCst);
    guest.wake()?;
    // The daemon must not be in the middle of it when the rings are emptied.
    until("the whole event", || {
        let there = page.word(PRODUCED).load(SeqCst).wrapping_sub(next);
        Ok((there > HEADER && there >= HEADER + length(page, next)).then_some(()))
    })?;
    until("that the guest asks to begin anew", || {
        Ok((page.word(CONNECTION).load(SeqCst) == 1).then_some(()))
    })?;
    // It sends the daemon an event then.
    settle(guest, page)?;
    for index in INDICES {
        page.word(index).store(0, SeqCst);
    }
    page.word(ERROR).store(0, SeqCst);
    page.word(CONNECTION).store(0, SeqCst);
    guest.wake()
}

/// A byte of the replies, of which the end of the ring may be in the middle.
fn byte(page: &Page, at: u32) -> &AtomicU8 {
    &page.bytes()[REPLIES + at as usize % 0x400]
}

/// Adds a header to the replies.
fn reply(page: &Page, header: Header) {
    let at = page.word(PRODUCED).load(SeqCst);
    for (place, value) in (0..).zip(header.into_iter().flat_map(u32::to_ne_bytes)) {
        byte(page, at.wrapping_add(place)).store(value, SeqCst);
    }
    page.word(PRODUCED).store(at.wrapping_add(HEADER), SeqCst);
}

/// The length of the payload of the message at `at`.
fn length(page: &Page, at: u32) -> u32 {
    let part = |index: usize| byte(page, at.wrapping_add(12 + index as u32)).load(SeqCst);
    u32::from_ne_bytes(std::array::from_fn(part))
}
