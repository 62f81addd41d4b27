//! Attribute and derive macros of Mayfly.
