//! The socket layer against itself, against a plain smoltcp and against scripted peers, over a
//! simulated link in virtual time.

mod link;
mod support;
mod tcp;
mod udp;
