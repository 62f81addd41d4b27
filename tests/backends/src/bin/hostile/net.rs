//! Network cards whose back end means harm (xen/include/public/io/netif.h).

use std::sync::atomic::Ordering::SeqCst;

use crate::guest::{Device, Outcome, until};
use crate::harm::{Peer, Scenario};
use crate::ring::{RESPONSES, Ring};
use backends::xen::{PAGE, Page};

/// Flags of a response in the receive ring.
const MORE_DATA: u32 = 4;
const EXTRA_INFO: u32 = 8;
/// Of a request in the transmit ring.
const TRANSMIT_EXTRA_INFO: u32 = 8;
/// What is said about a frame: that it was made of segments, of TCP over IPv4 or what there is not,
/// and that more is said.
const SEGMENTS: u32 = 1;
const OF_IPV4: u32 = 1;
const MORE_EXTRA: u32 = 1 << 8;

/// How many of what should be few.
const MANY: usize = 300;

/// A network card's back end.
pub struct Net<'a> {
    device: Device<'a>,
    transmit: Option<Ring<3>>,
    receive: Option<Ring<2>>,
    /// The number of what is said about a frame, which has no answer of its own.
    extras: bool,
}

/// What can be done with a card, by its name.
pub fn scenarios<'a>() -> [(&'static str, Scenario<Net<'a>>); 16] {
    [
        ("transmit-index-jumps", |net| {
            net.await_request()?;
            net.transmit()?.word(RESPONSES).store(1 << 31, SeqCst);
            net.breaks()
        }),
        ("transmit-index-behind", |net| {
            net.await_request()?;
            net.transmit()?.word(RESPONSES).store(u32::MAX, SeqCst);
            net.breaks()
        }),
        ("unknown-id", |net| {
            net.await_request()?;
            net.transmit()?.answer(&[60_000]);
            net.breaks()
        }),
        ("answers-twice", |net| {
            let [_, _, third] = net.request()?;
            net.transmit()?.answer(&[third & 0xffff]);
            net.transmit()?.answer(&[third & 0xffff]);
            net.breaks()
        }),
        ("answer-to-no-extra-info", |net| {
            net.await_request()?;
            net.transmit()?.answer(&[1 << 16]);
            net.breaks()
        }),
        ("receive-index-jumps", |net| {
            net.receive()?.word(RESPONSES).store(1 << 31, SeqCst);
            net.breaks()
        }),
        ("receive-index-behind", |net| {
            net.receive()?.word(RESPONSES).store(u32::MAX, SeqCst);
            net.breaks()
        }),
        ("receive-out-of-order", |net| {
            let [_, second] = [net.page()?, net.page()?];
            net.receive()?.answer(&[second[0], 60 << 16]);
            net.breaks()
        }),
        ("negative-sizes", |net| {
            for size in [-1, -1000, i16::MIN] {
                net.respond(0, 0, size as u16)?;
            }
            net.works()
        }),
        ("sizes-and-offsets-beyond-the-page", |net| {
            for (offset, size) in [(0, 4097), (0, 32_767), (4095, 60), (65_535, 60), (60, 0)] {
                net.respond(offset, 0, size)?;
            }
            net.works()
        }),
        ("rubbish-in-frames", |net| {
            for length in (0..60).map(|step| 14 + 68 * step) {
                let [id, reference] = net.page()?;
                let bytes: Vec<u8> = (0..PAGE).map(|at| (at * length / 7) as u8).collect();
                Page::map(net.device.guest.domain, reference)?.write(0, &bytes);
                net.receive()?.answer(&[id, u32::from(length as u16) << 16]);
                net.device.notify();
            }
            net.works()
        }),
        ("segments-of-no-kind", |net| {
            for (about, kind) in [(SEGMENTS, 77), (200, 0), (SEGMENTS | 1400 << 16, 255)] {
                net.respond(0, EXTRA_INFO, 60)?;
                net.tell(about, kind)?;
            }
            net.works()
        }),
        ("extra-info-without-end", |net| {
            net.respond(0, EXTRA_INFO, 60)?;
            for _ in 0..MANY {
                net.tell(SEGMENTS | MORE_EXTRA | 1400 << 16, OF_IPV4)?;
            }
            net.tell(SEGMENTS | 1400 << 16, OF_IPV4)?;
            net.works()
        }),
        ("a-frame-without-end", |net| {
            for _ in 0..MANY {
                net.respond(0, MORE_DATA, 4096)?;
            }
            net.respond(0, 0, 60)?;
            net.works()
        }),
        ("no-receive-answers", |net| {
            for _ in 0..5 {
                net.send_back()?;
            }
            net.device.waits()
        }),
        ("keeps-a-page", |net| {
            let [id, reference] = net.page()?;
            let page = Page::map(net.device.guest.domain, reference)?;
            net.receive()?.answer(&[id, 60 << 16]);
            net.device.notify();
            net.works()?;
            // It has no other use.
            page.write(0, &[0xff; PAGE]);
            net.works()
        }),
    ]
}

