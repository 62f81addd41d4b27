//! Guests that do what dom0 asks for: it writes a number and a command to `data/command`, and finds
//! the number with the answer in `data/answer`. At first that is 0, when the guest is ready.

use mayfly::{
    Machine, Result,
    alloc::{format, string::String},
};

/// Has `answer` answer each command, until it gives none.
///
/// # Errors
/// Without XenStore, or if it fails.
pub async fn obey(
    machine: &Machine,
    mut answer: impl AsyncFnMut(&str) -> Option<String>,
) -> Result {
    let store = machine.xen().ok_or("this guest is for Xen")?.store();
    let mut watch = store.watch("data/command").await?;
    let mut last = String::new();
    store.write("data/answer", "0").await?;
    loop {
        watch.next().await?;
        let Ok(command) = store.read_text("data/command").await else { continue };
        if command == last {
            continue;
        }
        let (number, words) = command.split_once(' ').unwrap_or((&command, ""));
        let Some(answer) = answer(words).await else { return Ok(()) };
        store.write("data/answer", format!("{number} {answer}")).await?;
        last = command;
    }
}
