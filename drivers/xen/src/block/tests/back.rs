//! blkback, with a disk in memory.

extern crate std;

use core::sync::atomic::Ordering;
use std::{collections::BTreeMap, format, rc::Rc, vec, vec::Vec};

use crate::{
    block::wire::{UNIT, WORDS},
    fake::{Back, BackRing, DOM0},
    grants::{Access, GrantRef, fake::PeerPage},
};

pub(super) const READ: u32 = 0;
pub(super) const WRITE: u32 = 1;
pub(super) const FLUSH: u32 = 3;
pub(super) const BARRIER: u32 = 2;
pub(super) const DISCARD: u32 = 5;
const INDIRECT: u32 = 6;
pub(super) const OKAY: i16 = 0;
pub(super) const UNSUPPORTED: i16 = -2;

/// blkback, connected, or one of its queues.
pub(super) struct BlkBack<'a> {
    back: Back<'a>,
    pub(super) ring: BackRing<WORDS>,
    pub(super) port: u32,
    /// Most pages that it takes in a request.
    most: usize,
    /// What it keeps mapped, if it does.
    mapped: Option<BTreeMap<u32, Rc<PeerPage>>>,
}

/// What leads to the ring's pages, for a back end that knows of rings with several or does not. The
/// nodes of the ring have this prefix.
fn references(back: &Back<'_>, prefix: &str) -> Vec<GrantRef> {
    if back.number("max-ring-page-order").is_none() {
        return vec![back.reference(&format!("{prefix}ring-ref"))];
    }
    let order: u32 = back.front("ring-page-order").unwrap().parse().unwrap();
    (0..1 << order).map(|page| back.reference(&format!("{prefix}ring-ref{page}"))).collect()
}

/// A request, with its pages mapped.
pub(super) struct Request {
    /// What told of the pages, if that was not the ring.
    pub(super) descriptors: Option<Rc<PeerPage>>,
    pub(super) operation: u32,
    pub(super) id: u32,
    pub(super) sector: usize,
    /// Of a discard.
    pub(super) count: usize,
    /// Pages, and how many bytes of them count.
    pub(super) pages: Vec<(Rc<PeerPage>, usize)>,
}

impl<'a> BlkBack<'a> {
    /// Maps the ring that the front end has published.
    pub(super) fn map(back: &Back<'a>) -> Self {
        Self::map_queue(back, "")
    }

    /// Maps that of a queue, whose nodes have this prefix.
    pub(super) fn map_queue(back: &Back<'a>, prefix: &str) -> Self {
        let port = back.front(&format!("{prefix}event-channel")).unwrap();
        Self {
            back: back.clone(),
            ring: BackRing::map_pages(back.guest, &references(back, prefix)).unwrap(),
            port: port.parse().unwrap(),
            mapped: (back.number("feature-persistent") == Some(1)
                && back.front("feature-persistent").as_deref() == Some("1"))
            .then(BTreeMap::new),
            most: back.number("feature-max-indirect-segments").unwrap_or(0),
        }
    }

    /// The next request.
    pub(super) fn take(&mut self) -> Option<Request> {
        let words = self.ring.take()?;
        let grants = self.back.guest.sharing.grants;
        let is_indirect = words[0] & 0xff == INDIRECT;
        let operation = if is_indirect { words[0] >> 8 & 0xff } else { words[0] & 0xff };
        let access = if operation == WRITE { Access::ReadOnly } else { Access::ReadWrite };
        let descriptors = is_indirect.then(|| {
            let writable = || PeerPage::map(grants, DOM0, GrantRef(words[7]), Access::ReadWrite);
            assert!(self.mapped.is_some() || writable().is_none());
            self.page(words[7], Access::ReadOnly)
        });
        let segments: Vec<[u32; 2]> = match &descriptors {
            Some(page) => {
                let count = (words[0] >> 16) as usize;
                assert!((12..=self.most).contains(&count), "{count} pages");
                let word = |index| page.word(4 * index).load(Ordering::SeqCst);
                (0..count).map(|index| [word(2 * index), word(2 * index + 1)]).collect()
            }
            None => {
                let count = if operation == DISCARD { 0 } else { words[0] >> 8 & 0xff };
                assert!(count <= 11);
                let segments = words[6..].chunks_exact(2).take(count as usize);
                segments.map(|segment| [segment[0], segment[1]]).collect()
            }
        };
        let pages = segments.into_iter().map(|[reference, sectors]| {
            let (first, last) = (sectors & 0xff, sectors >> 8 & 0xff);
            assert!(first == 0 && last < 8);
            let writable = || PeerPage::map(grants, DOM0, GrantRef(reference), Access::ReadWrite);
            let may_write = operation != WRITE || self.mapped.is_some();
            assert!(may_write || writable().is_none(), "blkback may write to what is written");
            (self.page(reference, access), (last as usize + 1) * UNIT)
        });
        let pages = pages.collect();
        Some(Request {
            operation,
            id: words[2],
            sector: words[4] as usize,
            count: if operation == DISCARD { words[6] as usize } else { 0 },
            pages,
            descriptors,
        })
    }

    /// Maps a page, or finds it mapped: then for writing, too.
    fn page(&mut self, reference: u32, access: Access) -> Rc<PeerPage> {
        let grants = self.back.guest.sharing.grants;
        let map =
            |access| Rc::new(PeerPage::map(grants, DOM0, GrantRef(reference), access).unwrap());
        match &mut self.mapped {
            None => map(access),
            Some(mapped) => {
                Rc::clone(mapped.entry(reference).or_insert_with(|| map(Access::ReadWrite)))
            }
        }
    }

    /// Unmaps what it keeps, as before it says that it has closed.
    pub(super) fn let_go(&mut self) {
        self.mapped.iter_mut().for_each(BTreeMap::clear);
    }

    /// How many pages it keeps mapped.
    pub(super) fn kept(&self) -> usize {
        self.mapped.as_ref().map_or(0, BTreeMap::len)
    }

    /// All requests that there are.
    pub(super) fn take_all(&mut self) -> Vec<Request> {
        core::iter::from_fn(|| self.take()).collect()
    }

    /// Whether a request could be taken: nobody has overwritten it.
    pub(super) fn steal(&mut self) -> Option<PeerPage> {
        let words = self.ring.take_if_sane()?;
        let grants = self.back.guest.sharing.grants;
        PeerPage::map(grants, DOM0, GrantRef(words[6]), Access::ReadOnly)
    }

    /// Answers, after it has let go of the pages.
    pub(super) fn answer(&mut self, request: Request, status: i16) {
        drop((request.pages, request.descriptors));
        self.respond([request.id, 0], status);
    }

    /// Writes an answer.
    pub(super) fn respond(&mut self, [low, high]: [u32; 2], status: i16) {
        if self.ring.answer(&[low, high, u32::from(status as u16) << 16]) {
            self.back.guest.raise(self.port);
        }
    }

    /// How many events the guest has sent.
    pub(super) fn events(&self) -> usize {
        self.back.guest.take_sent(self.port)
    }
}

impl Request {
    /// Does what it asks.
    pub(super) fn run(&self, disk: &mut [u8]) {
        let mut at = self.sector * UNIT;
        for (page, size) in &self.pages {
            let mut bytes = vec![0; *size];
            if self.operation == READ {
                page.write(0, &disk[at..at + size]);
            } else {
                page.read(0, &mut bytes);
                disk[at..at + size].copy_from_slice(&bytes);
            }
            at += size;
        }
        disk[at..at + self.count * UNIT].fill(0);
    }
}
