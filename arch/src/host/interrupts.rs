//! A process has no interrupt lines; devices are waited for in `cpu::wait_for_interrupt`.
