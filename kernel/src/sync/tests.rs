use std::{cell::RefCell, rc::Rc, task::Poll, time::Duration};

use mayfly_arch::simulation;

use super::{
    channel::{Closed, TryReceiveError, TrySendError},
    *,
};
use crate::{
    executor::{run, spawn, yield_now},
    time::{sleep, timeout},
};

#[test]
fn a_channel_keeps_order_and_waits_for_room() {
    run(async {
        let (sender, mut receiver) = channel(2);
        let producer = spawn(async move {
            for i in 0..100 {
                sender.send(i).await.unwrap();
            }
        });
        let mut received = Vec::new();
        while let Some(value) = receiver.receive().await {
            received.push(value);
        }
        assert!(received.into_iter().eq(0..100));
        producer.await.unwrap();
    });
}

#[test]
fn a_place_goes_to_the_sender_that_waited_longest() {
    run(async {
        let (sender, mut receiver) = channel(1);
        sender.try_send(0).unwrap();
        for i in [1, 2] {
            let sender = sender.clone();
            spawn(async move { sender.send(i).await.unwrap() }).detach();
        }
        yield_now().await;
        assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
        assert_eq!(receiver.try_receive(), Ok(0));
        // The place is free but promised.
        assert_eq!(sender.try_send(9), Err(TrySendError::Full(9)));
        assert_eq!(receiver.try_receive(), Err(TryReceiveError::Empty));
        assert_eq!(receiver.receive().await, Some(1));
        assert_eq!(receiver.receive().await, Some(2));
        drop(sender);
        assert_eq!(receiver.try_receive(), Err(TryReceiveError::Closed));
        assert_eq!(receiver.receive().await, None);
    });
}

#[test]
fn a_cancelled_sender_passes_its_place_on() {
    run(async {
        let (sender, mut receiver) = channel(1);
        sender.try_send(0).unwrap();
        let [first, second] = [1, 2].map(|i| {
            let sender = sender.clone();
            spawn(async move { sender.send(i).await })
        });
        yield_now().await;
        assert_eq!(receiver.try_receive(), Ok(0));
        drop(first);
        assert_eq!(receiver.receive().await, Some(2));
        assert_eq!(second.await, Ok(Ok(())));
        assert!(sender.try_send(3).is_ok());
    });
}

#[test]
fn senders_learn_that_the_receiver_is_gone() {
    run(async {
        let (sender, receiver) = channel(1);
        sender.try_send("unread").unwrap();
        let waiting = {
            let sender = sender.clone();
            spawn(async move { sender.send("late").await })
        };
        yield_now().await;
        drop(receiver);
        assert_eq!(waiting.await, Ok(Err(Closed("late"))));
        assert_eq!(sender.send("later").await, Err(Closed("later")));
        assert_eq!(sender.try_send("latest"), Err(TrySendError::Closed("latest")));
        assert!(sender.is_closed());
    });
}

#[test]
fn oneshot_carries_one_value_or_the_news_that_there_is_none() {
    run(async {
        let (sender, receiver) = oneshot::channel();
        let waiting = spawn(receiver);
        yield_now().await;
        sender.send(7).unwrap();
        assert_eq!(waiting.await, Ok(Ok(7)));

        let (sender, receiver) = oneshot::channel::<u8>();
        let waiting = spawn(receiver);
        yield_now().await;
        drop(sender);
        assert_eq!(waiting.await, Ok(Err(oneshot::Cancelled)));

        let (sender, receiver) = oneshot::channel();
        drop(receiver);
        assert_eq!(sender.send(8), Err(8));
    });
}

#[test]
fn notify_wakes_one_or_all_and_remembers_one() {
    run(async {
        let notify = Rc::new(Notify::new());
        let woken = Rc::new(RefCell::new(Vec::new()));
        for i in 0..4 {
            let (notify, woken) = (Rc::clone(&notify), Rc::clone(&woken));
            spawn(async move {
                notify.notified().await;
                woken.borrow_mut().push(i);
            })
            .detach();
        }
        yield_now().await;
        notify.notify_one();
        yield_now().await;
        assert_eq!(*woken.borrow(), [0]);
        notify.notify_all();
        yield_now().await;
        assert_eq!(*woken.borrow(), [0, 1, 2, 3]);
        notify.notify_all();
        notify.notify_one();
        notify.notify_one();
        notify.notified().await;
        assert!(embassy_futures::poll_once(notify.notified()).is_pending());
    });
}

