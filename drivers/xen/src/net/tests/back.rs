//! netback.

extern crate std;

use std::{format, vec, vec::Vec};

use crate::{
    fake::{Back, BackRing, DOM0},
    grants::{Access, GrantRef, fake::PeerPage},
    net::wire::{RECEIVE_WORDS, TRANSMIT_WORDS},
};

/// What a frame came with: that its checksum is blank, and that it is right all the same.
pub(super) const BLANK: u32 = 3;

/// netback, connected, or one of its queues.
pub(super) struct NetBack<'a> {
    back: Back<'a>,
    pub(super) transmit: BackRing<TRANSMIT_WORDS>,
    pub(super) receive: BackRing<RECEIVE_WORDS>,
    pub(super) port: u32,
    /// The same, unless there is a channel for each ring.
    pub(super) receive_port: u32,
}

/// A frame that the guest sent.
pub(super) struct Sent {
    pub(super) bytes: Vec<u8>,
    /// The flags of its first request, without those that say that more follows.
    pub(super) flags: u32,
    /// What was said about it.
    pub(super) extra: Option<[u32; 2]>,
    /// Its parts: their number, and their page, until netback lets go of it.
    pub(super) parts: Vec<(u32, PeerPage)>,
}

impl<'a> NetBack<'a> {
    /// Maps the rings that the front end has published.
    pub(super) fn map(back: &Back<'a>) -> Self {
        Self::map_queue(back, "")
    }

    /// Maps those of a queue, whose nodes have this prefix.
    pub(super) fn map_queue(back: &Back<'a>, prefix: &str) -> Self {
        let ring = |name| back.reference(&format!("{prefix}{name}"));
        let port = |name| Some(back.front(&format!("{prefix}{name}"))?.parse().unwrap());
        let one = port("event-channel");
        Self {
            back: back.clone(),
            transmit: BackRing::map(back.guest, ring("tx-ring-ref")).unwrap(),
            receive: BackRing::map(back.guest, ring("rx-ring-ref")).unwrap(),
            port: port("event-channel-tx").or(one).unwrap(),
            receive_port: port("event-channel-rx").or(one).unwrap(),
        }
    }

    /// The next frame that the guest sent, not answered.
    pub(super) fn take(&mut self) -> Option<Sent> {
        let first = self.transmit.take()?;
        let (mut flags, length) = (first[1] >> 16, (first[2] >> 16) as usize);
        let mut sent = Sent { bytes: Vec::new(), flags: flags & 3, extra: None, parts: Vec::new() };
        if flags & 8 != 0 {
            let [word, kind, _] = self.transmit.take().expect("the extra info that was announced");
            assert_eq!(word & 0xff00, 0, "there is no more than one");
            sent.extra = Some([word, kind]);
        }
        let mut others = Vec::new();
        while flags & 4 != 0 {
            let next = self.transmit.take().expect("the part that was announced");
            flags = next[1] >> 16;
            assert_eq!(flags & !4, 0);
            others.push(next);
        }
        // The first request has the size of all.
        let rest: usize = others.iter().map(|words| (words[2] >> 16) as usize).sum();
        self.read(&mut sent, first, length - rest);
        for words in others {
            self.read(&mut sent, words, (words[2] >> 16) as usize);
        }
        assert!((1..=18).contains(&sent.parts.len()));
        Some(sent)
    }

    fn read(&self, sent: &mut Sent, [reference, second, third]: [u32; 3], size: usize) {
        let grants = self.back.guest.sharing.grants;
        assert!(
            PeerPage::map(grants, DOM0, GrantRef(reference), Access::ReadWrite).is_none(),
            "netback may write to what is sent"
        );
        let page = PeerPage::map(grants, DOM0, GrantRef(reference), Access::ReadOnly).unwrap();
        let offset = (second & 0xffff) as usize;
        assert!(size > 0 && offset + size <= 4096, "a part crosses a page");
        let mut bytes = vec![0; size];
        page.read(offset, &mut bytes);
        sent.bytes.extend(bytes);
        sent.parts.push((third & 0xffff, page));
    }

    /// Answers, after it has let go of the pages.
    pub(super) fn answer(&mut self, sent: Sent, status: i16) {
        for (index, (id, page)) in sent.parts.into_iter().enumerate() {
            drop(page);
            self.answer_part(id, status);
            if index == 0 && sent.extra.is_some() {
                // Whatever id is there.
                self.answer_part(0x5aa5, 1);
            }
        }
    }

    /// Takes and answers as many frames. Returns how many there were.
    pub(super) fn drain_frames(&mut self, most: usize) -> usize {
        (0..most).map_while(|_| self.take().map(|sent| self.answer(sent, 0))).count()
    }

    /// Answers what nobody has asked.
    pub(super) fn answer_nothing(&mut self) {
        self.answer_part(0, 0);
    }

