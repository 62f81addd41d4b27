//! Names, against what others write there.

extern crate std;

use core::{future::poll_fn, pin::pin, task::Poll};
use std::{format, rc::Rc, string::String};

use super::*;
use crate::{fake::Guest, store::fake::DOMAIN};

/// A guest whose dom0 has made the directory. In the fake, whoever owns a node may make others in it.
fn guest() -> Guest {
    let guest = Guest::new();
    guest.face_itself();
    guest.bench.put("/conduit", "", DOMAIN);
    guest
}

async fn register(store: Store, sharing: Sharing, name: &str) -> Result<Conduit, ConduitError> {
    Conduit::register(&store, sharing, name).await
}

#[test]
fn a_name_is_registered_as_long_as_it_is_held() {
    let guest = guest();
    let (store, sharing) = (guest.bench.store.clone(), guest.sharing);
    let registered = guest.spawn(register(store.clone(), sharing, "me"));
    guest.settle();
    let conduit = registered.take().unwrap().unwrap();
    assert_eq!(guest.bench.value("/conduit/me"), Some(String::from("7")));
    guest.bench.put("/conduit/dom0", "0", 0);
    guest.bench.put("/conduit/odd", "seven", 0);
    let resolved = guest.spawn(async move {
        assert_eq!(conduit.resolve("me.xen").await, Ok(DomainId(7)));
        assert_eq!(conduit.resolve("dom0").await, Ok(DomainId(0)));
        for name in ["nobody", "odd"] {
            assert_eq!(conduit.resolve(name).await, Err(ConduitError::Unknown));
        }
        for name in ["", ".xen", "a/b", "me.net"] {
            let error = ConduitError::Vchan(VchanError::Name);
            assert_eq!(conduit.resolve(name).await, Err(error));
        }
    });
    guest.settle();
    resolved.take().unwrap();
    guest.settle();
    assert_eq!(guest.bench.value("/conduit/me"), None);
}

#[test]
fn a_name_is_registered_again_in_another_domain() {
    let guest = guest();
    let (store, sharing) = (guest.bench.store.clone(), guest.sharing);
    let registered = guest.spawn(register(store, sharing, "me"));
    guest.settle();
    let conduit = registered.take().unwrap().unwrap();
    let listening = guest.spawn(async move {
        let next = conduit.listen().await.unwrap().next().await;
        next.map(|request| (String::from(request.client()), String::from(request.port())))
    });
    guest.settle();
    // XenStore removes what belonged to the old domain.
    guest.bench.take_away("/conduit/me");
    guest.move_on();
    guest.settle();
    assert_eq!(guest.bench.value("/conduit/me"), Some(String::from("7")));
    guest.bench.put("/conduit/you", "3", DOMAIN);
    guest.bench.put("/conduit/me/you", "", DOMAIN);
    guest.bench.put("/conduit/me/you/www", "www", DOMAIN);
    guest.settle();
    assert_eq!(listening.take().unwrap().unwrap(), ("you".into(), "www".into()));
}

#[test]
fn without_the_directory_the_error_says_what_to_do() {
    let guest = Guest::new();
    let registered = guest.spawn(register(guest.bench.store.clone(), guest.sharing, "me"));
    guest.settle();
    let error = registered.take().unwrap().unwrap_err();
    assert_eq!(error, ConduitError::NotThere);
    assert!(format!("{error}").contains("xenstore-chmod /conduit b0"));
}

#[test]
fn who_is_called_by_name_is_connected() {
    let guest = guest();
    let (store, sharing) = (guest.bench.store.clone(), guest.sharing);
    let server = store.clone();
    let served = guest.spawn(async move {
        let conduit = register(server, sharing, "server").await?;
        let mut requests = conduit.listen().await?;
        let request = requests.next().await?;
        assert_eq!((request.client(), request.port()), ("client", "http"));
        assert_eq!(request.domain(), DomainId(DOMAIN));
        let (mut vchan, _) = request.accept(RingSizes::default()).await?;
        let mut buffer = [0; 9];
        let count = vchan.read(&mut buffer).await?;
        assert_eq!(&buffer[..count], b"GET");
        Ok::<_, ConduitError>(())
    });
    guest.settle();
    // Others that make no sense do not stand in the way.
    guest.bench.put("/conduit/server/empty", "", DOMAIN);
    guest.bench.put("/conduit/server/ghost", "", DOMAIN);
    guest.bench.put("/conduit/server/ghost/http", "http", DOMAIN);
    guest.bench.put("/conduit/server/mine", "", 0);
    guest.bench.put("/conduit/server/mine/http", "http", 0);
    guest.settle();
    assert_eq!(guest.bench.value("/conduit/server/ghost"), None);
    let called = guest.spawn(async move {
        let conduit = register(store, sharing, "client").await?;
        let (mut vchan, _) = conduit.connect("server.xen", "http").await?;
        vchan.write_all(b"GET").await?;
        vchan.flush().await?;
        Ok::<_, ConduitError>(())
    });
    guest.settle();
    assert_eq!((served.take(), called.take()), (Some(Ok(())), Some(Ok(()))));
    assert_eq!(guest.bench.value("/conduit/server"), None);
    assert_eq!(guest.bench.in_use(), (0, 0));
}

/// A guest that is registered as `me`.
fn registered(guest: &Guest) -> Rc<Conduit> {
    let registered = guest.spawn(register(guest.bench.store.clone(), guest.sharing, "me"));
    guest.settle();
    Rc::new(registered.take().unwrap().unwrap())
}

/// Begins to connect, which does not come to anything.
fn connect(guest: &Guest, conduit: &Rc<Conduit>, name: &'static str, port: &'static str) {
    let conduit = Rc::clone(conduit);
    guest.spawn(async move { conduit.connect(name, port).await.map(|_| ()) });
    guest.settle();
}

