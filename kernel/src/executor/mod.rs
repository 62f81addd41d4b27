//! Tasks: everything that happens in a guest happens in one of them.
//!
//! One executor runs on the one vCPU. It polls tasks in the order in which they were woken; a task
//! that wakes itself goes to the end of the line. Between two polls nothing is locked and nothing
//! is shared, so tasks share state by `Rc<RefCell<…>>`. When no task is ready the vCPU halts until
//! the next timer or interrupt. Interrupt handlers wake tasks through the ready queue, which needs
//! neither memory nor a lock (`ready.rs`).
//!
//! ```
//! use core::time::Duration;
//! use mayfly::{executor, time};
//!
//! # mayfly_arch::simulation::start();
//! let answer = executor::run(async {
//!     let worker = executor::spawn(async {
//!         time::sleep(Duration::from_secs(1)).await;
//!         42
//!     });
//!     executor::spawn_named("heartbeat", async {
//!         let mut ticks = time::interval(Duration::from_millis(100));
//!         loop {
//!             ticks.tick().await;
//!         }
//!     })
//!     .detach();
//!     worker.await
//! });
//! assert_eq!(answer, Ok(42));
//! ```
#![forbid(unsafe_code)]

mod describe;
mod ending;
mod join;
mod ready;
mod scheduler;
pub(crate) mod slab;
mod survival;
mod task;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use core::{future::poll_fn, panic::Location, task::Poll};

pub use describe::{Awaiting, TaskInfo, TaskName, TaskState};
pub use join::{JoinError, JoinHandle};

use crate::memory::{OutOfMemory, try_box};
use scheduler::Executor;

mayfly_arch::local! {
    static EXECUTOR: Executor = Executor::new();
}

/// Starts a task and returns its handle: await it for the result, drop it to cancel the task, or
/// `.detach()` it to let the task run on its own. The task first runs after those that are ready
/// already.
///
/// The fault report calls the task by the place of this call; see [`spawn_named`].
#[track_caller]
pub fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> JoinHandle<F::Output> {
    or_panic(admit(Box::new(future), TaskName::SpawnedAt(Location::caller()), false))
}

/// As [`spawn`], with a name for the fault report.
pub fn spawn_named<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: 'static> + 'static,
{
    or_panic(admit(Box::new(future), TaskName::Named(name), false))
}

/// As [`spawn_named`], for tasks whose number a peer decides, such as one for each connection.
///
/// # Errors
/// When there is no memory for the task; `future` is dropped then.
pub fn try_spawn<F>(name: &'static str, future: F) -> Result<JoinHandle<F::Output>, OutOfMemory>
where
    F: Future<Output: 'static> + 'static,
{
    admit(try_box(future, name)?, TaskName::Named(name), false)
}

/// As [`spawn_named`], for tasks without which nothing works: a panic in one ends the guest even if
/// the app chose to survive panics.
pub(crate) fn spawn_essential<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: 'static> + 'static,
{
    or_panic(admit(Box::new(future), TaskName::Named(name), true))
}

fn admit<F>(
    future: Box<F>,
    name: TaskName,
    is_essential: bool,
) -> Result<JoinHandle<F::Output>, OutOfMemory>
where
    F: Future<Output: 'static> + 'static,
{
    let future = Box::into_pin(future);
    EXECUTOR.with(|executor| executor.admit(future, name, is_essential)).map(JoinHandle::new)
}

fn or_panic<T>(result: Result<T, OutOfMemory>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// Runs `main`, and all tasks beside it, until `main` is done. Tasks that have not ended by then
/// are cancelled.
///
/// The kernel calls this with the app's main function; host tests call it themselves.
///
/// # Panics
/// When a task calls it.
pub fn run<F: Future>(main: F) -> F::Output {
    EXECUTOR.with(|executor| executor.run(main, TaskName::Named("main")))
}

/// Chooses what a panic in a task ends: the guest, as at first, or only the task, whose handle then
/// gives [`JoinError::Panicked`]. Either way it is reported.
///
/// In a guest, what the panicking code had in use stays in use: memory, and `RefCell`s and mutexes
/// that it had borrowed or locked. A guest survives eight panics, none in `main` or with interrupts
/// off, and neither a processor exception nor an overflow of the stack.
pub fn survive_panics(survive: bool) {
    EXECUTOR.with(|executor| executor.survival.choose(survive));
}

/// Runs the app: as [`run`], but so that it can go on after a panic, see [`go_on`].
pub(crate) fn run_app<F>(main: F) -> Result<F::Output, JoinError>
where
    F: Future<Output: 'static> + 'static,
{
    let app = spawn_essential("main", main);
    #[cfg(target_os = "none")]
    EXECUTOR.with(|executor| executor.app.set(app.index()));
    EXECUTOR.with(|executor| executor.run(app, TaskName::Named("end of main")))
}

/// Ends the task that has panicked. Returns whether the guest can live on without it: then the
/// panic handler calls [`go_on`].
#[cfg(target_os = "none")]
pub(crate) fn abandon_task() -> bool {
    !mayfly_arch::in_interrupt() && !crate::memory::is_at_work() && EXECUTOR.with(Executor::abandon)
}

/// Runs the app on after a panic, and returns its result: what [`run_app`] did with a `main` whose
/// result is a `T`, and will not do any more.
#[cfg(target_os = "none")]
pub(crate) fn go_on<T: 'static>() -> Result<T, JoinError> {
    EXECUTOR.with(|executor| executor.go_on(JoinHandle::new(executor.app.get())))
}

/// Lets all other ready tasks run before this one goes on.
pub async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if has_yielded {
            return Poll::Ready(());
        }
        has_yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Says what the running task waits for, for the fault report. Futures that return `Pending` by
/// themselves call it right before; the first call in a poll counts, so that in a `select` or
/// `timeout` the first branch speaks.
pub fn describe(awaiting: Awaiting) {
    EXECUTOR.with(|executor| executor.describe(awaiting));
}

/// Shows every task to `see`, in the middle of a poll too. Returns false if the tasks cannot be
/// looked at: in an interrupt handler, or when the executor was changing its tables.
pub fn tasks(see: impl FnMut(&TaskInfo)) -> bool {
    !mayfly_arch::in_interrupt() && EXECUTOR.with(|executor| executor.inspect(see))
}