    /// Takes and answers what the guest says of the next group: whether it wants to hear it.
    pub(super) fn take_group(&mut self, status: i16) -> Option<([u8; 6], bool)> {
        let [_, flags, last] = self.transmit.take()?;
        assert_eq!((flags >> 16, last >> 16), (8, 0), "no frame");
        let [first, second, _] = self.transmit.take().expect("the extra info that was announced");
        let (bytes, rest) = (first.to_le_bytes(), second.to_le_bytes());
        assert_eq!(bytes[1], 0, "there is no more than one");
        let joins = match bytes[0] {
            2 => true,
            3 => false,
            other => panic!("extra info {other}"),
        };
        self.answer_part(last & 0xffff, status);
        self.answer_part(0x5aa5, 1);
        Some(([bytes[2], bytes[3], rest[0], rest[1], rest[2], rest[3]], joins))
    }

    pub(super) fn answer_part(&mut self, id: u32, status: i16) {
        if self.transmit.answer(&[id | u32::from(status as u16) << 16]) {
            self.back.guest.raise(self.port);
        }
    }

    /// Takes and answers all.
    pub(super) fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some(sent) = self.take() {
            frames.push(sent.bytes.clone());
            self.answer(sent, 0);
        }
        frames
    }

    /// Gives the guest a frame. Returns whether there was a page for it.
    pub(super) fn deliver(&mut self, frame: &[u8], flags: u32) -> bool {
        self.place(frame, flags).is_some()
    }

    /// Gives the guest a frame, and says where the page is.
    pub(super) fn place(&mut self, frame: &[u8], flags: u32) -> Option<*const u8> {
        let [id, reference] = self.receive.take()?;
        let grants = self.back.guest.sharing.grants;
        let page = PeerPage::map(grants, DOM0, GrantRef(reference), Access::ReadWrite).unwrap();
        page.write(0, frame);
        let place = start_of(&page);
        drop(page);
        self.respond(id, 0, flags, frame.len() as u16);
        Some(place)
    }

    /// Gives the guest a frame in parts of these sizes, with what is said about it after the first.
    pub(super) fn deliver_parts(
        &mut self,
        frame: &[u8],
        sizes: &[usize],
        flags: u32,
        extra: Option<[u32; 2]>,
    ) {
        let mut rest = frame;
        for (index, size) in sizes.iter().enumerate() {
            let (part, after) = rest.split_at(*size);
            rest = after;
            let more = if after.is_empty() { 0 } else { 4 };
            let with_extra = extra.filter(|_| index == 0);
            let flags = if index == 0 { flags } else { 0 };
            assert!(self.deliver(part, flags | more | if with_extra.is_some() { 8 } else { 0 }));
            if let Some(words) = with_extra {
                self.extra(words);
            }
        }
        assert!(rest.is_empty());
    }

    /// Says something about a frame, in the place of a response.
    pub(super) fn extra(&mut self, words: [u32; 2]) {
        assert!(self.receive.take().is_some());
        if self.receive.answer(&words) {
            self.back.guest.raise(self.receive_port);
        }
    }

    /// Answers the next receive request, which is left alone, as its back end likes. Returns whether
    /// there is one that makes sense.
    pub(super) fn respond_next(&mut self, offset: u16, flags: u32, status: u16) -> bool {
        let next = self.receive.take_if_sane();
        next.map(|[id, _]| self.respond(id & 0xffff, offset, flags, status)).is_some()
    }

    /// Answers the next receive request, and keeps its page, on which is the byte. `None` if there
    /// is none, or its request makes no sense any more.
    pub(super) fn keep(&mut self) -> Option<(PeerPage, u8)> {
        let [id, reference] = self.receive.take_if_sane()?;
        let grants = self.back.guest.sharing.grants;
        let page = PeerPage::map(grants, DOM0, GrantRef(reference), Access::ReadWrite)?;
        let byte = id as u8 ^ 0x5a;
        page.write(0, &[byte]);
        self.respond(id, 0, 0, 60);
        Some((page, byte))
    }

    /// Answers in the receive ring.
    pub(super) fn respond(&mut self, id: u32, offset: u16, flags: u32, status: u16) {
        let words = [id | u32::from(offset) << 16, flags | u32::from(status) << 16];
        if self.receive.answer(&words) {
            self.back.guest.raise(self.receive_port);
        }
    }

    /// How many events the guest has sent.
    pub(super) fn events(&self) -> usize {
        self.events_for(self.port) + self.events_for(self.receive_port)
    }

    /// The same of one of the channels.
    pub(super) fn events_for(&self, port: u32) -> usize {
        self.back.guest.take_sent(port)
    }
}

/// Where a page is, as the guest sees it.
pub(super) fn start_of(page: &PeerPage) -> *const u8 {
    core::ptr::from_ref(page.byte(0)).cast()
}