#[test]
fn a_notification_for_a_cancelled_task_reaches_the_next() {
    run(async {
        let notify = Rc::new(Notify::new());
        let [first, second] = [(); 2].map(|()| {
            let notify = Rc::clone(&notify);
            spawn(async move { notify.notified().await })
        });
        yield_now().await;
        notify.notify_one();
        drop(first);
        assert_eq!(second.await, Ok(()));
    });
}

#[test]
fn the_mutex_is_handed_over_in_order() {
    simulation::start();
    run(async {
        let mutex = Rc::new(Mutex::new(Vec::new()));
        let held = mutex.lock().await;
        let tasks: Vec<_> = (0..3)
            .map(|i| {
                let mutex = Rc::clone(&mutex);
                spawn(async move {
                    let mut log = mutex.lock().await;
                    sleep(Duration::from_secs(3 - i)).await;
                    log.push(i);
                })
            })
            .collect();
        yield_now().await;
        assert!(mutex.try_lock().is_none());
        drop(held);
        // Nobody overtakes those who wait.
        assert!(mutex.try_lock().is_none());
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*mutex.try_lock().unwrap(), [0, 1, 2]);
    });
}

#[test]
fn a_cancelled_lock_does_not_keep_the_mutex() {
    simulation::start();
    run(async {
        let mutex = Rc::new(Mutex::new(()));
        let held = mutex.lock().await;
        assert!(timeout(Duration::from_secs(1), mutex.lock()).await.is_err());
        let waiting = {
            let mutex = Rc::clone(&mutex);
            spawn(async move { drop(mutex.lock().await) })
        };
        yield_now().await;
        drop(held);
        // It has the lock but never learns of it.
        drop(waiting);
        assert!(mutex.try_lock().is_some());
    });
}

#[test]
fn only_a_notification_of_one_is_passed_on() {
    run(async {
        let notify = Notify::new();
        let is_stored = || embassy_futures::poll_once(notify.notified()).is_ready();
        for (of_all, stored) in [(true, false), (false, true)] {
            let mut waiting = Box::pin(notify.notified());
            assert!(embassy_futures::poll_once(waiting.as_mut()).is_pending());
            if of_all {
                notify.notify_all();
            } else {
                notify.notify_one();
            }
            drop(waiting);
            assert_eq!(is_stored(), stored);
        }
    });
}

#[test]
fn wait_queues_return_their_memory() {
    run(async {
        let notify = Rc::new(Notify::new());
        let tasks: Vec<_> = (0..1000)
            .map(|_| {
                let notify = Rc::clone(&notify);
                spawn(async move { notify.notified().await })
            })
            .collect();
        yield_now().await;
        for (task, i) in tasks.into_iter().zip(0..) {
            if i % 3 == 0 {
                drop(task);
            } else {
                task.detach();
            }
        }
        notify.notify_all();
        yield_now().await;
        assert!(matches!(embassy_futures::poll_once(notify.notified()), Poll::Pending));
    });
}

#[test]
fn select_takes_what_is_first_and_drops_the_other() {
    simulation::start();
    run(async {
        let slow = Rc::new(());
        let held = Rc::clone(&slow);
        let waits = async move {
            sleep(Duration::from_secs(9)).await;
            drop(held);
        };
        let quick = async {
            sleep(Duration::from_secs(1)).await;
            7
        };
        assert!(matches!(select(waits, quick).await, Either::Second(7)));
        assert_eq!(Rc::strong_count(&slow), 1, "the other is kept");
        // Of two that are ready, the first.
        assert!(matches!(select(async { 1 }, async { 2 }).await, Either::First(1)));
        assert_eq!(join(yield_now(), async { 3 }).await, ((), 3));
        let (array, index) = select_array([9, 2, 5].map(|at| sleep(Duration::from_secs(at)))).await;
        assert_eq!((array, index), ((), 1));
    });
}
