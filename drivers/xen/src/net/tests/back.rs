//! netback.

extern crate std;

use std::{vec, vec::Vec};

use crate::{
    fake::{Back, BackRing, DOM0},
    grants::{Access, GrantRef, fake::PeerPage},
    net::wire::{RECEIVE_WORDS, TRANSMIT_WORDS},
};

/// What a frame came with: that its checksum is blank, and that it is right all the same.
pub(super) const BLANK: u32 = 3;

/// netback, connected.
pub(super) struct NetBack<'a> {
    back: Back<'a>,
    pub(super) transmit: BackRing<TRANSMIT_WORDS>,
    pub(super) receive: BackRing<RECEIVE_WORDS>,
    pub(super) port: u32,
}

/// A frame that the guest sent.
pub(super) struct Sent {
    pub(super) bytes: Vec<u8>,
    pub(super) flags: u32,
    pub(super) id: u32,
    /// The page, until netback lets go of it.
    pub(super) page: PeerPage,
}

impl<'a> NetBack<'a> {
    /// Maps the rings that the front end has published.
    pub(super) fn map(back: &Back<'a>) -> Self {
        Self {
            back: back.clone(),
            transmit: BackRing::map(back.guest, back.reference("tx-ring-ref")).unwrap(),
            receive: BackRing::map(back.guest, back.reference("rx-ring-ref")).unwrap(),
            port: back.front("event-channel").unwrap().parse().unwrap(),
        }
    }

    /// The next frame that the guest sent, not answered.
    pub(super) fn take(&mut self) -> Option<Sent> {
        let [reference, second, third] = self.transmit.take()?;
        let grants = self.back.guest.sharing.grants;
        assert!(
            PeerPage::map(grants, DOM0, GrantRef(reference), Access::ReadWrite).is_none(),
            "netback may write to what is sent"
        );
        let page = PeerPage::map(grants, DOM0, GrantRef(reference), Access::ReadOnly).unwrap();
        let mut bytes = vec![0; (third >> 16) as usize];
        page.read((second & 0xffff) as usize, &mut bytes);
        Some(Sent { bytes, flags: second >> 16, id: third & 0xffff, page })
    }

    /// Answers, after it has let go of the page.
    pub(super) fn answer(&mut self, sent: Sent, status: i16) {
        drop(sent.page);
        if self.transmit.answer(&[sent.id | u32::from(status as u16) << 16]) {
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
        let Some([id, reference]) = self.receive.take() else { return false };
        let grants = self.back.guest.sharing.grants;
        let page = PeerPage::map(grants, DOM0, GrantRef(reference), Access::ReadWrite).unwrap();
        page.write(0, frame);
        drop(page);
        self.respond(id, 0, flags, frame.len() as u16);
        true
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
            self.back.guest.raise(self.port);
        }
    }

    /// How many events the guest has sent.
    pub(super) fn events(&self) -> usize {
        self.back.guest.take_sent(self.port)
    }
}
