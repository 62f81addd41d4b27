//! The states of front end and back end, against a fake of XenStore.

extern crate std;

mod arrivals;
mod connect;
mod moments;

use std::{cell::Cell, rc::Rc, string::ToString};

use super::*;
use crate::{
    fake::{Back, Guest},
    store::Store,
};

type Negotiated = Rc<Cell<Option<Result<Frontend<Negotiating>, BusError>>>>;
type Published = Rc<Cell<Option<Result<Frontend<Connected>, BusError>>>>;

fn back(guest: &Guest) -> Back<'_> {
    Back::new(guest, "device/test/3")
}

/// Has the guest look for its back end.
fn negotiate(back: &Back<'_>) -> Negotiated {
    let negotiated = look_for(back);
    back.guest.settle();
    negotiated
}

/// The same, in a moment.
fn look_for(back: &Back<'_>) -> Negotiated {
    let (store, directory) = (back.guest.bench.store.clone(), back.directory);
    back.guest.spawn(async move { Frontend::begin(&store, directory).await?.negotiate().await })
}

/// Has the guest publish its nodes.
fn publish(back: &Back<'_>, negotiated: &Negotiated) -> Published {
    let Some(Ok(frontend)) = negotiated.take() else { panic!("it does not negotiate") };
    let mut offer = Offer::default();
    offer.add("ring-ref", 77);
    let connected = back.guest.spawn(async move { frontend.connect(offer).await });
    back.guest.settle();
    connected
}
