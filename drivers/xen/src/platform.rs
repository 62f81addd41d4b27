//! The start: what every guest of Xen finds.

use alloc::boxed::Box;
use core::{cell::Cell, fmt};

use mayfly_arch::{Irq, PAGE_SIZE};
use mayfly_device::{ConsoleDevice, InterruptHandler};

use crate::{
    XenError,
    console::Console,
    events::{EventChannels, Port},
    grants::{ForeignPages, GrantTable},
    hypercalls::{self, Hypercalls, Parameter},
    shared_page::{SharedPage, TakenFrame, Window},
    store::FoundStore,
    timer,
};

/// Frames that the grant table may have. Xen's default is to give that many.
const TABLE_FRAMES: usize = 64;

/// Xen, ready for use.
pub struct Xen {
    events: &'static EventChannels,
    upcall: Irq,
    callback: Option<u64>,
    console: Option<Console>,
    store: Option<FoundStore>,
}

/// Why there is no use of Xen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// It does not show what it shares with its guests.
    SharedInfo(XenError),
    /// What it shares with its guests cannot be mapped.
    Map,
    /// It does not interrupt.
    Callback(XenError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SharedInfo(error) => write!(f, "the shared information cannot be had: {error}"),
            Self::Map => f.write_str("what it shares cannot be mapped; start it before sealing"),
            Self::Callback(error) => write!(f, "events cannot be announced: {error}"),
        }
    }
}

impl core::error::Error for StartError {}

/// What drivers share with other domains.
#[derive(Clone, Copy)]
pub struct Sharing {
    /// Event channels.
    pub events: &'static EventChannels,
    /// Pages that other domains may access.
    pub grants: &'static GrantTable,
    /// Pages of other domains.
    pub foreign: &'static ForeignPages,
}

mayfly_arch::local! {
    static SHARING: Cell<Option<Sharing>> = Cell::new(None);
}

/// Where the start has found things, which is where they have to be in another domain, too: page
/// tables do not change any more.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    pub(crate) shared_info: TakenFrame,
    /// See [`mayfly_arch::Xen`].
    pub(crate) callback: Option<u64>,
    pub(crate) console: Option<u64>,
    pub(crate) store: Option<u64>,
}

mayfly_arch::local! {
    static PLACES: Cell<Option<Places>> = Cell::new(None);
}

/// Where the start has found things.
pub(crate) fn places() -> Option<Places> {
    PLACES.with(Cell::get)
}

/// What is shared with other domains, once [`start`] has run: for test guests.
#[doc(hidden)]
pub fn sharing() -> Option<Sharing> {
    SHARING.with(Cell::get)
}

/// Takes Xen into use: its events, and its console for polled output. Must run before the page
/// tables are sealed, once.
///
/// # Errors
/// [`StartError`]; the guest can go on without.
pub fn start(xen: &mayfly_arch::Xen) -> Result<Xen, StartError> {
    let frame = xen.window.start().0 / PAGE_SIZE as u64;
    // SAFETY: nothing but Xen's own pages is in the window, and this is the first use of it. Mapping
    // comes first, because it fails where there is memory after all, which Xen would take away.
    let place = unsafe { Window::map(frame, 1) }.and_then(|mut window| window.take());
    let place = place.ok_or(StartError::Map)?;
    let placed = hypercalls::place_shared_info(place).map_err(StartError::SharedInfo)?;
    let (page, shared_info) = placed;
    mayfly_arch::xen::use_shared_info(page.words(), xen.wall_clock);
    let events = EventChannels::new(page, xen.pending, xen.mask).ok_or(StartError::Map)?;
    let events = &*Box::leak(Box::new(events));
    let window = |from: u64, count: usize| {
        let last = from.checked_add(count as u64)?;
        (last <= xen.window.end().0 / PAGE_SIZE as u64).then_some(())?;
        // SAFETY: nothing but Xen's own pages is in the window, and each part is taken once.
        unsafe { Window::map(from, count) }
    };
    let grants = window(frame + 1, TABLE_FRAMES).ok_or(StartError::Map)?;
    let foreign = window(frame + 1 + TABLE_FRAMES as u64, Window::MAX).ok_or(StartError::Map)?;
    let sharing = Sharing {
        events,
        grants: Box::leak(Box::new(GrantTable::new(grants, &Hypercalls))),
        foreign: Box::leak(Box::new(ForeignPages::new(foreign, &Hypercalls))),
    };
    SHARING.with(|cell| cell.set(Some(sharing)));
    let console = FoundRing::console();
    let store = FoundRing::store();
    let places = Places {
        shared_info,
        callback: xen.callback,
        console: console.map(|ring| ring.frame),
        store: store.map(|ring| ring.frame),
    };
    PLACES.with(|cell| cell.set(Some(places)));
    let map = |ring: Option<FoundRing>| ring.and_then(FoundRing::map);
    Ok(Xen {
        events,
        upcall: xen.upcall,
        callback: xen.callback,
        console: map(console).map(|(page, port)| Console::new(page, port)),
        store: map(store).map(|(page, port)| FoundStore::new(page, port, events)),
    })
}

/// What Xen's tools have made for the guest, the console or XenStore: the frame of its page and its
/// event channel.
#[derive(Clone, Copy)]
pub(crate) struct FoundRing {
    pub(crate) frame: u64,
    pub(crate) port: Port,
}

impl FoundRing {
    /// The console.
    pub(crate) fn console() -> Option<Self> {
        Self::find(Parameter::ConsoleFrame, Parameter::ConsolePort)
    }

    /// XenStore.
    pub(crate) fn store() -> Option<Self> {
        Self::find(Parameter::StoreFrame, Parameter::StorePort)
    }

    /// `None` if there is none: Xen itself, when it builds a guest without dom0, makes none.
    fn find(frame: Parameter, port: Parameter) -> Option<Self> {
        let frame = hypercalls::parameter(frame).ok().filter(|frame| *frame != 0)?;
        let port = Port::new(hypercalls::parameter(port).ok()?)?;
        Some(Self { frame, port })
    }

    /// Maps the page.
    fn map(self) -> Option<(SharedPage, Port)> {
        // SAFETY: the builder of the domain puts a page there, which stays (tools/libs/guest). All
        // ones, which means that there is none yet, is no frame.
        let page = unsafe { SharedPage::map(self.frame) }?;
        Some((page, self.port))
    }
}

impl Xen {
    /// The interrupt by which Xen announces events, and what to call when it arrives.
    pub fn upcall(&self) -> (Irq, &'static dyn InterruptHandler) {
        (self.upcall, self.events)
    }

    /// Lets Xen interrupt, now that the handler is in its place. Deadlines are Xen's from then on,
    /// where that is worth it.
    ///
    /// # Errors
    /// [`StartError::Callback`]
    pub fn announce_events(&self) -> Result<(), StartError> {
        self.callback.map_or(Ok(()), hypercalls::set_callback).map_err(StartError::Callback)?;
        timer::start(self.events);
        Ok(())
    }

    /// Starts the driver of the console, if the guest has one.
    pub fn start_console(&mut self) -> Option<Box<dyn ConsoleDevice>> {
        self.console.take()?.start(self.events)
    }

    /// XenStore, if the guest has one. The first call gives it.
    pub fn take_store(&mut self) -> Option<FoundStore> {
        self.store.take()
    }
}