#[test]
fn who_connects_asks_anew_in_another_domain() {
    let guest = guest();
    guest.bench.put("/conduit/you", "3", DOMAIN);
    let conduit = registered(&guest);
    connect(&guest, &conduit, "you.xen", "www");
    assert_eq!(guest.bench.value("/conduit/you/me/www"), Some(String::from("www")));
    guest.bench.take_away("/conduit/you/me");
    guest.bench.take_away("/conduit/me");
    guest.move_on();
    guest.settle();
    assert_eq!(guest.bench.value("/conduit/me"), Some(String::from("7")));
    assert_eq!(guest.bench.value("/conduit/you/me/www"), Some(String::from("www")));
    drop(guest.take_tasks());
    guest.settle();
    assert_eq!(guest.bench.value("/conduit/you/me/www"), None);
}

#[test]
fn who_connects_asks_anew_when_the_server_is_in_another_domain() {
    let guest = guest();
    guest.bench.put("/conduit/you", "3", DOMAIN);
    let conduit = registered(&guest);
    connect(&guest, &conduit, "you", "www");
    // It has heard, and is gone before it has made the channel.
    guest.bench.take_away("/conduit/you");
    guest.settle();
    assert_eq!(guest.bench.value("/conduit/you/me/www"), None);
    guest.bench.put("/conduit/you", "3", DOMAIN);
    guest.settle();
    assert_eq!(guest.bench.value("/conduit/you/me/www"), None);
    guest.bench.put("/conduit/you", "4", DOMAIN);
    guest.settle();
    assert_eq!(guest.bench.value("/conduit/you/me/www"), Some(String::from("www")));
}

#[test]
fn who_accepts_is_told_when_one_side_is_in_another_domain() {
    let moves: [fn(&Guest); 2] =
        [Guest::move_on, |guest| guest.bench.put("/conduit/you", "4", DOMAIN)];
    for move_on in moves {
        let guest = guest();
        let conduit = registered(&guest);
        guest.bench.put("/conduit/you", "3", DOMAIN);
        guest.bench.put("/conduit/me/you", "", DOMAIN);
        guest.bench.put("/conduit/me/you/www", "www", DOMAIN);
        let accepted = guest.spawn(async move {
            let request = conduit.listen().await?.next().await?;
            request.accept(RingSizes::default()).await.map(|_| ())
        });
        guest.settle();
        let published = "/local/domain/7/data/vchan/3/www/event-channel";
        assert!(guest.bench.value(published).is_some());
        move_on(&guest);
        guest.settle();
        assert_eq!(accepted.take(), Some(Err(ConduitError::Vchan(VchanError::Gone))));
        assert_eq!(guest.bench.value(published), None);
    }
}

#[test]
fn a_client_may_ask_for_several_ports_at_once() {
    let guest = guest();
    let conduit = registered(&guest);
    guest.bench.put("/conduit/you", "3", DOMAIN);
    guest.bench.put("/conduit/me/you", "", DOMAIN);
    for port in ["a", "b", "."] {
        guest.bench.put(&format!("/conduit/me/you/{port}"), port, DOMAIN);
    }
    let ports = guest.spawn(async move {
        let mut requests = conduit.listen().await?;
        let ports = [requests.next().await?, requests.next().await?];
        Ok::<_, ConduitError>(ports.map(|request| String::from(request.port())))
    });
    guest.settle();
    let mut ports = ports.take().unwrap().unwrap();
    ports.sort_unstable();
    assert_eq!(ports, ["a", "b"]);
}

#[test]
fn nothing_is_lost_by_who_stops_waiting() {
    for polls in 0.. {
        let guest = guest();
        let conduit = registered(&guest);
        guest.bench.put("/conduit/you", "3", DOMAIN);
        guest.bench.put("/conduit/me/you", "", DOMAIN);
        guest.bench.put("/conduit/me/you/a", "a", DOMAIN);
        let result = guest.spawn(async move {
            let mut requests = conduit.listen().await?;
            let first = {
                let (mut next, mut left) = (pin!(requests.next()), polls);
                poll_fn(|cx| match left {
                    0 => Poll::Ready(None),
                    _ => {
                        left -= 1;
                        next.as_mut().poll(cx).map(Some)
                    }
                })
                .await
            };
            let is_late = first.is_some();
            let request = match first {
                Some(request) => request?,
                None => requests.next().await?,
            };
            Ok::<_, ConduitError>((String::from(request.port()), is_late))
        });
        guest.settle();
        let (port, is_late) = result.take().expect("it waits for ever").unwrap();
        assert_eq!(port, "a", "after {polls} polls");
        if is_late {
            assert!(polls > 3, "it never was half way");
            return;
        }
    }
}

#[test]
fn a_server_is_asked_for_one_thing_at_a_time() {
    let guest = guest();
    let conduit = registered(&guest);
    guest.bench.put("/conduit/you", "3", DOMAIN);
    guest.bench.put("/conduit/others", "4", DOMAIN);
    connect(&guest, &conduit, "you", "a");
    let first = guest.take_tasks();
    connect(&guest, &conduit, "you.xen", "b");
    connect(&guest, &conduit, "others", "c");
    assert!(guest.bench.value("/conduit/others/me/c").is_some());
    assert!(guest.bench.value("/conduit/you/me/a").is_some());
    assert_eq!(guest.bench.value("/conduit/you/me/b"), None);
    drop(first);
    guest.settle();
    assert_eq!(guest.bench.value("/conduit/you/me/a"), None);
    assert!(guest.bench.value("/conduit/you/me/b").is_some());
}
