//! Grant tables and event channels, on real Xen. The guest plays the other domain itself: it maps and
//! copies what it has granted to itself, and its event channels lead back to it.
//@ machine: xen
//@ memory: 16M
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::{future::poll_fn, mem, sync::atomic::Ordering::Relaxed, time::Duration};

use guests::{check, fail, pass};
use mayfly::{
    Result,
    alloc::{rc::Rc, sync::Arc, vec::Vec},
    println, spawn,
    time::{Instant, sleep, timeout},
    yield_now,
};
use mayfly_device::{InterruptHandler, Signal};
use mayfly_xen::{
    HeapPage, Sharing,
    grants::{
        Access::{ReadOnly, ReadWrite},
        Buffer, Copy, DomainId, ForeignError, Grant, GrantError, GrantRef, GrantStatus,
    },
};

const DOM0: DomainId = DomainId(0);
/// Grants that are made and released, and channels that are made and closed.
const ROUNDS: u32 = 10_000;

#[mayfly::main]
async fn main() -> Result {
    let Some(xen) = mayfly_xen::sharing() else { return fail("this is not Xen") };
    let Ok(own) = xen.events.own_domain() else { return fail("no number of the own domain") };
    println!("grants: this is domain {}", own.0);
    grant_and_release(&xen)?;
    grow(&xen, own)?;
    map(&xen, own)?;
    refuse(&xen, own)?;
    copy(&xen, own)?;
    send_events(&xen, own).await?;
    use_all(&xen).await?;
    tend(&xen, own).await?;
    pass()
}

fn page() -> Result<Rc<HeapPage>> {
    HeapPage::zeroed().map(Rc::new).ok_or(mayfly::Error::App("no memory for a page"))
}

fn grant(xen: &Sharing, domain: DomainId, page: &Rc<HeapPage>) -> Result<Grant<Rc<HeapPage>>> {
    let result = xen.grants.grant(domain, Rc::clone(page), ReadWrite);
    result.map_err(|(error, _)| {
        println!("grants: {error}");
        mayfly::Error::App("a page was not granted")
    })
}

/// The first grants, and what many of them cost.
fn grant_and_release(xen: &Sharing) -> Result {
    let page = page()?;
    let first = grant(xen, DOM0, &page)?;
    check(first.reference().0 >= 8, "an entry was used that is not the guest's")?;
    check(!first.is_in_use(), "dom0 uses a page that it was not told of")?;
    let free = xen.grants.free();
    println!("grants: {} frames, {free} free entries", xen.grants.frames());
    let start = Instant::now();
    for _ in 0..ROUNDS {
        drop(grant(xen, DOM0, &page)?);
    }
    let each = start.elapsed().as_nanos() as u64 / u64::from(ROUNDS);
    println!("grants: {ROUNDS} times granted and released, {each} ns each");
    check(xen.grants.free() == free && xen.grants.deferred() == 0, "entries were lost")?;
    check(first.end().is_ok(), "access did not end")?;
    check(Rc::strong_count(&page) == 1, "a page was kept")
}

/// More entries than the first frame has, of which Xen knows the last.
fn grow(xen: &Sharing, own: DomainId) -> Result {
    let page = page()?;
    let grants = (0..1500).map(|_| grant(xen, DOM0, &page)).collect::<Result<Vec<_>>>()?;
    check(xen.grants.frames() >= 3, "1500 grants do not need three frames")?;
    let last = grant(xen, own, &page_to_map()?)?;
    let mapping = xen.foreign.map(own, last.reference(), ReadWrite);
    println!("grants: {} frames; entry {} {mapping:?}", xen.grants.frames(), last.reference().0);
    check(mapping.is_ok(), "Xen does not see what is in the third frame")?;
    drop((mapping, last, grants));
    check(xen.grants.deferred() == 0 && Rc::strong_count(&page) == 1, "a page was kept")
}

/// Whether a page stays where it was when the guest maps it a second time. On x86-64 it moves instead:
/// Xen lets a guest have each of its pages at one address only, so what was mapped is gone for good.
const STAYS: bool = !matches!(mayfly_arch::NAME.as_bytes(), b"x86_64");

/// A page that may be lost by mapping it: it never goes back to the heap then.
fn page_to_map() -> Result<Rc<HeapPage>> {
    let page = page()?;
    if !STAYS {
        mem::forget(Rc::clone(&page));
    }
    Ok(page)
}

