//! The store against a server that does what it should, and one that does not.

extern crate std;

mod anew;
mod hostile;
mod nodes;
mod requests;
mod resumed;
mod transactions;
mod watches;
