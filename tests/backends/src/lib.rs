//! What programs for dom0 need that play back ends of Xen's devices: see `src/bin`.

pub mod xen;