/// What is written on one side is read on the other, and what is mapped is not given up.
fn map(xen: &Sharing, own: DomainId) -> Result {
    let page = page_to_map()?;
    let users = Rc::strong_count(&page);
    page.words()[7].store(0x1234_5678, Relaxed);
    let granted = grant(xen, own, &page)?;
    let free = xen.grants.free();
    let Ok(mapping) = xen.foreign.map(own, granted.reference(), ReadWrite) else {
        return fail("the page cannot be mapped");
    };
    check(granted.is_in_use(), "Xen does not mark a mapped page as in use")?;
    check(mapping.words()[7].load(Relaxed) == 0x1234_5678, "the mapping shows another page")?;
    mapping.words()[1023].store(0x6d61_7966, Relaxed);
    check(mapping.words()[1023].load(Relaxed) == 0x6d61_7966, "a write is not seen")?;
    if STAYS {
        check(page.words()[1023].load(Relaxed) == 0x6d61_7966, "a write is not seen by the owner")?;
        page.bytes()[1].store(7, Relaxed);
        check(mapping.bytes()[1].load(Relaxed) == 7, "a write of the owner is not seen")?;
    }
    let Err(granted) = granted.end() else { return fail("access ended while it was mapped") };
    drop(granted);
    check(xen.grants.poll_deferred() == 1, "a mapped page was not kept")?;
    check(Rc::strong_count(&page) == users + 1, "a mapped page was dropped")?;
    drop(mapping);
    check(xen.grants.poll_deferred() == 0, "an unmapped page is kept")?;
    check(xen.grants.free() == free + 1, "the entry was lost")?;
    check(Rc::strong_count(&page) == users, "the page was lost")?;
    map_many(xen, own)
}

/// Maps pages one after another, and as many as can be.
fn map_many(xen: &Sharing, own: DomainId) -> Result {
    let places = xen.foreign.free();
    let mut page = page_to_map()?;
    for _ in 0..if STAYS { 1000 } else { 100 } {
        let granted = grant(xen, own, &page)?;
        check(xen.foreign.map(own, granted.reference(), ReadOnly).is_ok(), "a map failed")?;
        if !STAYS {
            page = page_to_map()?;
        }
    }
    check(xen.foreign.free() == places && xen.grants.poll_deferred() == 0, "maps were lost")?;
    let mut all = Vec::new();
    for _ in 0..places {
        let granted = grant(xen, own, &page_to_map()?)?;
        all.push(xen.foreign.map(own, granted.reference(), ReadOnly));
    }
    check(all.iter().all(|mapping| mapping.is_ok()), "not all places can be used")?;
    let more = xen.foreign.map(own, GrantRef(8), ReadOnly);
    check(more.is_err_and(|error| error == ForeignError::NoPlace), "there is no end of places")?;
    check(xen.grants.poll_deferred() == places, "mapped pages were dropped")?;
    drop(all);
    check(xen.grants.poll_deferred() == 0, "unmapped pages are kept")?;
    println!("grants: mapped, read, written, deferred and unmapped; {places} places");
    Ok(())
}

/// What Xen says to what it does not permit.
fn refuse(xen: &Sharing, own: DomainId) -> Result {
    let page = page_to_map()?;
    let Ok(granted) = xen.grants.grant(own, page, ReadOnly) else {
        return fail("a page was not granted");
    };
    let writes = xen.foreign.map(own, granted.reference(), ReadWrite);
    println!("grants: to write to what is granted for reading: {writes:?}");
    check(writes.is_err(), "a page that is granted for reading was mapped for writing")?;
    check(xen.foreign.map(own, granted.reference(), ReadOnly).is_ok(), "it cannot be read either")?;
    let others = xen.foreign.map(own, GrantRef(400), ReadOnly);
    println!("grants: to map what is not granted: {others:?}");
    check(others.is_err(), "a page that is not granted was mapped")?;
    let beyond = xen.foreign.map(own, GrantRef(u32::MAX), ReadOnly);
    let expected = ForeignError::Refused(GrantStatus::BadReference);
    check(beyond.is_err_and(|error| error == expected), "there is no end of entries")?;
    let nobody = xen.foreign.map(DomainId(0x7000), GrantRef(8), ReadOnly);
    let expected = ForeignError::Refused(GrantStatus::BadDomain);
    check(nobody.is_err_and(|error| error == expected), "there are too many domains")
}

