//! A process cannot change its page tables; addresses are what they are.
