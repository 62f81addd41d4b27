//! XenStore, on Xen: a guest reads what is there, writes below `data`, watches it, and changes it in
//! a transaction. dom0 makes a directory that is longer than a guest's may be, and a value as long as a
//! message may be. What stays there afterwards is for dom0 to look at.
//@ machine: xen
//@ arguments: names=600
//@ dom0: names.sh
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use guests::check;
use mayfly::{
    BootArguments, Machine, Result,
    alloc::{format, vec, vec::Vec},
    println, spawn,
    time::{Duration, sleep},
    xen::{Access, Store, StoreError},
};

/// More nanoseconds than 63 bits can count.
const BEYOND_TIME: Duration = Duration::from_secs(10_000_000_000);

#[derive(BootArguments)]
struct Args {
    /// How many names dom0 will make in `data/names`, before it writes to `data/ready` whether
    /// XenStore can tell them in `parts`, or only `whole`.
    #[arg(default = 0)]
    names: usize,
}

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let args: Args = machine.arguments()?;
    // A deadline that Xen's signed time does not reach keeps nothing from happening.
    spawn(sleep(BEYOND_TIME)).detach();
    let Some(xen) = machine.xen() else {
        return guests::fail("there is no XenStore; this guest is for Xen");
    };
    let store = xen.store();
    let domain = xen.domain().await?;
    println!("domain {domain} is called {}", store.read_text("name").await?);
    let path = store.domain_path(domain).await?;
    check(path == format!("/local/domain/{domain}"), "the domain has another path")?;
    nodes(&store, domain).await?;
    watches(&store).await?;
    transactions(&store).await?;
    at_once(&store).await?;
    quotas(&store).await?;
    if args.names > 0 {
        long_value(&store, domain).await?;
        long_directory(&store, args.names).await?;
    }
    store.write("data/verdict", "pass").await?;
    guests::pass()
}

/// What is written can be read, listed and removed; what is not there, or not allowed, is refused.
async fn nodes(store: &Store, domain: u16) -> Result {
    store.write("data/greeting", "hello").await?;
    check(store.read("data/greeting").await? == b"hello", "the greeting is another")?;
    let missing = store.read("data/missing").await;
    check(missing == Err(StoreError::NotFound), "what is missing can be read")?;
    let forbidden = store.write("/local/domain/0/name", "x").await;
    check(forbidden == Err(StoreError::Denied), "dom0's name can be written")?;
    let invalid = store.write("data//greeting", "x").await;
    check(invalid == Err(StoreError::Invalid), "a path with an empty name is good")?;

    let long = vec![b'x'; 2000];
    store.write("data/long", &long).await?;
    check(store.read("data/long").await? == long, "a long value is another")?;
    let longer = store.write("data/long", vec![b'x'; 4096]).await;
    check(longer == Err(StoreError::TooLarge), "a message may be as long as it likes")?;
    store.remove("data/long").await?;
    store.make_directory("data/directory").await?;
    check(store.read("data/directory").await?.is_empty(), "a directory has a value")?;
    let names = store.directory("data").await?;
    let expected = |name| names.iter().any(|other| other == name);
    check(expected("greeting") && expected("directory"), "a name is not listed")?;
    check(!expected("long"), "what was removed is listed")?;

    let mut permissions = store.permissions("data/directory").await?;
    check(permissions.owner == domain, "the guest's node belongs to another")?;
    permissions.others = vec![(0, Access::Both)];
    store.set_permissions("data/directory", &permissions).await?;
    let set = store.permissions("data/directory").await?;
    check(set == permissions, "permissions are not as they were set")
}

/// A watch tells of changes, also of those that come while nobody asks, but not of others.
async fn watches(store: &Store) -> Result {
    let mut watch = store.watch("data/greeting").await?;
    check(watch.next().await? == "data/greeting", "the first event is another")?;
    for text in ["good", "morning"] {
        store.write("data/other", text).await?;
        store.write("data/greeting", text).await?;
    }
    check(watch.next().await? == "data/greeting", "an event is another")?;
    drop(watch);
    let mut watch = store.watch("data/above").await?;
    check(watch.next().await? == "data/above", "the second watch tells of something else first")?;
    store.write("data/above/below", "x").await?;
    check(watch.next().await? == "data/above/below", "nothing is told of what is below")?;
    store.remove("data/above").await?;
    check(watch.next().await? == "data/above", "nothing is told of what is removed")
}

