use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::mpsc,
    thread,
    time::Duration,
};

use mayfly_arch::simulation;

use super::*;
use crate::time::{Instant, Watchdog, interval, sleep, timeout};

/// Notes when it is dropped.
struct OnDrop(Rc<RefCell<Vec<&'static str>>>, &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

fn task_lines() -> Vec<String> {
    let mut all = Vec::new();
    assert!(tasks(|task| all.push(task.to_string())));
    all
}

#[test]
fn results_come_through_the_handle() {
    let text = run(async {
        let outer = spawn(async {
            let inner = spawn(async { 20 });
            inner.await.unwrap() + 1
        });
        format!("{}", outer.await.unwrap() * 2)
    });
    assert_eq!(text, "42");
    assert!(task_lines().is_empty());
}

#[test]
fn tasks_run_in_the_order_in_which_they_were_woken() {
    let log = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let handles: Vec<_> = (0..3)
            .map(|task| {
                let log = Rc::clone(&log);
                spawn(async move {
                    for round in 0..3 {
                        log.borrow_mut().push((round, task));
                        yield_now().await;
                    }
                })
            })
            .collect();
        for handle in handles {
            handle.await.unwrap();
        }
    });
    assert!(log.borrow().is_sorted(), "{log:?}");
    assert_eq!(log.borrow().len(), 9);
}

#[test]
fn a_task_that_is_always_ready_does_not_stop_timers() {
    simulation::start();
    run(async {
        spawn(async {
            loop {
                simulation::advance(1000);
                yield_now().await;
            }
        })
        .detach();
        let start = Instant::now();
        sleep(Duration::from_millis(1)).await;
        let late = start.elapsed() - Duration::from_millis(1);
        // Timers are looked at after every few polls.
        assert!(late < Duration::from_micros(20), "{late:?}");
    });
}

#[test]
fn dropping_the_handle_cancels() {
    simulation::start();
    let log = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let guard = OnDrop(Rc::clone(&log), "dropped");
        let handle = spawn(async move {
            let _guard = guard;
            sleep(Duration::from_secs(1)).await;
        });
        yield_now().await;
        assert_eq!(task_lines().len(), 2);
        drop(handle);
        assert_eq!(*log.borrow(), ["dropped"]);
        assert_eq!(task_lines().len(), 1);
        // Nothing is left that could wake up: the next deadline is this one.
        let start = Instant::now();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    });
}

#[test]
fn aborting_a_ready_task_keeps_its_number_until_it_left_the_queue() {
    run(async {
        let first = spawn(async { 1 });
        first.abort();
        assert!(first.is_finished());
        let second = spawn(async { 2 });
        assert_eq!(first.await, Err(JoinError::Cancelled));
        assert_eq!(second.await, Ok(2));
    });
    assert!(task_lines().is_empty());
}

#[test]
fn a_task_can_cancel_itself() {
    let log = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let slot = Rc::new(RefCell::new(None));
        let (own, guard) = (Rc::clone(&slot), OnDrop(Rc::clone(&log), "dropped"));
        *slot.borrow_mut() = Some(spawn(async move {
            let _guard = guard;
            drop(own.borrow_mut().take());
            yield_now().await;
            unreachable!("it was cancelled");
        }));
        yield_now().await;
        yield_now().await;
        assert_eq!(*log.borrow(), ["dropped"]);
    });
    assert!(task_lines().is_empty());
}

#[test]
fn detached_tasks_run_until_main_ends() {
    simulation::start();
    let log = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let (short, long) = (OnDrop(Rc::clone(&log), "short"), OnDrop(Rc::clone(&log), "long"));
        spawn(async move {
            let _short = short;
            sleep(Duration::from_secs(1)).await;
        })
        .detach();
        spawn(async move {
            let _long = long;
            // Its destructor spawns, which must not keep the executor from ending.
            let _late = OnDrop(Rc::new(RefCell::new(Vec::new())), "");
            sleep(Duration::from_secs(3)).await;
            unreachable!("main ends first");
        })
        .detach();
        sleep(Duration::from_secs(2)).await;
        assert_eq!(*log.borrow(), ["short"]);
    });
    assert_eq!(*log.borrow(), ["short", "long"]);
    assert!(task_lines().is_empty());
}

#[test]
fn handles_may_outlive_the_executor() {
    let (ended, cancelled) = run(async {
        let pair = (spawn(async { "kept".to_owned() }), spawn(std::future::pending::<u8>()));
        yield_now().await;
        pair
    });
    assert_eq!(run(ended), Ok("kept".to_owned()));
    assert_eq!(run(cancelled), Err(JoinError::Cancelled));
}

#[test]
fn a_waker_that_outlives_its_task_wakes_nobody_else() {
    run(async {
        let old = spawn(poll_fn(|cx| Poll::Ready(cx.waker().clone()))).await.unwrap();
        let polls = Rc::new(RefCell::new(0));
        let count = Rc::clone(&polls);
        // Takes the number of the first task.
        let _new = spawn(poll_fn::<(), _>(move |_| {
            *count.borrow_mut() += 1;
            Poll::Pending
        }));
        for _ in 0..3 {
            old.wake_by_ref();
            yield_now().await;
        }
        assert_eq!(*polls.borrow(), 1);
    });
}

#[test]
fn wakes_from_other_threads_end_the_wait() {
    let (send, receive) = mpsc::channel::<std::task::Waker>();
    let thread = thread::spawn(move || {
        for waker in receive {
            thread::sleep(Duration::from_millis(1));
            waker.wake();
        }
    });
    run(async move {
        for _ in 0..20 {
            let mut is_first = true;
            poll_fn(|cx| {
                if !std::mem::take(&mut is_first) {
                    return Poll::Ready(());
                }
                send.send(cx.waker().clone()).unwrap();
                Poll::Pending
            })
            .await;
        }
    });
    thread.join().unwrap();
}

