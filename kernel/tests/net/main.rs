//! The socket layer against itself, against a plain smoltcp and against scripted peers, over a
//! simulated link in virtual time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod addresses;
mod adopt;
mod backlog;
mod bulk;
mod closing;
mod crowd;
mod duplex;
mod ends;
mod everybody;
mod flood;
mod heap;
mod hostile;
mod link;
mod loss;
mod moved;
mod names;
mod neighbors;
mod peer;
mod plain;
mod routers;
mod routes;
mod sender;
mod stale;
mod support;
mod tcp;
mod turns;
mod udp;
mod windows;
