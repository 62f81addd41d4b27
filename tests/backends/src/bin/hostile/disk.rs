//! Disks whose back end means harm (xen/include/public/io/blkif.h).

use std::sync::atomic::Ordering::SeqCst;

use crate::guest::{Device, Outcome, until};
use crate::harm::{Peer, Scenario};
use crate::ring::{RESPONSES, Ring};
use backends::xen::{PAGE, Page};

/// What the agent finds in each sector.
const CONTENT: u8 = 0x5a;

/// A disk's back end.
pub struct Disk<'a> {
    device: Device<'a>,
    ring: Option<Ring<28>>,
}

/// What can be done with a disk, by its name.
pub fn scenarios<'a>() -> [(&'static str, Scenario<Disk<'a>>); 9] {
    [
        ("index-jumps", |disk| {
            disk.request()?;
            disk.say_answers(1 << 31)
        }),
        ("index-behind", |disk| {
            disk.request()?;
            disk.say_answers(u32::MAX)
        }),
        ("one-answer-too-many", |disk| {
            disk.request()?;
            let answers = disk.ring()?.responses();
            disk.say_answers(answers + 33)
        }),
        ("unknown-id", |disk| {
            disk.request()?;
            disk.answer([77_777, 0], 0)?;
            disk.breaks()
        }),
        ("wide-id", |disk| {
            let [low, _] = disk.request()?.id;
            disk.answer([low, 1], 0)?;
            disk.breaks()
        }),
        ("answers-twice", |disk| {
            let request = disk.request()?;
            request.run()?;
            disk.ring()?.answer(&[request.id[0], request.id[1], 0]);
            disk.answer(request.id, 0)?;
            disk.breaks()
        }),
        ("nonsense-as-status", |disk| {
            let request = disk.request()?;
            disk.answer(request.id, 12_345)?;
            disk.device.ends("")
        }),
        ("keeps-a-page", |disk| {
            let request = disk.request()?;
            let page = Page::map(disk.device.guest.domain, request.reference)?;
            disk.answer(request.id, 0)?;
            disk.device.ends(Disk::BROKEN)?;
            // It has no other use.
            page.write(0, &[0xff; PAGE]);
            Ok(())
        }),
        ("maps-what-was-not-granted", |disk| {
            let request = disk.request()?;
            let domain = disk.device.guest.domain;
            if (1..100).any(|more| Page::map(domain, request.reference + 1000 * more).is_ok()) {
                return Err("what was not granted can be mapped".into());
            }
            request.run()?;
            disk.answer(request.id, 0)?;
            disk.works()
        }),
    ]
}

/// A request to read a page, the only kind that the agent makes.
struct Request {
    domain: u16,
    id: [u32; 2],
    /// The page that it is to be read to.
    reference: u32,
}

impl Request {
    /// Does what was asked for.
    fn run(&self) -> Outcome {
        Page::map(self.domain, self.reference)?.write(0, &[CONTENT; PAGE]);
        Ok(())
    }
}

impl Disk<'_> {
    fn ring(&mut self) -> Outcome<&mut Ring<28>> {
        self.ring.as_mut().ok_or_else(|| "it is not connected".into())
    }

    fn take(&mut self) -> Outcome<Option<Request>> {
        let domain = self.device.guest.domain;
        let words = self.ring()?.take();
        Ok(words.map(|words| Request { domain, id: [words[2], words[3]], reference: words[6] }))
    }

    /// Waits for a request.
    fn request(&mut self) -> Outcome<Request> {
        until("a request", || self.take())
    }

    fn answer(&mut self, [low, high]: [u32; 2], status: i16) -> Outcome {
        self.ring()?.answer(&[low, high, u32::from(status as u16) << 16]);
        self.device.notify();
        Ok(())
    }

    /// Says that there are so many answers, which there cannot be.
    fn say_answers(&mut self, count: u32) -> Outcome {
        self.ring()?.word(RESPONSES).store(count, SeqCst);
        self.breaks()
    }
}

impl<'a> Peer<'a> for Disk<'a> {
    const CLASS: &'static str = "vbd";
    const VERB: &'static str = "disk";
    const BROKEN: &'static str = "broke the protocol";
    const NODES: &'static [(&'static str, &'static str)] =
        &[("sectors", "2048"), ("sector-size", "512"), ("info", "0"), ("feature-flush-cache", "1")];

    fn new(device: Device<'a>) -> Self {
        Self { device, ring: None }
    }

    fn number(index: usize) -> usize {
        // xvda, xvdb, and so on: their numbers are 16 apart (docs/man/xen-vbd-interface.7.pandoc).
        51_712 + 16 * index
    }

    fn front(_: usize) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn device(&self) -> &Device<'a> {
        &self.device
    }

    fn device_mut(&mut self) -> &mut Device<'a> {
        &mut self.device
    }

    fn map(&mut self) -> Outcome {
        let device = &self.device;
        // Of a larger ring, the first page is enough for what the agent asks.
        let name = if device.front("ring-page-order")? == "0" { "ring-ref" } else { "ring-ref0" };
        let domain = device.guest.domain;
        self.ring = Some(Ring::map(domain, device.number(name)?)?);
        self.device.bind()?;
        Ok(())
    }

    fn unmap(&mut self) {
        self.ring = None;
        self.device.hang_up();
    }

    fn await_request(&mut self) -> Outcome {
        self.request().map(drop)
    }

    fn pages(&self) -> Vec<&Page> {
        self.ring.iter().map(Ring::page).collect()
    }

    fn serve(&mut self) -> Outcome {
        while let Some(request) = self.take()? {
            request.run()?;
            self.answer(request.id, 0)?;
        }
        Ok(())
    }
}