/// Copies without a mapping, more than fit in one request.
fn copy(xen: &Sharing, own: DomainId) -> Result {
    let page = page()?;
    let granted = grant(xen, own, &page)?;
    let reference = granted.reference();
    fn part(domain: DomainId, page: GrantRef, offset: usize, buffer: Buffer<'_>) -> Copy<'_> {
        Copy { domain, page, offset, buffer }
    }
    // Parts that cross the end of a page are left out.
    let bytes: Vec<[u8; 64]> = (0..32).map(|number| [number; 64]).collect();
    let is_within = |part: &&[u8; 64]| part.as_ptr() as usize % 4096 <= 4096 - 64;
    let usable: Vec<&[u8; 64]> = bytes.iter().filter(is_within).collect();
    let mut copies: Vec<_> = usable
        .iter()
        .enumerate()
        .map(|(i, bytes)| part(own, reference, i * 64, Buffer::Write(&**bytes)))
        .collect();
    let result = xen.foreign.copy(&mut copies);
    println!("grants: {} copies, {result:?}", copies.len());
    check(result.is_ok() && copies.len() > 16, "copies to a page failed")?;
    for (number, part) in usable.iter().enumerate() {
        check(page.bytes()[number * 64 + 63].load(Relaxed) == part[0], "a copy is not there")?;
    }
    page.words()[1023].store(0x1234_5678, Relaxed);
    let mut word = [0_u8; 4];
    let result = xen.foreign.copy(&mut [part(own, reference, 4092, Buffer::Read(&mut word))]);
    check(result.is_ok() && word == [0x78, 0x56, 0x34, 0x12], "a copy from a page failed")?;
    let mut word = [0_u8; 4];
    let wrong = part(own, GrantRef(401), 0, Buffer::Read(&mut word));
    let result = xen.foreign.copy(&mut [wrong]);
    println!("grants: to copy what is not granted: {result:?}");
    check(result.is_err(), "a page that is not granted was copied")?;
    check(!granted.is_in_use() && granted.end().is_ok(), "a copy has not ended")
}

/// An event channel's signal.
#[derive(Default)]
struct Line(Signal);

impl InterruptHandler for Line {
    fn interrupt(&self) {
        self.0.raise();
    }
}

/// Two ends of a channel, both here, and many of them one after another.
async fn send_events(xen: &Sharing, own: DomainId) -> Result {
    let line = Arc::new(Line::default());
    let start = Instant::now();
    for round in 0..ROUNDS {
        let Ok(server) = xen.events.alloc_unbound(own) else { return fail("no event channel") };
        let Ok(client) = xen.events.bind_interdomain(own, server.port()) else {
            return fail("an event channel cannot be connected to");
        };
        if round == 0 {
            println!("grants: {server:?} and {client:?}");
        }
        check(server.listen(line.clone()), "no memory for a handler")?;
        // What a new channel, and listening to it, announce.
        line.0.take();
        client.notify();
        let event = timeout(Duration::from_secs(5), poll_fn(|cx| line.0.poll(cx)));
        check(event.await.is_ok(), "an event did not come")?;
        drop(server);
        // The other end is closed: nobody is told, and nothing breaks.
        client.notify();
    }
    let each = start.elapsed().as_nanos() as u64 / u64::from(ROUNDS);
    println!("grants: {ROUNDS} channels, each with an event, {each} ns each");
    check(Arc::strong_count(&line) == 1, "handlers are kept")
}

/// All entries that Xen gives, and one that is waited for.
async fn use_all(xen: &Sharing) -> Result {
    let page = page()?;
    let mut grants = Vec::new();
    let error = loop {
        match xen.grants.grant(DOM0, Rc::clone(&page), ReadOnly) {
            Ok(granted) => grants.push(granted),
            Err((error, _)) => break error,
        }
    };
    let frames = xen.grants.frames();
    println!("grants: {} grants in {frames} frames, then: {error}", grants.len());
    check(error == GrantError::Full, "the table was not full")?;
    check(grants.len() == frames * 512 - 8, "not all entries were used")?;
    let Some(one) = grants.pop() else { return fail("there were no grants") };
    let releases = spawn(async move {
        yield_now().await;
        drop(one);
    });
    let free = timeout(Duration::from_secs(5), xen.grants.wait_for_free(1)).await;
    check(matches!(free, Ok(Ok(()))), "who waited for an entry was not woken")?;
    releases.await.ok();
    drop(grant(xen, DOM0, &page)?);
    drop(grants);
    check(xen.grants.free() == frames * 512 - 8, "entries were lost")?;
    check(Rc::strong_count(&page) == 1, "a page was kept")
}

/// A task looks whether pages are still in use.
async fn tend(xen: &Sharing, own: DomainId) -> Result {
    let table = xen.grants;
    let tends = spawn(async { table.tend_deferred(sleep).await });
    let page = page_to_map()?;
    let granted = grant(xen, own, &page)?;
    let Ok(mapping) = xen.foreign.map(own, granted.reference(), ReadOnly) else {
        return fail("the page cannot be mapped");
    };
    drop(granted);
    sleep(Duration::from_millis(50)).await;
    check(table.deferred() == 1, "a mapped page was not kept")?;
    drop(mapping);
    sleep(Duration::from_millis(500)).await;
    check(table.deferred() == 0, "nobody has looked at an unmapped page")?;
    drop(tends);
    Ok(())
}