impl Net<'_> {
    fn transmit(&mut self) -> Outcome<&mut Ring<3>> {
        self.transmit.as_mut().ok_or_else(|| "it is not connected".into())
    }

    fn receive(&mut self) -> Outcome<&mut Ring<2>> {
        self.receive.as_mut().ok_or_else(|| "it is not connected".into())
    }

    /// Waits for a request to transmit.
    fn request(&mut self) -> Outcome<[u32; 3]> {
        until("a request", || Ok(self.transmit()?.take()))
    }

    /// Waits for a page for what is received: number and reference.
    fn page(&mut self) -> Outcome<[u32; 2]> {
        until("a page", || {
            let page = self.receive()?.take();
            // The guest may be about to give more.
            if page.is_none() {
                self.device.notify();
            }
            Ok(page)
        })
    }

    /// Answers the next request to receive with so many bytes from an offset on.
    fn respond(&mut self, offset: u16, flags: u32, size: u16) -> Outcome {
        let [id, _] = self.page()?;
        let first = id & 0xffff | u32::from(offset) << 16;
        self.receive()?.answer(&[first, flags | u32::from(size) << 16]);
        self.device.notify();
        Ok(())
    }

    /// Says something about a frame.
    fn tell(&mut self, about: u32, kind: u32) -> Outcome {
        self.page()?;
        self.receive()?.answer(&[about, kind]);
        self.device.notify();
        Ok(())
    }

    /// Answers all that was to be sent.
    fn send_back(&mut self) -> Outcome {
        while let Some([_, second, third]) = self.transmit()?.take() {
            let is_extra = std::mem::take(&mut self.extras);
            self.extras = !is_extra && second >> 16 & TRANSMIT_EXTRA_INFO != 0;
            let answer = if is_extra { 1 << 16 } else { third & 0xffff };
            self.transmit()?.answer(&[answer]);
        }
        self.device.notify();
        Ok(())
    }

    /// A datagram for the agent.
    fn datagram(&self) -> Vec<u8> {
        let mut frame = vec![0xff; 6];
        frame.extend([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 8, 0]);
        let net = self.device.index as u8;
        let mut header = [0x45, 0, 0, 38, 0, 0, 0, 0, 64, 17, 0, 0, 10, 98, net, 1, 10, 98, net, 2];
        let words = header.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
        let sum: u32 = words.sum();
        let checksum = !((sum >> 16) + (sum & 0xffff)) as u16;
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        frame.extend(header);
        // From port 7 to port 7, without a checksum.
        frame.extend([0, 7, 0, 7, 0, 18, 0, 0]);
        frame.extend(b"0123456789");
        frame
    }
}

impl<'a> Peer<'a> for Net<'a> {
    const CLASS: &'static str = "vif";
    const VERB: &'static str = "net";
    const BROKEN: &'static str = "gone";
    const NODES: &'static [(&'static str, &'static str)] = &[
        ("feature-rx-copy", "1"),
        ("feature-sg", "1"),
        ("feature-gso-tcpv4", "1"),
        ("feature-gso-tcpv6", "1"),
        ("feature-ipv6-csum-offload", "1"),
    ];

    fn new(device: Device<'a>) -> Self {
        Self { device, transmit: None, receive: None, extras: false }
    }

    fn number(index: usize) -> usize {
        index
    }

    fn front(index: usize) -> Vec<(&'static str, String)> {
        vec![("mac", format!("00:16:3e:68:00:{index:02x}")), ("handle", index.to_string())]
    }

    fn device(&self) -> &Device<'a> {
        &self.device
    }

    fn device_mut(&mut self) -> &mut Device<'a> {
        &mut self.device
    }

    fn map(&mut self) -> Outcome {
        let (device, domain) = (&self.device, self.device.guest.domain);
        self.transmit = Some(Ring::map(domain, device.number("tx-ring-ref")?)?);
        self.receive = Some(Ring::map(domain, device.number("rx-ring-ref")?)?);
        self.device.bind()?;
        self.extras = false;
        Ok(())
    }

    fn unmap(&mut self) {
        (self.transmit, self.receive) = (None, None);
        self.device.hang_up();
    }

    fn await_request(&mut self) -> Outcome {
        self.request().map(drop)
    }

    fn pages(&self) -> Vec<&Page> {
        self.transmit.iter().map(Ring::page).chain(self.receive.iter().map(Ring::page)).collect()
    }

    fn serve(&mut self) -> Outcome {
        self.send_back()?;
        if let Some([id, reference]) = self.receive()?.take() {
            let datagram = self.datagram();
            Page::map(self.device.guest.domain, reference)?.write(0, &datagram);
            self.receive()?.answer(&[id, u32::from(datagram.len() as u16) << 16]);
            self.device.notify();
        }
        Ok(())
    }

    /// After a burst of what is received, the guest has more pages for it.
    fn settle(&mut self) -> Outcome {
        self.send_back()
    }
}
