//! What can be done to any device.

use std::sync::atomic::Ordering::SeqCst;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::guest::{Device, Guest, Outcome};
use crate::ring::RESPONSES;
use backends::xen::Page;

/// For how long something is done without a pause.
const STORM: Duration = Duration::from_millis(500);
/// Processor time that an idle guest may use in a second: xl counts in tenths.
const IDLE: f64 = 0.15;
/// Devices that come back again and again together, and how often each does: a single one would be
/// left alone for longer and longer (drivers/xen/src/bus/pace.rs).
pub const GROUP: usize = 10;
const RECONNECTS: usize = 10;
/// Pages and bytes of the heap that may be used more after two of three of these times: less than one
/// page, or a few bytes, of each device. Now and then a device gets more memory in reserve.
const PAGES: i64 = 2;
const BYTES: i64 = 160;

/// A device's back end.
pub trait Peer<'a>: Sized {
    /// The device's directory, such as `vbd`.
    const CLASS: &'static str;
    /// What the agent is told to use it.
    const VERB: &'static str;
    /// What an app is told of a device that was given up.
    const BROKEN: &'static str;
    /// What a good back end writes.
    const NODES: &'static [(&'static str, &'static str)];

    /// One that is not connected.
    fn new(device: Device<'a>) -> Self;
    /// The number of the device at an index.
    fn number(index: usize) -> usize;
    /// What the tools write for the front end, beside what leads to the back end.
    fn front(index: usize) -> Vec<(&'static str, String)>;
    /// The nodes.
    fn device(&self) -> &Device<'a>;
    /// The same, to be changed.
    fn device_mut(&mut self) -> &mut Device<'a>;
    /// Maps what the front end has published.
    fn map(&mut self) -> Outcome;
    /// Lets go of it, as when the process dies.
    fn unmap(&mut self);
    /// Waits until the guest has asked for something.
    fn await_request(&mut self) -> Outcome;
    /// The pages of the rings.
    fn pages(&self) -> Vec<&Page>;
    /// Does what a good back end does.
    fn serve(&mut self) -> Outcome;
    /// Answers what it was asked, and does nothing of its own.
    fn settle(&mut self) -> Outcome {
        self.serve()
    }

    /// Connects, as a good back end does.
    fn connect(&mut self) -> Outcome {
        self.connect_with(&[], &[])
    }

    /// The same with other nodes of both sides.
    fn connect_with(&mut self, back: &[(&str, &[u8])], front: &[(&str, &[u8])]) -> Outcome {
        self.begin(back, front)?;
        self.finish()
    }

    /// Writes the nodes, and has the agent use the device.
    fn begin(&self, back: &[(&str, &[u8])], front: &[(&str, &[u8])]) -> Outcome {
        let device = self.device();
        for (name, value) in Self::front(device.index) {
            device.put_front(name, value)?;
        }
        for (name, value) in back {
            device.put(name, value)?;
        }
        let usual: Vec<_> = Self::NODES
            .iter()
            .copied()
            .filter(|(name, _)| back.iter().all(|(other, _)| other != name))
            .collect();
        device.offer(&usual)?;
        device.lead(front)?;
        device.guest.ask(&format!("{} {}", Self::VERB, device.index)).map(drop)
    }

    /// Maps what the front end publishes, and says so.
    fn finish(&mut self) -> Outcome {
        self.device().until_published()?;
        self.map()?;
        self.device().put("state", "4")
    }

    /// Goes and comes back, as a back end that was restarted.
    fn reconnect(&mut self) -> Outcome {
        self.leave()?;
        self.come_back()?;
        self.finish()
    }

    /// The first step of that: it is about to go.
    fn leave(&self) -> Outcome {
        self.device().put("state", "6")
    }

    /// The second: it is gone, and another one is there.
    fn come_back(&mut self) -> Outcome {
        self.device().until_state("1")?;
        self.unmap();
        self.device().put("state", "2")
    }

    /// The device is given up, because the protocol was broken, and the back end is told.
    fn breaks(&self) -> Outcome {
        self.device().notify();
        self.device().ends(Self::BROKEN)?;
        self.device().until_state("6")
    }

    /// All goes on.
    fn works(&mut self) -> Outcome {
        let before = self.device().count()?;
        crate::guest::until("more that works", || {
            self.serve()?;
            Ok((self.device().count()? >= before + 3).then_some(()))
        })
    }
}

/// What is done with a device that is connected.
pub type Scenario<P> = fn(&mut P) -> Outcome;

/// What a group does first, because later others use memory meanwhile.
pub const AGAIN_AND_AGAIN: &str = "comes-back-again-and-again";

/// What can be done with any, by its name.
pub fn all<'a, P: Peer<'a>>() -> [(&'static str, Scenario<P>); 10] {
    [
        ("good", P::works),
        ("answers-before-requests", early),
        ("storm-of-events", storm),
        ("silence", silence),
        ("overwrites-requests", overwrite),
        ("closes-the-event-channel", hang_up),
        ("dies", die),
        ("dies-and-its-nodes-vanish", vanish),
        ("is-detached", detach),
        ("toggles-states", toggle),
    ]
}

fn early<'a, P: Peer<'a>>(peer: &mut P) -> Outcome {
    // One that closes before it was heard to connect is refused.
    peer.works()?;
    peer.device().put("state", "6")?;
    peer.device().until_state("1")?;
    peer.unmap();
    peer.device().put("state", "2")?;
    peer.device().until_state("4")?;
    peer.map()?;
    peer.pages().iter().for_each(|page| page.word(RESPONSES).store(1, SeqCst));
    peer.device().put("state", "4")?;
    peer.breaks()
}

fn storm<'a, P: Peer<'a>>(peer: &mut P) -> Outcome {
    peer.await_request()?;
    let start = Instant::now();
    while start.elapsed() < STORM {
        (0..1000).for_each(|_| peer.device().notify());
        peer.device().waits()?;
    }
    peer.reconnect()?;
    peer.works()
}

fn silence<'a, P: Peer<'a>>(peer: &mut P) -> Outcome {
    peer.await_request()?;
    peer.device().waits()
}

fn overwrite<'a, P: Peer<'a>>(peer: &mut P) -> Outcome {
    peer.await_request()?;
    let start = Instant::now();
    let mut value = 1_u32;
    while start.elapsed() < STORM / 2 {
        for page in peer.pages() {
            // All but the index of the responses, which says that there are some.
            for (at, word) in page.words().iter().enumerate().filter(|(at, _)| at * 4 != RESPONSES)
            {
                value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223 + at as u32);
                word.store(value, SeqCst);
            }
        }
        peer.device().notify();
        peer.device().waits()?;
    }
    peer.reconnect()?;
    peer.works()
}

fn hang_up<'a, P: Peer<'a>>(peer: &mut P) -> Outcome {
    peer.await_request()?;
    peer.device_mut().hang_up();
    peer.device().waits()?;
    peer.reconnect()?;
    peer.works()
}

fn die<'a, P: Peer<'a>>(peer: &mut P) -> Outcome {
    peer.await_request()?;
    peer.unmap();
    peer.device().waits()?;
    peer.reconnect()?;
    peer.works()
}

fn vanish<'a, P: Peer<'a>>(peer: &mut P) -> Outcome {
    peer.await_request()?;
    peer.unmap();
    peer.device().guest.store.remove(&peer.device().back)?;
    peer.device().until_state("6")?;
    peer.device().waits()?;
    peer.device().offer(P::NODES)?;
    peer.reconnect()?;
    peer.works()
}

fn detach<'a, P: Peer<'a>>(peer: &mut P) -> Outcome {
    peer.await_request()?;
    let Device { guest, front, back, .. } = peer.device();
    guest.store.remove(front)?;
    guest.store.remove(back)?;
    peer.unmap();
    peer.device().ends("gone")
}

fn toggle<'a, P: Peer<'a>>(peer: &mut P) -> Outcome {
    peer.works()?;
    peer.unmap();
    let start = Instant::now();
    while start.elapsed() < STORM {
        for state in ["5", "6", "2", "4", "1", "3", "7", "8", "0", "x"] {
            peer.device().put("state", state)?;
        }
        // As fast as the front end follows, too.
        peer.device().put("state", "6")?;
        sleep(Duration::from_millis(5));
        peer.device().put("state", "2")?;
        sleep(Duration::from_millis(5));
        peer.device().put("state", "4")?;
    }
    peer.device().waits()?;
    peer.reconnect()?;
    peer.works()
}

/// A group that comes back again and again costs nothing.
pub fn come_back_again<'a, P: Peer<'a>>(group: &mut [P]) -> Outcome {
    group.iter_mut().try_for_each(P::connect)?;
    group.iter_mut().try_for_each(P::works)?;
    reconnect_all(group)?;
    let mut all = vec![usage(group)?];
    for _ in 0..RECONNECTS {
        reconnect_all(group)?;
        all.push(usage(group)?);
    }
    let grants = |usage: &Usage| (usage.grants, usage.deferred);
    let is_lost = all.iter().any(|usage| grants(usage) != grants(&all[0]))
        || usual_growth(&all, |usage| -usage.pages) > PAGES
        || usual_growth(&all, |usage| usage.heap) > BYTES;
    if is_lost { Err(format!("what they used is lost: {all:?}").into()) } else { Ok(()) }
}

/// By how much something grows from one usage to the next, two times of three at least: what is lost
/// is lost each time, and on a busy machine, a reserve may grow in every other.
fn usual_growth(all: &[Usage], what: fn(&Usage) -> i64) -> i64 {
    let growth = all.windows(2).map(|pair| what(&pair[1]) - what(&pair[0]));
    let mut growth: Vec<i64> = growth.collect();
    growth.sort_unstable();
    growth.get(growth.len() / 3).copied().unwrap_or(0)
}

/// All go, and then all come back: so they wait together, where they are left alone.
fn reconnect_all<'a, P: Peer<'a>>(group: &mut [P]) -> Outcome {
    group.iter().try_for_each(P::leave)?;
    group.iter_mut().try_for_each(P::come_back)?;
    group.iter_mut().try_for_each(P::finish)?;
    group.iter_mut().try_for_each(P::works)
}

/// What the guest has and uses.
#[derive(Debug, Default)]
struct Usage {
    /// Free pages.
    pages: i64,
    /// Free grants, and deferred ones.
    grants: i64,
    deferred: i64,
    /// Bytes of the heap that are in use.
    heap: i64,
}

/// Asks for that when nothing is under way.
fn usage<'a, P: Peer<'a>>(group: &mut [P]) -> Outcome<Usage> {
    let Some(first) = group.first() else { return Ok(Usage::default()) };
    let guest = first.device().guest;
    guest.ask("rest")?;
    let end = Instant::now() + Duration::from_millis(100);
    while Instant::now() < end {
        group.iter_mut().try_for_each(P::settle)?;
        sleep(Duration::from_millis(2));
    }
    let text = guest.ask("usage")?;
    guest.ask("go")?;
    let numbers: Vec<i64> = text.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    match numbers[..] {
        [pages, grants, deferred, heap] => Ok(Usage { pages, grants, deferred, heap }),
        _ => Err(format!("the agent's usage is `{text}`").into()),
    }
}

/// An idle guest uses no processor.
pub fn is_idle(guest: &Guest) -> Outcome {
    guest.ask("rest")?;
    // What is on its way comes to its end.
    sleep(Duration::from_millis(300));
    let before = guest.seconds()?;
    sleep(Duration::from_secs(1));
    let used = guest.seconds()? - before;
    println!("in an idle second the guest has run for {used:.1} s");
    if used > IDLE { Err("the guest spins".into()) } else { Ok(()) }
}
