//! The socket layer against itself, against a plain smoltcp and against scripted peers, over a
//! simulated link in virtual time.

mod addresses;
mod heap;
mod hostile;
mod link;
mod peer;
mod support;
mod tcp;
mod udp;