#[test]
fn the_report_names_tasks_and_what_they_wait_for() {
    simulation::start();
    let (line, never) = (line!(), || spawn(std::future::pending::<()>()));
    run(async {
        let _sleeper = spawn_named("sleeper", sleep(Duration::from_secs(1)));
        let _waiter = spawn_named("waiter", async move {
            let _ = timeout(Duration::from_secs(9), never()).await;
        });
        yield_now().await;
        yield_now().await;
        assert_eq!(
            task_lines(),
            [
                "#0 main: running (polled 3 times)".to_owned(),
                "#1 sleeper: waits for its timer at 1001.000 s (polled 1 times)".to_owned(),
                "#2 waiter: waits for the end of task #3 (polled 1 times)".to_owned(),
                format!("#3 task of {}:{line}: waits for an event (polled 1 times)", file!()),
            ]
        );
    });
}

#[test]
#[should_panic(expected = "deadlock in the simulation")]
fn a_deadlock_is_noticed() {
    simulation::start();
    run(std::future::pending::<()>());
}

#[test]
#[should_panic(expected = "called by a task")]
fn run_cannot_be_nested() {
    run(async { run(async {}) });
}

#[test]
fn a_panic_leaves_the_executor_usable() {
    let result = std::panic::catch_unwind(|| {
        run(async {
            spawn(async { panic!("on purpose") }).detach();
            std::future::pending::<()>().await;
        });
    });
    assert!(result.is_err());
    assert!(task_lines().is_empty());
    assert_eq!(run(async { spawn(async { 1 }).await }), Ok(1));
}

#[test]
fn a_panic_ends_only_its_task_if_that_is_chosen() {
    let log = Rc::new(RefCell::new(Vec::new()));
    survive_panics(true);
    run(async {
        let guard = OnDrop(Rc::clone(&log), "dropped");
        let careless = spawn(async move {
            let _guard = guard;
            panic!("on purpose")
        });
        let other = spawn(async { 5 });
        assert_eq!(careless.await, Err::<(), _>(JoinError::Panicked));
        assert_eq!(other.await, Ok(5));
    });
    assert_eq!(*log.borrow(), ["dropped"]);
    assert!(task_lines().is_empty());
}

#[test]
#[should_panic(expected = "cannot do without")]
fn a_panic_in_an_essential_task_is_not_survived() {
    survive_panics(true);
    run(async {
        spawn_essential("network", async { panic!("cannot do without") }).await.ok();
    });
}

#[test]
fn timeouts_and_intervals_keep_virtual_time() {
    simulation::start();
    run(async {
        let start = Instant::now();
        let mut ticks = interval(Duration::from_secs(10));
        assert_eq!(ticks.tick().await - start, Duration::from_secs(10));
        let slow = timeout(Duration::from_secs(1), std::future::pending::<()>()).await;
        assert!(slow.is_err());
        assert_eq!(timeout(Duration::from_secs(1), async { 5 }).await, Ok(5));
        assert_eq!(start.elapsed(), Duration::from_secs(11));
        assert_eq!(ticks.tick().await - start, Duration::from_secs(20));
        simulation::advance(25_000_000_000);
        assert_eq!(ticks.tick().await - start, Duration::from_secs(40));
        assert_eq!(start.elapsed(), Duration::from_secs(45));
        assert_eq!(ticks.tick().await - start, Duration::from_secs(50));
    });
}

#[test]
fn a_watchdog_rings_for_what_takes_too_long() {
    simulation::start();
    run(async {
        let (start, mut watchdog) = (Instant::now(), Watchdog::new());
        for _ in 0..10 {
            let fast = watchdog.timeout(Duration::from_secs(2), sleep(Duration::from_secs(1)));
            assert_eq!(fast.await, Ok(()));
        }
        let slow = watchdog.timeout(Duration::from_secs(2), std::future::pending::<()>());
        assert!(slow.await.is_err());
        assert_eq!(start.elapsed(), Duration::from_secs(12));
        let slow = watchdog.timeout(Duration::from_secs(1), std::future::pending::<()>());
        assert!(slow.await.is_err());
        assert_eq!(start.elapsed(), Duration::from_secs(13));
    });
}

#[test]
fn a_hundred_thousand_sleepers_wake_in_order() {
    simulation::start();
    let count = if cfg!(miri) { 100 } else { 100_000u64 };
    let log = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let start = Instant::now();
        for i in 0..count {
            let log = Rc::clone(&log);
            let at = start + Duration::from_nanos(i.wrapping_mul(7_919) % count);
            spawn(async move {
                crate::time::sleep_until(at).await;
                log.borrow_mut().push(at);
            })
            .detach();
        }
        sleep(Duration::from_secs(1)).await;
    });
    assert_eq!(log.borrow().len() as u64, count);
    assert!(log.borrow().is_sorted());
}

#[test]
fn who_keeps_the_waker_of_an_ended_task_wakes_no_other() {
    run(async {
        let kept = Rc::new(RefCell::new(None));
        let keep = Rc::clone(&kept);
        let ends = spawn(poll_fn(move |cx| {
            *keep.borrow_mut() = Some(cx.waker().clone());
            Poll::Ready(())
        }));
        ends.await.unwrap();
        let polls = Rc::new(Cell::new(0));
        // One of them has its place.
        let others = [(); 4].map(|()| {
            let polls = Rc::clone(&polls);
            spawn(poll_fn(move |_| {
                polls.set(polls.get() + 1);
                Poll::<()>::Pending
            }))
        });
        yield_now().await;
        kept.take().expect("the task has run").wake();
        yield_now().await;
        assert_eq!(polls.get(), others.len());
    });
}
