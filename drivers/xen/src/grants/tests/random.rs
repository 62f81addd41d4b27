//! Random sequences of all that can happen.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Grant,
    GrantReserved,
    Use(usize),
    EndUse(usize),
    Drop(usize),
    Poll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Grant),
        2 => Just(Step::GrantReserved),
        2 => any::<usize>().prop_map(Step::Use),
        2 => any::<usize>().prop_map(Step::EndUse),
        3 => any::<usize>().prop_map(Step::Drop),
        1 => Just(Step::Poll),
    ];
    proptest::collection::vec(step, 0..300)
}

proptest! {
    /// Whatever happens in whatever order, entries are given to one at a time, pages live exactly as
    /// long as their grant or their use, and all comes back in the end.
    #[test]
    fn nothing_is_lost_and_nothing_is_given_twice(steps in steps()) {
        let (_, table) = table(1);
        let pages = count();
        let reservation = table.reserve(20).unwrap();
        // So that exhaustion is met.
        let others: Vec<_> = (0..FIRST_FRAME - 20 - 30).map(|_| grant(table, pages)).collect();
        let mut grants: Vec<Grant<Page<'static>>> = Vec::new();
        let mut in_use: Vec<GrantRef> = Vec::new();
        for step in steps {
            match step {
                Step::Grant | Step::GrantReserved => {
                    let page = Page::new(pages);
                    let result = match step {
                        Step::Grant => table.grant(DOM0, page, Access::ReadWrite),
                        _ => reservation.grant(DOM0, page, Access::ReadOnly),
                    };
                    match result {
                        Ok(grant) => {
                            let reference = grant.reference();
                            prop_assert!(grants.iter().all(|other| other.reference() != reference));
                            prop_assert!(!in_use.contains(&reference));
                            grants.push(grant);
                        }
                        Err((GrantError::Full, _)) => prop_assert_eq!(table.free(), 0),
                        Err((GrantError::ReservationUsedUp, _)) => {
                            prop_assert_eq!(reservation.left(), 0);
                        }
                        Err((error, _)) => panic!("{error}"),
                    }
                }
                Step::Use(index) if !grants.is_empty() => {
                    let reference = grants[index % grants.len()].reference();
                    if !in_use.contains(&reference) {
                        set_flags(table, reference, READING);
                        in_use.push(reference);
                    }
                }
                Step::EndUse(index) if !in_use.is_empty() => {
                    let reference = in_use.swap_remove(index % in_use.len());
                    clear_flags(table, reference, READING);
                }
                Step::Drop(index) if !grants.is_empty() => {
                    drop(grants.swap_remove(index % grants.len()));
                }
                Step::Poll => {
                    let left = table.poll_deferred();
                    prop_assert!(left <= in_use.len());
                }
                _ => {}
            }
            prop_assert_eq!(pages.get(), others.len() + grants.len() + table.deferred());
        }
        drop(grants);
        prop_assert_eq!(table.poll_deferred(), in_use.len());
        in_use.iter().for_each(|reference| clear_flags(table, *reference, READING));
        prop_assert_eq!(table.poll_deferred(), 0);
        drop((reservation, others));
        prop_assert_eq!((table.free(), pages.get()), (FIRST_FRAME, 0));
    }
}
