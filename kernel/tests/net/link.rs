//! A simulated Ethernet link between two devices, with faults from a seeded generator. Time is the
//! simulation's, so a run takes milliseconds and is the same every time.

mod device;
mod faults;
mod trace;

use std::{cell::RefCell, collections::VecDeque, rc::Rc, task::Waker};

use mayfly::time::Instant;
use mayfly_device::LinkChange;

pub use device::LinkDevice;
pub use faults::{Dice, Faults};

#[derive(Default)]
struct Direction {
    frames: VecDeque<(Instant, Vec<u8>)>,
    receiver: Option<Waker>,
    sender: Option<Waker>,
    sent: u64,
    /// Long packets that the device had to cut.
    cut: u64,
}

type Tap = dyn FnMut(usize, &[u8]) -> bool;

struct Wire {
    /// Frames to end 0 and to end 1.
    to: [Direction; 2],
    faults: Faults,
    dice: Dice,
    /// Sees every frame before faults: from which end, and its bytes. Says whether it goes on.
    tap: Option<Box<Tap>>,
    gone: bool,
    /// What has become of the links of the devices that were not asked.
    changes: [Option<LinkChange>; 2],
    /// Whether the devices have a link.
    up: [bool; 2],
}

/// A handle to the link, to change its faults while it runs.
#[derive(Clone)]
pub struct Link(Rc<RefCell<Wire>>);

impl Link {
    /// A link and its two devices, with the MAC addresses 02:00:00:00:00:01 and …:02.
    pub fn new(faults: Faults, seed: u64) -> (Self, LinkDevice, LinkDevice) {
        let (to, dice) = (Default::default(), Dice(seed));
        let wire =
            Wire { to, faults, dice, tap: None, gone: false, changes: [None; 2], up: [true; 2] };
        let link = Self(Rc::new(RefCell::new(wire)));
        (link.clone(), LinkDevice::new(&link, 0), LinkDevice::new(&link, 1))
    }

    /// Connects the device of an end anew.
    pub fn move_end(&self, end: usize) {
        self.change(end, LinkChange::Up);
    }

    /// Takes the link of an end away, or gives it back.
    pub fn change(&self, end: usize, change: LinkChange) {
        let wire = &mut *self.0.borrow_mut();
        wire.changes[end] = Some(change);
        wire.up[end] = change == LinkChange::Up;
        wire.to[end].receiver.take().into_iter().for_each(Waker::wake);
    }

    pub fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    pub fn tap(&self, tap: impl FnMut(usize, &[u8]) -> bool + 'static) {
        self.0.borrow_mut().tap = Some(Box::new(tap));
    }

    /// Puts a frame on the way to end `end`, without faults.
    pub fn inject(&self, end: usize, frame: &[u8]) {
        let wire = &mut *self.0.borrow_mut();
        let direction = &mut wire.to[end];
        direction.frames.push_back((Instant::now(), frame.to_vec()));
        if let Some(waker) = direction.receiver.take() {
            waker.wake();
        }
    }

    /// Frames that end `end` has sent.
    pub fn sent_by(&self, end: usize) -> u64 {
        self.0.borrow().to[1 - end].sent
    }

    /// Long packets that end `end` has had cut by its device.
    pub fn cut_by(&self, end: usize) -> u64 {
        self.0.borrow().to[1 - end].cut
    }

    /// Takes the devices away.
    pub fn cut(&self) {
        let wire = &mut *self.0.borrow_mut();
        wire.gone = true;
        for direction in &mut wire.to {
            for waker in [direction.receiver.take(), direction.sender.take()].into_iter().flatten()
            {
                waker.wake();
            }
        }
    }
}