/// All of a transaction is done, or nothing; who was overtaken tries again.
async fn transactions(store: &Store) -> Result {
    store.write("data/count", "0").await?;
    let failed = store
        .transaction(async |t| {
            t.write("data/count", "7").await?;
            t.read("data/missing").await
        })
        .await;
    check(failed == Err(StoreError::NotFound), "a failed transaction does not say why")?;
    check(store.read("data/count").await? == b"0", "a failed transaction has done something")?;
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            let store = store.clone();
            spawn(async move {
                store
                    .transaction(async |t| {
                        let count: u32 = t.read_number("data/count").await?;
                        t.write("data/count", format!("{}", count + 1)).await
                    })
                    .await
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    check(store.read("data/count").await? == b"5", "a transaction was lost")
}

/// Many requests at once, some of which are given up.
async fn at_once(store: &Store) -> Result {
    let tasks: Vec<_> = (0..300)
        .map(|number| {
            let store = store.clone();
            let task = spawn(async move {
                let path = format!("data/many/{}", number % 30);
                store.write(&path, format!("{number}")).await?;
                store.read(&path).await
            });
            (number, task)
        })
        .collect();
    mayfly::yield_now().await;
    for (number, task) in tasks {
        if number % 7 == 0 {
            drop(task);
        } else {
            let value = task.await??;
            check(!value.is_empty(), "a value is missing")?;
        }
    }
    check(store.directory("data/many").await?.len() == 30, "there are more or fewer than 30")?;
    store.remove("data/many").await?;
    Ok(())
}

/// Waits until dom0 has made what a guest may not. Returns how the daemon can tell of it.
async fn until_ready(store: &Store) -> Result<Vec<u8>> {
    let mut watch = store.watch("data/ready").await?;
    loop {
        match store.read("data/ready").await {
            Err(StoreError::NotFound) => _ = watch.next().await?,
            ready => return Ok(ready?),
        }
    }
}

/// A directory whose names do not fit into one message: a guest may not make one, so dom0 does. The
/// daemon may not be able to tell them in parts.
async fn long_directory(store: &Store, names: usize) -> Result {
    let list = store.directory("data/names").await;
    if until_ready(store).await? == b"whole" {
        return check(list == Err(StoreError::TooLarge), "a directory is not too long");
    }
    let list = list?;
    let bytes: usize = list.iter().map(|name| name.len() + 1).sum();
    println!("{} names, {bytes} bytes", list.len());
    check(list.len() == names, "a long directory has more or fewer names")
}

/// The longest value that dom0 can write at this path, which a guest may not: with one daemon, it fills
/// the message that writes it. It is read beside others, whose answers come in the same page.
async fn long_value(store: &Store, domain: u16) -> Result {
    let path = format!("/local/domain/{domain}/data/full");
    let is_whole = until_ready(store).await? == b"whole";
    let full = vec![b'x'; if is_whole { 2048 } else { 4095 - path.len() }];
    let readers: Vec<_> = (0..20)
        .map(|number| {
            let path = if number % 2 == 0 { &path } else { "data/greeting" };
            store.read(path)
        })
        .collect();
    for (number, reader) in readers.into_iter().enumerate() {
        let expected = if number % 2 == 0 { &*full } else { b"morning" };
        check(reader.await? == expected, "a value as long as a message is another")?;
    }
    Ok(())
}

/// More watches and nodes than a guest may have are refused, and it can go on; more transactions take
/// turns.
async fn quotas(store: &Store) -> Result {
    let mut watches = Vec::new();
    let refused = loop {
        match store.watch("data").await {
            Ok(watch) => watches.push(watch),
            Err(error) => break error,
        }
    };
    println!("{} watches, then: {refused}", watches.len());
    check(refused == StoreError::Quota, "the quota of watches is told as something else")?;
    drop(watches);

    let open = (0..50).map(|_| {
        let store = store.clone();
        spawn(async move { store.transaction(async |t| t.read("name").await).await })
    });
    let open: Vec<_> = open.collect();
    // There is a quota of these, too, and they take turns.
    for task in open {
        task.await??;
    }

    let long = store.write("data/long", [b'x'; 2500]).await;
    check(long == Err(StoreError::Quota), "the quota of a node's size is told as something else")?;

    // A directory is limited, too: by the length of all its names.
    let path = |node: u32| format!("data/nodes/{}/{node}", node / 100);
    let replies: Vec<_> = (0..1100).map(|node| store.make_directory(&path(node))).collect();
    let (mut nodes, mut refused) = (0, None);
    for reply in replies {
        match reply.await {
            Ok(()) => nodes += 1,
            Err(error) => refused = Some(error),
        }
    }
    println!("{nodes} of 1100 nodes: {refused:?}");
    check(refused == Some(StoreError::Quota), "the quota of nodes is told as something else")?;
    store.remove("data/nodes").await?;
    store.write("data/other", "there is room again").await?;
    Ok(())
}
